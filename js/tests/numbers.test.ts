import { describe, expect, it } from 'vitest';

import { formatCount, formatLoss, formatRate, formatShare } from '../src/panel/numbers';

it.each([
  [null, '–'],
  [0, '0.000'],
  [2.302585, '2.303'],
  [0.6931, '0.6931'],
  [0.0012345, '0.001234'],
  [0.00001234, '1.23e-5'],
  [-1.5, '-1.500'],
  [1234.5, '1235'],
  [12345.6, '12346'],
  [1234567, '1.23e+6']
])('a loss of %s reads %s', (loss, text) => {
  expect(formatLoss(loss)).toBe(text);
});

it.each([
  [null, '–'],
  [0.1, '0.1'],
  [0.00012345, '0.000123'],
  [3e-8, '3e-8']
])('a learning rate of %s reads %s', (rate, text) => {
  expect(formatRate(rate)).toBe(text);
});

it.each([
  [null, '–'],
  [0, '0'],
  [1234567, '1,234,567']
])('a count of %s reads %s', (count, text) => {
  expect(formatCount(count)).toBe(text);
});

describe('a share', () => {
  it.each([
    [null, '–'],
    [0, '0.0%'],
    [0.0004, '< 0.1%'],
    [0.0123, '1.2%'],
    [1, '100.0%']
  ])('of %s reads %s', (share, text) => {
    expect(formatShare(share)).toBe(text);
  });
});
