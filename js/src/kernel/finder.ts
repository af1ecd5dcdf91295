import type { IDisposable } from '@lumino/disposable';
import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';

import type { IKernelPort } from './port';

/** Milliseconds after which a kernel that does not answer is taken for busy. */
export const PATIENCE = 1500;

/**
 * Finds the comm of a kernel that may have opened it before this page was loaded.
 *
 * The kernel answers when it is idle.
 */
export class Finder implements IDisposable {
  constructor(port: Pick<IKernelPort, 'findComm'>) {
    this._port = port;
  }

  /** The kernel has answered: the id of its comm, or null if it has none. */
  get found(): ISignal<this, string | null> {
    return this._found;
  }

  /** The kernel has not answered for so long that it is probably busy. */
  get overdue(): ISignal<this, void> {
    return this._overdue;
  }

  get isSearching(): boolean {
    return this._isSearching;
  }

  get isOverdue(): boolean {
    return this._isOverdue;
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  dispose(): void {
    if (this._isDisposed) {
      return;
    }
    this._isDisposed = true;
    this.cancel();
    Signal.clearData(this);
  }

  /** Begin to search, anew if it was searching. */
  start(): void {
    this.cancel();
    this._isSearching = true;
    void this._search(this._turn);
    this._timer = setTimeout(() => {
      this._isOverdue = true;
      this._overdue.emit();
    }, PATIENCE);
  }

  /** Give up: it is known otherwise. */
  cancel(): void {
    this._turn++;
    this._isSearching = false;
    this._isOverdue = false;
    clearTimeout(this._timer);
  }

  private async _search(turn: number): Promise<void> {
    const id = await this._port.findComm();
    if (turn === this._turn) {
      this.cancel();
      this._found.emit(id);
    }
  }

  private readonly _port: Pick<IKernelPort, 'findComm'>;
  private readonly _found = new Signal<this, string | null>(this);
  private readonly _overdue = new Signal<this, void>(this);
  private _timer: ReturnType<typeof setTimeout> | undefined;
  private _turn = 0;
  private _isSearching = false;
  private _isOverdue = false;
  private _isDisposed = false;
}
