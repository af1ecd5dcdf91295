import type { ISteering } from '../protocol/messages';
import { nameIn } from './dashboardKey';

/** What the dashboard's buttons ask for, by what their classes say. */
const REQUESTS: ReadonlyMap<string, ISteering['request']> = new Map<string, ISteering['request']>([
  ['stop', 'stop'],
  ['pause', 'pause'],
  ['resume', 'resume'],
  ['single-step', 'step']
]);
const MOVE = /^nni-(stop|pause|resume|single-step)$/;
const RATE = /^nni-rate-times-(.+)$/;

/** What a click on an element of a dashboard asks of the training; null where it asks for nothing, or cannot now. */
export function steeringOfClick(target: Element): ISteering | null {
  const button = target.closest('.jupyter-button');
  if (button === null || button.hasAttribute('disabled')) {
    return null;
  }
  const factor = Number(nameIn(button, RATE) ?? NaN);
  if (factor > 0) {
    return { request: 'set_learning_rate', factor };
  }
  const request = REQUESTS.get(nameIn(button, MOVE) ?? '');
  return request === undefined ? null : { request };
}
