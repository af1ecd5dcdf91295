import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { PageConfig } from '@jupyterlab/coreutils';
import { INotebookTracker } from '@jupyterlab/notebook';
import { ISettingRegistry } from '@jupyterlab/settingregistry';

import { NotebookLinks } from '../notebook/notebookLinks';
import { INotebookLinks } from '../notebook/tokens';
import { REQUEST } from '../protocol/messages';
import { Settings, SETTINGS_PLUGIN } from '../settings';

/** Connects each notebook to the nn_inspector in its kernel. */
export const connections: JupyterFrontEndPlugin<INotebookLinks> = {
  id: SETTINGS_PLUGIN,
  description: 'Connects each notebook to the nn_inspector in its kernel.',
  autoStart: true,
  provides: INotebookLinks,
  requires: [INotebookTracker],
  optional: [ISettingRegistry],
  activate: (_: JupyterFrontEnd, tracker: INotebookTracker, registry: ISettingRegistry | null): INotebookLinks => {
    keepKernelStatus();
    const settings = new Settings(registry);
    const links = new NotebookLinks({ tracker, refreshSeconds: () => settings.refreshSeconds });
    document.addEventListener('visibilitychange', () => {
      links.tellVisibility();
    });
    return links;
  }
};

/**
 * A kernel reports "idle" after our request on the control channel, though its cell still runs.
 * JupyterLab shall not take that for the kernel's status.
 */
function keepKernelStatus(): void {
  const option = 'untracked_message_types';
  const known = JSON.parse(PageConfig.getOption(option) || '[]') as string[];
  PageConfig.setOption(option, JSON.stringify([...new Set([...known, REQUEST])]));
}
