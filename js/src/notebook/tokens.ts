import { Token } from '@lumino/coreutils';
import type { ISignal } from '@lumino/signaling';

import type { NotebookLink } from './notebookLink';

/** The links between the open notebooks and their kernels. */
export interface INotebookLinks {
  /** Another notebook is the current one, or what is known of its kernel has changed. */
  readonly changed: ISignal<INotebookLinks, void>;

  /** That of the current notebook; null if none is open. */
  readonly current: NotebookLink | null;

  /** That of the notebook in which an element stands, or whose dashboard it is part of in a tab beside the notebook. */
  around(element: Element): NotebookLink | null;
}

export const INotebookLinks = new Token<INotebookLinks>(
  'nn_inspector:INotebookLinks',
  'The links between the open notebooks and the nn_inspector in their kernels.'
);
