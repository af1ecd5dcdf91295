import type { ILossHistory, ILossPoint } from '../protocol/messages';

/** A loss so many times its first value is cut off, so that the rest of the curve can still be seen. */
const EXPLODED = 5;

/** Where the loss lies in a picture. */
export interface ILossFrame {
  readonly last: number;
  readonly low: number;
  readonly high: number;
}

/** From the first step to the last, and from the least to the greatest loss; null while there is nothing to draw. */
export function lossFrame(history: ILossHistory): ILossFrame | null {
  const points = [...history.loss, ...history.validationLoss];
  const losses = points.flatMap(({ loss }) => (loss === null ? [] : [loss]));
  const last = Math.max(0, ...points.map(({ step }) => step));
  if (losses.length < 2 || last === 0) {
    return null;
  }
  const low = Math.min(...losses);
  const limit = EXPLODED * Math.abs(losses[0] ?? 0);
  const high = Math.min(Math.max(...losses), limit > low ? limit : Infinity);
  return { last, low, high: high > low ? high : low + 1 };
}

/** The `d` of an SVG path over a picture of this size; a loss that is not finite leaves a gap. */
export function lossPath(points: readonly ILossPoint[], frame: ILossFrame, width: number, height: number): string {
  let isDown = false;
  return points
    .flatMap(({ step, loss }) => {
      if (loss === null) {
        isDown = false;
        return [];
      }
      const x = (width * step) / frame.last;
      const y = height * Math.max(0, 1 - (loss - frame.low) / (frame.high - frame.low));
      const move = isDown ? 'L' : 'M';
      isDown = true;
      return [`${move}${x.toFixed(1)} ${y.toFixed(1)}`];
    })
    .join(' ');
}
