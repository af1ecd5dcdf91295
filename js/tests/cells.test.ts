import { describe, expect, it } from 'vitest';

import { checkCell, watchCell } from '../src/notebook/sources';
import { debugNotebook } from '../src/notebook/template';

const trans = { __: (text: string) => text };

interface ICell {
  readonly cell_type: string;
  readonly id: string;
  readonly source: string;
}

describe('the cells to insert', () => {
  it.each([
    [watchCell(true), '%nn_watch'],
    [watchCell(false), '%load_ext nn_inspector\n%nn_watch'],
    [checkCell('shuffling', true), '%nn_check shuffling'],
    [checkCell('shuffling', false), '%load_ext nn_inspector\n%nn_check shuffling']
  ])('%#', (source, expected) => {
    expect(source).toBe(expected);
  });
});

describe('the new notebook', () => {
  const notebook = debugNotebook({ name: 'python3', displayName: 'Python 3' }, trans);
  const cells = notebook.cells as unknown as ICell[];

  it('names its kernel, so that nobody is asked for one', () => {
    expect(notebook.metadata).toEqual({
      kernelspec: { name: 'python3', display_name: 'Python 3', language: 'python' }
    });
  });

  it('has its cells in an order in which they run', () => {
    expect(cells.map(cell => cell.id)).toEqual([
      'introduction',
      'load',
      'network',
      'watch',
      'train',
      'diagnose',
      'wizard'
    ]);
    const all = cells.map(cell => cell.source).join('\n');
    for (const name of ['nni', 'model', 'optimizer', 'loss_fn', 'train_loader', 'val_loader', 'inspector']) {
      const made = all.search(new RegExp(`^(import .* as ${name}|${name}(, \\w+)? =)`, 'm'));
      const used = all.search(new RegExp(`[(=, ]${name}[.,)]`));
      expect([name, made >= 0 && (used < 0 || made < used)]).toEqual([name, true]);
    }
  });
});
