import type { JupyterFrontEndPlugin } from '@jupyterlab/application';

import { namePictures } from '../notebook/namePictures';

/** The name of an animation in `style/outputs.css`, which begins when a picture or what is said of pictures comes into the page. */
const APPEARED = 'jp-nni-picture-appeared';

/**
 * Gives the pictures of our views the sentences that say what they show.
 *
 * The kernel sends the sentences of all pictures of a view together, with what it sends at each update anyway.
 */
export const pictureNames: JupyterFrontEndPlugin<void> = {
  id: 'nn_inspector:picture-names',
  description: "Says what the pictures of the notebook's dashboard show, for screen readers.",
  autoStart: true,
  activate: (): void => {
    document.addEventListener('animationstart', ({ animationName, target }) => {
      if (animationName === APPEARED && target instanceof Element) {
        namePictures(target);
      }
    });
  }
};
