import { describe, expect, it } from 'vitest';

import { within } from '../src/kernel/within';

describe('within', () => {
  it('gives what comes in time', async () => {
    expect(await within(10_000, Promise.resolve(1))).toBe(1);
  });

  it('gives nothing if it takes longer', async () => {
    expect(await within(0, new Promise<number>(() => undefined))).toBeUndefined();
  });

  it('gives nothing if it fails', async () => {
    expect(await within(10_000, Promise.reject<number>(new Error('no')))).toBeUndefined();
  });
});
