import { describe, expect, it } from 'vitest';

import type { Move } from '../src/notebook/move';
import { joined, moveOfKey, moveOfText, moveToShare } from '../src/notebook/move';

const scale = { first: 0, last: 40, now: 12 };

describe('moveOfKey', () => {
  it.each<[string, Move | null]>([
    ['ArrowLeft', { by: -1 }],
    ['ArrowUp', { by: 1 }],
    ['PageDown', { by: -5 }],
    ['Home', { step: 0 }],
    ['End', { step: 'latest' }],
    ['Tab', null],
    ['a', null]
  ])('%s', (key, move) => {
    expect(moveOfKey(key)).toEqual(move);
  });
});

describe('moveToShare', () => {
  it.each([
    [-0.5, 0],
    [0, 0],
    [0.26, 10],
    [0.98, 39],
    [1, 'latest'],
    [7, 'latest']
  ] as const)('%d of its length', (share, step) => {
    expect(moveToShare(share, scale)).toEqual({ step });
  });

  it('follows the training that has made one step', () => {
    expect(moveToShare(0.5, { first: 0, last: 0, now: 0 })).toEqual({ step: 'latest' });
  });
});

describe('moveOfText', () => {
  it.each<[string, Move | null]>([
    ['7', { step: 7 }],
    [' 39\n', { step: 39 }],
    ['40', { step: 'latest' }],
    ['400', { step: 'latest' }],
    ['12', null],
    ['', null],
    ['-3', null],
    ['3.5', null],
    ['1e1', null]
  ])('%j', (text, move) => {
    expect(moveOfText(text, scale)).toEqual(move);
  });
});

describe('joined', () => {
  it.each<[Move, Move, Move]>([
    [{ by: -1 }, { by: -5 }, { by: -6 }],
    [{ step: 3 }, { step: 9 }, { step: 9 }],
    [{ by: 1 }, { step: 'latest' }, { step: 'latest' }]
  ])('%j, then %j', (first, second, both) => {
    expect(joined(first, second)).toEqual(both);
  });
});
