import { describe, expect, it, vi } from 'vitest';

import { lookOfChange, lookOfClick, lookOfMove } from '../src/notebook/lookAt';
import type { Move } from '../src/notebook/move';
import type { ILook } from '../src/protocol/messages';
import { FakeElement } from './fakeElement';

class FakeInput extends FakeElement {}
class FakeSelect extends FakeElement {}

vi.stubGlobal('HTMLInputElement', FakeInput);
vi.stubGlobal('HTMLSelectElement', FakeSelect);

const board = new FakeElement(['nni-dashboard', 'nni-board-7']);
const nameless = new FakeElement(['nni-dashboard']);
const look = (what: Partial<ILook>): ILook => ({ request: 'look', dashboard: '7', ...what });

const within = (outer: FakeElement, ...classes: readonly string[]): FakeElement =>
  new FakeElement([], new FakeElement(classes, outer));

function checkbox(checked: boolean, ...classes: readonly string[]): FakeElement {
  const box = new FakeInput([], new FakeElement(classes, board));
  box.checked = checked;
  return box;
}

function bar(chart: number, row: number): FakeElement {
  const all = new FakeElement(['nni-dashboard', 'nni-board-7']);
  const charts = [0, 1].map(() => new FakeElement(['nni-chart'], all));
  const rows = charts.map(inner => [0, 1, 2].map(() => new FakeElement(['bar'], inner)));
  return rows[chart]?.[row] ?? all;
}

const asElement = (element: FakeElement): Element => element as unknown as Element;

describe('lookOfClick', () => {
  it.each<[string, FakeElement, ILook | null]>([
    ['Show', within(board, 'nni-show-evidence', 'nni-check-loss_spike'), look({ check: 'loss_spike' })],
    ['Latest', within(board, 'nni-latest'), look({ step: 'latest' })],
    ['Clear', within(board, 'nni-no-layer'), look({ option: 0 })],
    ['Play', within(board, 'nni-play'), look({ play: true })],
    ['Stop playing', within(board, 'nni-play', 'nni-playing'), look({ play: false })],
    ['logarithmic, chosen', checkbox(true, 'nni-log-loss'), look({ log_loss: true })],
    ['logarithmic, left', checkbox(false, 'nni-log-loss'), look({ log_loss: false })],
    ['the words beside logarithmic', within(board, 'nni-log-loss'), null],
    ['metrics in logarithms', checkbox(true, 'nni-log-metrics'), look({ log_metrics: true })],
    ['another checkbox', checkbox(true), null],
    ['a row', bar(1, 2), look({ chart: 1, row: 2 })],
    ['nothing of the kind', within(board, 'nni-panel-opener'), null],
    ['a dashboard without a name', within(nameless, 'nni-latest'), null],
    ['outside', within(new FakeElement([]), 'nni-latest'), null]
  ])('%s', (_, target, expected) => {
    expect(lookOfClick(asElement(target))).toEqual(expected);
  });
});

describe('lookOfChange', () => {
  it('says the place in the list of layers', () => {
    const list = new FakeSelect([], new FakeElement(['nni-layer-picker'], board));
    list.selectedIndex = 3;
    expect(lookOfChange(asElement(list))).toEqual(look({ option: 3 }));
  });

  it('says what is looked for', () => {
    const text = new FakeInput([], new FakeElement(['nni-layer-picker'], board));
    text.value = 'attn';
    expect(lookOfChange(asElement(text))).toEqual(look({ find: 'attn' }));
  });

  it.each<[string, FakeElement]>([
    ['another text', new FakeInput([], board)],
    ['another list', new FakeSelect([], board)],
    ['something else in the picker', within(board, 'nni-layer-picker')]
  ])('says nothing of %s', (_, target) => {
    expect(lookOfChange(asElement(target))).toBeNull();
  });
});

describe('lookOfMove', () => {
  it.each<Move>([{ step: 3 }, { step: 'latest' }, { by: -2 }])('%j', move => {
    expect(lookOfMove(asElement(within(board)), move)).toEqual(look(move));
  });

  it('asks for nothing outside of a dashboard', () => {
    expect(lookOfMove(asElement(new FakeElement([])), { step: 1 })).toBeNull();
  });
});
