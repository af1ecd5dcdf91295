import type { Cell, ICodeCellModel } from '@jupyterlab/cells';
import type { NotebookPanel } from '@jupyterlab/notebook';
import { NotebookActions } from '@jupyterlab/notebook';

/** Run a code cell; once more if the kernel dropped it because the cell before it ended with an error. */
export async function runCell({ content, sessionContext }: NotebookPanel, cell: Cell): Promise<void> {
  const run = (): Promise<boolean> => NotebookActions.runCells(content, [cell], sessionContext);
  if (!(await run()) && wasDropped(cell)) {
    await run();
  }
}

function wasDropped(cell: Cell): boolean {
  if (cell.isDisposed) {
    return false;
  }
  const { executionCount, outputs } = cell.model as ICodeCellModel;
  return executionCount === null && outputs.length === 0;
}
