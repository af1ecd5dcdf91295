import type { IDisposable } from '@lumino/disposable';

/**
 * Milliseconds between two requests in any case: the kernel is to know that the page is there, and whether it is hidden. It sends
 * next to nothing to a page that has been silent for five seconds.
 */
export const PRESENCE = 3000;

/**
 * Asks a busy kernel for news, where it does not report by itself, and every three seconds where it does.
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
    this._timer = undefined;
  }

  /** News came: of a training, perhaps, that goes on though no cell runs. */
  heard(): void {
    this._heard = Date.now();
    if (this._timer === undefined) {
      this._tick();
    }
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

    /** Whether the kernel is busy, or a training runs in a thread of its own. */
    readonly isNeeded: () => boolean;

    /** Whether the kernel can be reached, and would understand. */
    readonly isAllowed: () => boolean;

    /** Seconds between two questions. */
    readonly seconds: () => number;
  }
}
