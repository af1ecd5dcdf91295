import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { INotebookLinks } from '../notebook/tokens';
import { stopAndTell } from './stopAndTell';

/** The class that the dashboard in the notebook gives its button. */
const STOP_CLASS = 'nni-stop';

/**
 * Makes the dashboard's Stop button work while a cell runs.
 *
 * A message of an ordinary widget waits until the cell has ended; a request on the control channel does not.
 */
export const stopButton: JupyterFrontEndPlugin<void> = {
  id: 'nn_inspector:stop-button',
  description: "Makes the Stop button of the notebook's dashboard work while a cell runs.",
  autoStart: true,
  requires: [INotebookLinks],
  optional: [ITranslator],
  activate: (_: JupyterFrontEnd, links: INotebookLinks, translator: ITranslator | null): void => {
    const trans = (translator ?? nullTranslator).load('nn_inspector');
    const onClick = ({ target }: MouseEvent): void => {
      if (target instanceof Element && target.closest(`.${STOP_CLASS}`) !== null) {
        const link = links.containing(target)?.link ?? null;
        if (link !== null) {
          void stopAndTell(link, trans);
        }
      }
    };
    document.addEventListener('click', onClick, { capture: true });
  }
};
