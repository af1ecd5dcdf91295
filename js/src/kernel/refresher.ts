import type { IDisposable } from '@lumino/disposable';

/** Milliseconds between two requests in any case: the kernel is to know that the page is there, and whether it is hidden. */
export const PRESENCE = 60_000;

/**
 * Asks a busy kernel for news, where it does not report by itself, and once a minute where it does.
 *
 * It does not after a page reload, and while nothing in the notebook shows its training.
 */
export class Refresher implements IDisposable {
  constructor(options: Refresher.IOptions) {
    this._options = options;
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  dispose(): void {
    this._isDisposed = true;
    this.stop();
  }

  /** Ask now, and then again and again as long as the kernel is busy. */
  askNow(): void {
    this._heard = -Infinity;
    this._tick();
  }

  /** The kernel became busy: ask if it was not asked of late, and then if it says nothing by itself. */
  start(): void {
    this.stop();
    this._heard = Date.now();
    this._tick();
  }

  stop(): void {
    clearTimeout(this._timer);
  }

  /** News came. */
  heard(): void {
    this._heard = Date.now();
  }

  private _tick(): void {
    this.stop();
    const { isNeeded, isAllowed, ask, seconds } = this._options;
    if (this._isDisposed || !isNeeded()) {
      return;
    }
    const patience = 1000 * seconds();
    const now = Date.now();
    const left = Math.min(this._heard + patience, this._asked + PRESENCE) - now;
    if (left > 0) {
      this._schedule(left);
      return;
    }
    if (isAllowed()) {
      this._asked = now;
      ask();
    }
    this._schedule(patience);
  }

  private _schedule(milliseconds: number): void {
    this._timer = setTimeout(() => {
      this._tick();
    }, milliseconds);
  }

  private readonly _options: Refresher.IOptions;
  private _timer: ReturnType<typeof setTimeout> | undefined;
  private _heard = -Infinity;
  private _asked = -Infinity;
  private _isDisposed = false;
}

export declare namespace Refresher {
  interface IOptions {
    readonly ask: () => void;

    /** Whether the kernel is busy. */
    readonly isNeeded: () => boolean;

    /** Whether the kernel would understand. */
    readonly isAllowed: () => boolean;

    /** Seconds between two questions. */
    readonly seconds: () => number;
  }
}
