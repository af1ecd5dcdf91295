import type { NotebookPanel } from '@jupyterlab/notebook';
import type { IDisposable } from '@lumino/disposable';
import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';

import { JupyterPort } from '../kernel/jupyterPort';
import { KernelLink } from '../kernel/link';
import { insertCell } from './insertCell';

/** A notebook and the link to its kernel, whichever that is. */
export class NotebookLink implements IDisposable {
  constructor(options: NotebookLink.IOptions) {
    this.panel = options.panel;
    this._refreshSeconds = options.refreshSeconds;
    this.panel.sessionContext.kernelChanged.connect(this._connect, this);
    this.panel.disposed.connect(this.dispose, this);
    // The session's own connection is still there then, so that the kernel can be told.
    this.panel.sessionContext.disposed.connect(this.dispose, this);
    this.panel.sessionContext.statusChanged.connect(this._onStatus, this);
    this._connect();
  }

  readonly panel: NotebookPanel;

  /** The kernel is another one, or what is known of it has changed. */
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  /** Null if the notebook has no kernel. */
  get link(): KernelLink | null {
    return this._link;
  }

  /** Where the notebook stands in the page. */
  get node(): HTMLElement {
    return this.panel.node;
  }

  /** The keys of the dashboards that its kernel shows, as far as is known. */
  get dashboards(): readonly string[] {
    return this._link?.snapshot?.dashboards ?? [];
  }

  /** Whether the notebook may get a kernel in a moment. */
  get isStarting(): boolean {
    const { isReady, hasNoKernel } = this.panel.sessionContext;
    return !isReady && !hasNoKernel;
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  dispose(): void {
    if (this._isDisposed) {
      return;
    }
    this._isDisposed = true;
    this.panel.sessionContext.kernelChanged.disconnect(this._connect, this);
    this.panel.sessionContext.statusChanged.disconnect(this._onStatus, this);
    this.panel.disposed.disconnect(this.dispose, this);
    this.panel.sessionContext.disposed.disconnect(this.dispose, this);
    this._link?.dispose();
    this._link = null;
    Signal.clearData(this);
  }

  private _connect(): void {
    this._link?.dispose();
    this._link = null;
    const kernel = this.panel.sessionContext.session?.kernel ?? null;
    if (kernel !== null) {
      this._link = new KernelLink({
        port: new JupyterPort({ kernel }),
        refreshSeconds: this._refreshSeconds,
        mentionsUs: () => this._mentionsUs(),
        isHidden: () => document.hidden
      });
      this._link.changed.connect(() => {
        this._changed.emit();
      });
      this._link.insertionAsked.connect((_, source) => {
        void insertCell(this.panel, source);
      });
    }
    this._changed.emit();
  }

  private _onStatus(): void {
    if (this._link === null) {
      this._changed.emit();
    }
  }

  private _mentionsUs(): boolean {
    const cells = this.panel.content.model?.sharedModel.cells ?? [];
    return cells.some(cell => cell.getSource().includes('nn_inspector'));
  }

  private readonly _refreshSeconds: () => number;
  private readonly _changed = new Signal<this, void>(this);
  private _link: KernelLink | null = null;
  private _isDisposed = false;
}

export declare namespace NotebookLink {
  interface IOptions {
    readonly panel: NotebookPanel;
    readonly refreshSeconds: () => number;
  }
}
