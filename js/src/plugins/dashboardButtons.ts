import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { steeringOfClick } from '../notebook/steerAt';
import { INotebookLinks } from '../notebook/tokens';
import { steerAndTell } from './steerAndTell';

/**
 * Makes the dashboard's buttons work while a cell runs.
 *
 * A message of an ordinary widget waits until the cell has ended; a request on the control channel does not. The message is held
 * back, so that the same does not happen twice.
 */
export const dashboardButtons: JupyterFrontEndPlugin<void> = {
  id: 'nn_inspector:dashboard-buttons',
  description: "Makes the buttons of the notebook's dashboard work while a cell runs.",
  autoStart: true,
  requires: [INotebookLinks],
  optional: [ITranslator],
  activate: (_: JupyterFrontEnd, links: INotebookLinks, translator: ITranslator | null): void => {
    const trans = (translator ?? nullTranslator).load('nn_inspector');
    const onClick = (event: MouseEvent): void => {
      const { target } = event;
      const wish = target instanceof Element ? steeringOfClick(target) : null;
      const link = target instanceof Element && wish !== null ? (links.around(target)?.link ?? null) : null;
      if (wish !== null && link !== null) {
        if (!link.isAtRest) {
          event.stopPropagation();
        }
        void steerAndTell(link, wish, trans);
      }
    };
    document.addEventListener('click', onClick, { capture: true });
  }
};
