import type { JupyterFrontEndPlugin } from '@jupyterlab/application';

import { leaveToList } from '../notebook/listKeys';

/**
 * Makes the lists of our views usable with the keyboard.
 *
 * A notebook takes arrows and letters as its own wherever the focus is in a cell's output: they would move from cell to cell.
 */
export const listKeys: JupyterFrontEndPlugin<void> = {
  id: 'nn_inspector:list-keys',
  description: "Leaves arrows and letters to the lists of the notebook's dashboard.",
  autoStart: true,
  activate: (): void => {
    const onKey = (event: KeyboardEvent): void => {
      if (event.target instanceof Element) {
        leaveToList(event.target, event);
      }
    };
    window.addEventListener('keydown', onKey, { capture: true }); // before the document, where shortcuts are looked for
  }
};
