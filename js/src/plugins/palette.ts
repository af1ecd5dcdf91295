import type { ICommandPalette } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';

/** Put commands into the palette, under our own category. */
export function addToPalette(palette: ICommandPalette | null, trans: TranslationBundle, ...commands: string[]): void {
  for (const command of commands) {
    palette?.addItem({ command, category: trans.__('Network inspector') });
  }
}
