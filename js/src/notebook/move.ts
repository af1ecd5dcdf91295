import type { ILook } from '../protocol/messages';

/** The steps that a slider goes over, and the one at which it stands. */
export interface IScale {
  readonly first: number;
  readonly last: number;
  readonly now: number;
}

/** Where a slider is to go: to a step, to the latest one from now on, or so many steps on from wherever it will stand then. */
export type Move = Required<Pick<ILook, 'step'>> | Required<Pick<ILook, 'by'>>;

const KEYS: ReadonlyMap<string, Move> = new Map<string, Move>([
  ['ArrowLeft', { by: -1 }],
  ['ArrowDown', { by: -1 }],
  ['ArrowRight', { by: 1 }],
  ['ArrowUp', { by: 1 }],
  ['PageDown', { by: -5 }],
  ['PageUp', { by: 5 }],
  ['Home', { step: 0 }],
  ['End', { step: 'latest' }]
]);

/** How a key moves a slider; null if it does not. */
export function moveOfKey(key: string): Move | null {
  return KEYS.get(key) ?? null;
}

/** To a share of the slider's length, from 0 to 1. */
export function moveToShare(share: number, scale: IScale): Move {
  return moveTo(Math.round(scale.first + share * (scale.last - scale.first)), scale);
}

/** To what was typed beside the slider; null if that is no other step. */
export function moveOfText(text: string, scale: IScale): Move | null {
  return /^\s*\d+\s*$/.test(text) && Number(text) !== scale.now ? moveTo(Number(text), scale) : null;
}

/** Two moves as one. */
export function joined(first: Move, second: Move): Move {
  return 'by' in first && 'by' in second ? { by: first.by + second.by } : second;
}

/** At its end, a slider follows the training. */
function moveTo(step: number, { first, last }: IScale): Move {
  return { step: step < last ? Math.max(step, first) : 'latest' };
}
