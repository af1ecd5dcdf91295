import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { INotebookLinks } from '../notebook/tokens';
import type { ISteering } from '../protocol/messages';
import { steerAndTell } from './steerAndTell';

/** The classes that the dashboard in the notebook gives its buttons, and what each asks for. */
const BUTTONS: readonly (readonly [string, ISteering['request']])[] = [
  ['nni-stop', 'stop'],
  ['nni-pause', 'pause'],
  ['nni-resume', 'resume'],
  ['nni-single-step', 'step']
];

/**
 * Makes the dashboard's buttons work while a cell runs.
 *
 * A message of an ordinary widget waits until the cell has ended; a request on the control channel does not.
 */
export const dashboardButtons: JupyterFrontEndPlugin<void> = {
  id: 'nn_inspector:dashboard-buttons',
  description: "Makes the buttons of the notebook's dashboard work while a cell runs.",
  autoStart: true,
  requires: [INotebookLinks],
  optional: [ITranslator],
  activate: (_: JupyterFrontEnd, links: INotebookLinks, translator: ITranslator | null): void => {
    const trans = (translator ?? nullTranslator).load('nn_inspector');
    const onClick = ({ target }: MouseEvent): void => {
      if (!(target instanceof Element)) {
        return;
      }
      const request = BUTTONS.find(([name]) => target.closest(`.${name}:not([disabled])`) !== null)?.[1];
      const link = request === undefined ? null : (links.around(target)?.link ?? null);
      if (request !== undefined && link !== null) {
        void steerAndTell(link, { request }, trans);
      }
    };
    document.addEventListener('click', onClick, { capture: true });
  }
};
