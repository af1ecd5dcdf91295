import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette, Notification } from '@jupyterlab/apputils';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { CommandIDs } from '../commandIds';
import { inspectorIcon } from '../icon';
import { chooseCheck } from '../notebook/chooseCheck';
import { insertCell } from '../notebook/insertCell';
import type { NotebookLink } from '../notebook/notebookLink';
import { runCell } from '../notebook/runCell';
import { checkCell, watchCell, WIZARD_CELL } from '../notebook/sources';
import { INotebookLinks } from '../notebook/tokens';
import { followEnabled } from './enabled';
import { addToPalette } from './palette';

/** Commands that put cells into the current notebook. */
export const cells: JupyterFrontEndPlugin<void> = {
  id: 'nn_inspector:cells',
  description: 'Commands that put cells into the current notebook.',
  autoStart: true,
  requires: [INotebookLinks],
  optional: [ITranslator, ICommandPalette],
  activate: (
    { commands, shell }: JupyterFrontEnd,
    links: INotebookLinks,
    translator: ITranslator | null,
    palette: ICommandPalette | null
  ): void => {
    const trans = (translator ?? nullTranslator).load('nn_inspector');
    const isEnabled = (): boolean => links.current !== null && links.current.link?.state !== 'foreign';
    const insert = async ({ panel }: NotebookLink, source: string): Promise<void> => {
      shell.activateById(panel.id);
      await insertCell(panel, source);
    };

    commands.addCommand(CommandIDs.openWizard, {
      label: trans.__('Open Debug Wizard'),
      caption: trans.__('Go through the checklist for a network that does not learn'),
      icon: inspectorIcon,
      isEnabled,
      execute: async () => {
        const { current } = links;
        if (current === null) {
          return;
        }
        const isBusy = current.link?.isBusy ?? false;
        await insert(current, WIZARD_CELL);
        const cell = current.panel.content.activeCell;
        if (cell !== null) {
          void runCell(current.panel, cell);
        }
        if (isBusy) {
          Notification.info(trans.__('The wizard opens when the running cell has ended.'), { autoClose: 5000 });
        }
      }
    });

    commands.addCommand(CommandIDs.watch, {
      label: trans.__('Insert Cell to Watch Training'),
      caption: trans.__('Insert a cell that finds network, optimizer, loss and data and watches their training'),
      isEnabled,
      execute: async () => {
        const { current } = links;
        if (current !== null) {
          await insert(current, watchCell(isLoaded(current)));
        }
      }
    });

    commands.addCommand(CommandIDs.insertCheck, {
      label: trans.__('Insert Check…'),
      caption: trans.__('Insert a cell that makes one check of the checklist'),
      isEnabled,
      execute: async args => {
        const { current } = links;
        if (current === null) {
          return;
        }
        const name = typeof args.check === 'string' ? args.check : await chooseCheck(current.link, trans);
        if (name !== null) {
          await insert(current, checkCell(name, isLoaded(current)));
        }
      }
    });

    commands.addCommand(CommandIDs.insertCell, {
      label: trans.__('Insert Cell'),
      caption: trans.__('Insert a code cell below the active one'),
      isEnabled,
      execute: async args => {
        const { current } = links;
        if (current !== null && typeof args.source === 'string') {
          await insert(current, args.source);
        }
      }
    });

    const inPalette = [CommandIDs.openWizard, CommandIDs.watch, CommandIDs.insertCheck];
    addToPalette(palette, trans, ...inPalette);
    followEnabled(commands, links, isEnabled, ...inPalette, CommandIDs.insertCell);
  }
};

function isLoaded({ link }: NotebookLink): boolean {
  return link?.state === 'loaded';
}
