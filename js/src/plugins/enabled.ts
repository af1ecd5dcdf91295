import type { JupyterFrontEnd } from '@jupyterlab/application';

import type { INotebookLinks } from '../notebook/tokens';

/** Have toolbar and menus redrawn when commands become enabled or disabled, and only then. */
export function followEnabled(
  commands: JupyterFrontEnd['commands'],
  links: INotebookLinks,
  isEnabled: () => boolean,
  ...ids: string[]
): void {
  let wasEnabled = isEnabled();
  links.changed.connect(() => {
    if (isEnabled() !== wasEnabled) {
      wasEnabled = !wasEnabled;
      for (const id of ids) {
        commands.notifyCommandChanged(id);
      }
    }
  });
}
