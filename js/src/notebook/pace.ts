/** Passes on what it is given so often at the most, and the last of it always. */
export class Pace<T> {
  constructor(options: Pace.IOptions<T>) {
    this._options = options;
  }

  /** Pass this on now, or in a while, joined with what comes until then. */
  give(what: T): void {
    this._waiting = [this._waiting.reduce((next, waiting) => this._options.join(waiting, next), what)];
    if (this._timer === undefined) {
      this.flush();
    }
  }

  /** Pass on now what waits. */
  flush(): void {
    clearTimeout(this._timer);
    this._timer = undefined;
    for (const what of this._waiting.splice(0)) {
      this._timer = setTimeout(() => {
        this.flush();
      }, this._options.milliseconds);
      this._options.pass(what);
    }
  }

  private readonly _options: Pace.IOptions<T>;
  private _timer: ReturnType<typeof setTimeout> | undefined;
  /** One thing at the most. */
  private _waiting: T[] = [];
}

export declare namespace Pace {
  interface IOptions<T> {
    /** Between two things at the least. */
    readonly milliseconds: number;
    readonly pass: (what: T) => void;
    /** What waits and what comes after it, as one. */
    readonly join: (waiting: T, next: T) => T;
  }
}
