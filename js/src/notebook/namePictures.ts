const VIEW = '.nni-dashboard, .nni-comparison, .nni-wizard';

/**
 * Give each picture of the view around an element the sentence that is said of it; they are in the same order.
 *
 * bqplot draws in two layers, curves and what is behind them; the buttons beside them stay what they are.
 */
export function namePictures(within: Element): void {
  const view = within.closest(VIEW);
  const said = [...(view?.querySelectorAll('.nni-said > li') ?? [])];
  const charts = [...(view?.querySelectorAll('.nni-chart') ?? [])];
  charts.forEach((chart, place) => {
    const picture = chart.querySelector('.svg-figure');
    const words = said[place]?.textContent ?? '';
    if (picture !== null && words !== '') {
      picture.setAttribute('role', 'img');
      picture.setAttribute('aria-label', words);
      chart.querySelector('.svg-background')?.setAttribute('aria-hidden', 'true');
    }
  });
}
