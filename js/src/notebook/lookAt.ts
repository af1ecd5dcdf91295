import type { ILook } from '../protocol/messages';

const BOARD = /^nni-board-(.+)$/;
const CHECK = /^nni-check-(.+)$/;

/** What a click on an element of a dashboard asks to see; null where it asks for nothing of the kind. */
export function lookOfClick(target: Element): ILook | null {
  const board = target.closest('.nni-dashboard');
  const dashboard = nameIn(board, BOARD);
  if (board === null || dashboard === null) {
    return null;
  }
  const check = nameIn(target.closest('.nni-show-evidence'), CHECK);
  if (check !== null) {
    return { request: 'look', dashboard, check };
  }
  const chart = target.closest('.nni-chart');
  const bar = target.closest('.bar');
  return chart === null || bar === null
    ? null
    : {
        request: 'look',
        dashboard,
        chart: [...board.querySelectorAll('.nni-chart')].indexOf(chart),
        row: [...chart.querySelectorAll('.bar')].indexOf(bar)
      };
}

/** What a change of a dashboard's list of layers asks to see. */
export function lookOfChange(target: Element): ILook | null {
  const dashboard = nameIn(target.closest('.nni-dashboard'), BOARD);
  return dashboard === null || !(target instanceof HTMLSelectElement) || target.closest('.nni-layer-picker') === null
    ? null
    : { request: 'look', dashboard, option: target.selectedIndex };
}

function nameIn(element: Element | null, pattern: RegExp): string | null {
  for (const name of element?.classList ?? []) {
    const found = pattern.exec(name)?.[1];
    if (found !== undefined) {
      return found;
    }
  }
  return null;
}
