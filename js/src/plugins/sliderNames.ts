import type { JupyterFrontEndPlugin } from '@jupyterlab/application';

/** The name of an animation in `style/outputs.css`, which begins when a slider of ours comes into the page. */
const APPEARED = 'jp-nni-slider-appeared';

/**
 * Gives the sliders of the notebook's dashboard the name that stands beside them.
 *
 * The sliders of ipywidgets have a label for the eye and none for screen readers.
 */
export const sliderNames: JupyterFrontEndPlugin<void> = {
  id: 'nn_inspector:slider-names',
  description: "Names the sliders of the notebook's dashboard for screen readers.",
  autoStart: true,
  activate: (): void => {
    document.addEventListener('animationstart', ({ animationName, target }) => {
      if (animationName === APPEARED && target instanceof HTMLElement) {
        const label = target.closest('.widget-slider')?.querySelector('label')?.textContent;
        target.setAttribute('aria-label', label ?? '');
      }
    });
  }
};
