/** The cells that are inserted into a notebook. */

const LOAD = '%load_ext nn_inspector';

/** Opens the wizard. */
export const WIZARD_CELL = 'import nn_inspector as nni\nnni.wizard()';

/** Watches the training of the notebook. */
export function watchCell(isLoaded: boolean): string {
  return withMagics(isLoaded, '%nn_watch');
}

/** Makes one check. */
export function checkCell(name: string, isLoaded: boolean): string {
  return withMagics(isLoaded, `%nn_check ${name}`);
}

/** Our magics exist only where the extension is loaded. */
function withMagics(isLoaded: boolean, source: string): string {
  return isLoaded ? source : `${LOAD}\n${source}`;
}
