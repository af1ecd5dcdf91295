import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import { stopIcon } from '@jupyterlab/ui-components';

import { CommandIDs } from '../commandIds';
import { INotebookLinks } from '../notebook/tokens';
import { followEnabled } from './enabled';
import { addToPalette } from './palette';
import { stopAndTell } from './stopAndTell';

/** The command that stops a training. */
export const stop: JupyterFrontEndPlugin<void> = {
  id: 'nn_inspector:stop',
  description: 'The command that stops the training of the current notebook.',
  autoStart: true,
  requires: [INotebookLinks],
  optional: [ITranslator, ICommandPalette],
  activate: (
    { commands }: JupyterFrontEnd,
    links: INotebookLinks,
    translator: ITranslator | null,
    palette: ICommandPalette | null
  ): void => {
    const trans = (translator ?? nullTranslator).load('nn_inspector');
    const isEnabled = (): boolean => links.current !== null;
    commands.addCommand(CommandIDs.stopTraining, {
      label: trans.__('Stop Training'),
      caption: trans.__('Stop the training of this notebook after its present step'),
      icon: stopIcon,
      isEnabled,
      execute: () => stopAndTell(links.current?.link ?? null, trans)
    });
    addToPalette(palette, trans, CommandIDs.stopTraining);
    followEnabled(commands, links, isEnabled, CommandIDs.stopTraining);
  }
};
