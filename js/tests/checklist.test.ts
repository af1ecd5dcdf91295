import { describe, expect, it } from 'vitest';

import { byStage, raised } from '../src/panel/checklist';
import type { CheckState, ICheck } from '../src/protocol/messages';

function check(name: string, stage: string, state: CheckState): ICheck {
  const rest = { question: '', why: '', message: null, remedy: null, tried: null, code: null };
  return { name, title: name, stage, stageTitle: stage.toUpperCase(), state, ...rest };
}

const CHECKS = [
  check('a', 'data', 'ok'),
  check('b', 'init', 'warning'),
  check('c', 'data', 'error'),
  check('d', 'fit', 'skipped'),
  check('e', 'init', 'error'),
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
  it('has errors first, then warnings, and nothing else', () => {
    expect(raised(CHECKS).map(row => row.name)).toEqual(['c', 'e', 'b']);
  });
});
