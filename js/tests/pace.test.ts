import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { Pace } from '../src/notebook/pace';

describe('Pace', () => {
  let passed: string[];
  let pace: Pace<string>;

  beforeEach(() => {
    vi.useFakeTimers();
    passed = [];
    pace = new Pace({
      milliseconds: 200,
      pass: what => passed.push(what),
      join: (waiting, next) => (next === '+' ? waiting + next : next)
    });
  });

  afterEach(() => {
    vi.useRealTimers();
  });

  it.each([
    [['a', 'b', 'c'], 'c'],
    [['a', 'b', '+', '+'], 'b++'],
    [['+', '+', '+'], '++'],
    [['a', '+', 'b'], 'b']
  ])('passes on the first at once and the others when it is time: %j', (given, later) => {
    for (const what of given) {
      pace.give(what);
    }
    expect(passed).toEqual([given[0]]);
    vi.advanceTimersByTime(199);
    expect(passed).toEqual([given[0]]);
    vi.advanceTimersByTime(1000);
    expect(passed).toEqual([given[0], later]);
  });

  it('passes on five a second at the most, and the last', () => {
    for (let number = 0; number < 300; number++) {
      pace.give(String(number));
      vi.advanceTimersByTime(10);
    }
    vi.runAllTimers();
    expect(passed.length).toBeLessThanOrEqual(16);
    expect(passed.at(-1)).toBe('299');
  });

  it('passes on what waits when it is told to, and does so once', () => {
    pace.give('a');
    pace.give('b');
    pace.flush();
    expect(passed).toEqual(['a', 'b']);
    pace.flush();
    vi.runAllTimers();
    expect(passed).toEqual(['a', 'b']);
  });
});
