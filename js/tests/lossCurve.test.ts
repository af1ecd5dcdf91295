import { expect, it } from 'vitest';

import { lossFrame, lossPath } from '../src/panel/lossCurve';
import type { ILossPoint } from '../src/protocol/messages';

function points(...losses: readonly (number | null)[]): ILossPoint[] {
  return losses.map((loss, step) => ({ step, loss }));
}

it.each([
  ['nothing', [], []],
  ['one loss', [2], []],
  ['nothing finite', [null, null, null], []]
])('there is no picture of %s', (_, train, validation) => {
  expect(lossFrame({ loss: points(...train), validationLoss: points(...validation) })).toBeNull();
});

it.each([
  ['both curves', [3, 2], [2.5, 1, 4], { last: 2, low: 1, high: 4 }],
  ['a level loss', [2, 2], [], { last: 1, low: 2, high: 3 }],
  ['a loss that has exploded, cut', [2, 1, 1e9], [], { last: 2, low: 1, high: 10 }]
])('the frame holds %s', (_, train, validation, frame) => {
  expect(lossFrame({ loss: points(...train), validationLoss: points(...validation) })).toEqual(frame);
});

it.each([
  ['goes from left to right', [4, 2, 0], 'M0.0 0.0 L50.0 30.0 L100.0 60.0'],
  ['has a gap where the loss is not finite', [4, null, 0], 'M0.0 0.0 M100.0 60.0'],
  ['ends at the top', [4, 400, 0], 'M0.0 0.0 L50.0 0.0 L100.0 60.0']
])('the path %s', (_, losses, path) => {
  expect(lossPath(points(...losses), { last: 2, low: 0, high: 4 }, 100, 60)).toBe(path);
});
