import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette, Notification } from '@jupyterlab/apputils';
import { PathExt } from '@jupyterlab/coreutils';
import { ILauncher } from '@jupyterlab/launcher';
import type { KernelSpec } from '@jupyterlab/services';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { CommandIDs } from '../commandIds';
import { inspectorIcon } from '../icon';
import { debugNotebook, type IKernelChoice } from '../notebook/template';
import { INotebookLinks } from '../notebook/tokens';
import { addToPalette } from './palette';

/** A new notebook to debug a network in, from launcher and palette. */
export const newNotebook: JupyterFrontEndPlugin<void> = {
  id: 'nn_inspector:new-notebook',
  description: 'A new notebook to debug a network in, from launcher and palette.',
  autoStart: true,
  requires: [INotebookLinks],
  optional: [ITranslator, ICommandPalette, ILauncher],
  activate: (
    { commands, serviceManager }: JupyterFrontEnd,
    links: INotebookLinks,
    translator: ITranslator | null,
    palette: ICommandPalette | null,
    launcher: ILauncher | null
  ): void => {
    const trans = (translator ?? nullTranslator).load('nn_inspector');
    commands.addCommand(CommandIDs.newNotebook, {
      label: args => (args.isLauncher ? trans.__('Debug a network') : trans.__('New Notebook to Debug a Network')),
      caption: trans.__('Create a notebook that watches a training and goes through the checklist'),
      icon: inspectorIcon,
      execute: async args => {
        await serviceManager.kernelspecs.ready;
        const kernel = pythonKernel(serviceManager.kernelspecs.specs);
        if (kernel === null) {
          Notification.error(trans.__('There is no Python kernel on this server.'));
          return;
        }
        const folder = typeof args.cwd === 'string' ? args.cwd : folderOf(links);
        const { path } = await serviceManager.contents.newUntitled({ path: folder, type: 'notebook' });
        const content = debugNotebook(kernel, trans);
        await serviceManager.contents.save(path, { type: 'notebook', format: 'json', content });
        await commands.execute('docmanager:open', { path, factory: 'Notebook' });
      }
    });
    addToPalette(palette, trans, CommandIDs.newNotebook);
    launcher?.add({ command: CommandIDs.newNotebook, args: { isLauncher: true }, category: 'Other', rank: 1 });
  }
};

/** The server's default kernel if it is a Python one, or else the first that is. */
function pythonKernel(specs: KernelSpec.ISpecModels | null): IKernelChoice | null {
  const all = Object.values(specs?.kernelspecs ?? {});
  const python = all.filter(spec => spec?.language.toLowerCase() === 'python');
  const chosen = python.find(spec => spec?.name === specs?.default) ?? python[0];
  return chosen === undefined ? null : { name: chosen.name, displayName: chosen.display_name };
}

/** The folder of the current notebook. */
function folderOf(links: INotebookLinks): string {
  const path = links.current?.panel.context.path;
  return path === undefined ? '' : PathExt.dirname(path);
}
