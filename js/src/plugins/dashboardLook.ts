import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';

import { busyLink } from '../notebook/busyLink';
import { lookOfChange, lookOfClick } from '../notebook/lookAt';
import { INotebookLinks } from '../notebook/tokens';

/**
 * Makes layers, evidence, the latest step and the scale of the loss selectable in the dashboard while a cell runs.
 *
 * As for its buttons, the message of the widget would wait until the cell has ended; it is held back then, so that the same
 * does not happen twice.
 */
export const dashboardLook: JupyterFrontEndPlugin<void> = {
  id: 'nn_inspector:dashboard-look',
  description: "Makes layers and evidence of the notebook's dashboard selectable while a cell runs.",
  autoStart: true,
  requires: [INotebookLinks],
  activate: (_: JupyterFrontEnd, links: INotebookLinks): void => {
    const onEvent = (event: Event): void => {
      const { target } = event;
      if (!(target instanceof Element)) {
        return;
      }
      const look = event.type === 'change' ? lookOfChange(target) : lookOfClick(target);
      const link = look === null ? null : busyLink(links, target);
      if (look !== null && link !== null) {
        event.stopPropagation();
        void link.request(look);
      }
    };
    for (const type of ['click', 'change']) {
      document.addEventListener(type, onEvent, { capture: true });
    }
  }
};
