import type { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';
import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';

import { NotebookLink } from './notebookLink';
import { ownerOf } from './owner';
import type { INotebookLinks } from './tokens';

/** One link for each open notebook. */
export class NotebookLinks implements INotebookLinks {
  constructor(options: NotebookLinks.IOptions) {
    this._tracker = options.tracker;
    this._refreshSeconds = options.refreshSeconds;
    this._tracker.forEach(panel => {
      this._add(panel);
    });
    this._tracker.widgetAdded.connect((_, panel) => {
      this._add(panel);
    });
    this._tracker.currentChanged.connect(() => {
      this._changed.emit();
    });
  }

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  get current(): NotebookLink | null {
    const panel = this._tracker.currentWidget;
    return (panel && this._links.get(panel)) ?? null;
  }

  around(element: Element): NotebookLink | null {
    return ownerOf(element, [...this._links.values()]);
  }

  /** The page is hidden now, or can be seen again. */
  tellVisibility(): void {
    for (const { link } of this._links.values()) {
      link?.tellVisibility();
    }
  }

  private _add(panel: NotebookPanel): void {
    if (this._links.has(panel)) {
      return;
    }
    const link = new NotebookLink({ panel, refreshSeconds: this._refreshSeconds });
    this._links.set(panel, link);
    link.changed.connect(() => {
      if (link === this.current) {
        this._changed.emit();
      }
    });
    panel.disposed.connect(() => {
      this._links.delete(panel);
    });
  }

  private readonly _tracker: INotebookTracker;
  private readonly _refreshSeconds: () => number;
  private readonly _links = new Map<NotebookPanel, NotebookLink>();
  private readonly _changed = new Signal<this, void>(this);
}

export declare namespace NotebookLinks {
  interface IOptions {
    readonly tracker: INotebookTracker;
    readonly refreshSeconds: () => number;
  }
}
