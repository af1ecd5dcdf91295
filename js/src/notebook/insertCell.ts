import type { NotebookPanel } from '@jupyterlab/notebook';

/** Insert a code cell below the active one, make it the active one, and scroll to it. */
export async function insertCell(panel: NotebookPanel, source: string): Promise<void> {
  const { content } = panel;
  const notebook = content.model?.sharedModel;
  if (notebook === undefined) {
    return;
  }
  const index = notebook.cells.length === 0 ? 0 : content.activeCellIndex + 1;
  notebook.insertCell(index, { cell_type: 'code', source, metadata: { trusted: true } });
  content.deselectAll();
  content.activeCellIndex = index;
  await content.scrollToItem(index);
}
