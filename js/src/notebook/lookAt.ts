import type { ILook } from '../protocol/messages';
import { dashboardAround, nameIn } from './dashboardKey';
import type { Move } from './move';

const CHECK = /^nni-check-(.+)$/;

/** What a click on an element of a dashboard asks to see; null where it asks for nothing of the kind. */
export function lookOfClick(target: Element): ILook | null {
  const board = target.closest('.nni-dashboard');
  const dashboard = dashboardAround(target);
  if (board === null || dashboard === null) {
    return null;
  }
  const check = nameIn(target.closest('.nni-show-evidence'), CHECK);
  if (check !== null) {
    return { request: 'look', dashboard, check };
  }
  if (target.closest('.nni-latest') !== null) {
    return { request: 'look', dashboard, step: 'latest' };
  }
  if (target.closest('.nni-no-layer') !== null) {
    return { request: 'look', dashboard, option: 0 };
  }
  if (target.closest('.nni-play') !== null) {
    return { request: 'look', dashboard, play: target.closest('.nni-playing') === null };
  }
  if (target instanceof HTMLInputElement) {
    const { checked } = target;
    if (target.closest('.nni-log-loss') !== null) {
      return { request: 'look', dashboard, log_loss: checked };
    }
    if (target.closest('.nni-log-metrics') !== null) {
      return { request: 'look', dashboard, log_metrics: checked };
    }
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

/** What a change of a dashboard's list of layers, or of the text that is looked for in it, asks to see. */
export function lookOfChange(target: Element): ILook | null {
  const dashboard = dashboardAround(target);
  if (dashboard === null || target.closest('.nni-layer-picker') === null) {
    return null;
  }
  if (target instanceof HTMLSelectElement) {
    return { request: 'look', dashboard, option: target.selectedIndex };
  }
  return target instanceof HTMLInputElement ? { request: 'look', dashboard, find: target.value } : null;
}

/** What a move of a dashboard's slider asks to see. */
export function lookOfMove(slider: Element, move: Move): ILook | null {
  const dashboard = dashboardAround(slider);
  return dashboard === null ? null : { request: 'look', dashboard, ...move };
}
