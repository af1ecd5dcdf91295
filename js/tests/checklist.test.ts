import { describe, expect, it } from 'vitest';

import { byStage, raised, standing } from '../src/panel/checklist';
import type { CheckState, ICheck } from '../src/protocol/messages';

function check(name: string, stage: string, state: CheckState, rank: number | null = null): ICheck {
  const rest = { question: '', why: '', message: null, remedy: null, tried: null, code: null, symptomOf: null };
  return { name, title: name, stage, stageTitle: stage.toUpperCase(), state, rank, ...rest };
}

const CHECKS = [
  check('a', 'data', 'ok'),
  check('b', 'init', 'warning', 1),
  check('c', 'data', 'error', 2),
  check('d', 'fit', 'skipped'),
  check('e', 'init', 'error', 0),
  check('f', 'fit', 'info')
];

describe('byStage', () => {
  it('keeps the order of stages and checks', () => {
    expect(byStage(CHECKS).map(stage => [stage.title, stage.checks.map(row => row.name).join()])).toEqual([
      ['DATA', 'a,c'],
      ['INIT', 'b,e'],
      ['FIT', 'd,f']
    ]);
  });
});

describe('raised', () => {
  it('has errors and warnings in the order of suspicion, and nothing else', () => {
    expect(raised(CHECKS).map(row => row.name)).toEqual(['e', 'b', 'c']);
  });
});

describe('standing', () => {
  it.each([
    [['warning', 'error'], { made: 2, worst: 'error' }],
    [['warning', 'open'], { made: 1, worst: 'warning' }],
    [['skipped', 'info'], { made: 2, worst: null }]
  ] as const)('counts what was made and names the worst of %s', (states, expected) => {
    const checks = states.map((state, place) => check(place.toString(), 'init', state));
    expect(standing({ name: 'init', title: 'INIT', checks })).toEqual(expected);
  });
});
