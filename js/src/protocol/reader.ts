/** A message that is not what docs/protocol.md says. */
export class ShapeError extends Error {
  constructor(
    /** Where in the message, for example `snapshot.checks[3].title`. */
    readonly where: string,
    expected: string
  ) {
    super(`${where}: ${expected} expected`);
  }
}

/** Reads values of unknown shape and remembers where it is, so that an error says what is wrong. */
export class Reader {
  constructor(
    private readonly _value: unknown,
    private readonly _where: string
  ) {}

  /** The field of an object; a missing one reads as undefined. */
  field(name: string): Reader {
    const { _value: value } = this;
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw new ShapeError(this._where, 'an object');
    }
    const fields = value as Record<string, unknown>;
    return new Reader(Object.hasOwn(fields, name) ? fields[name] : undefined, `${this._where}.${name}`);
  }

  /** The item of a list; a missing one reads as undefined. */
  item(index: number): Reader {
    if (!Array.isArray(this._value)) {
      throw new ShapeError(this._where, 'a list');
    }
    return new Reader((this._value as unknown[])[index], `${this._where}[${index.toString()}]`);
  }

  get isMissing(): boolean {
    return this._value === undefined || this._value === null;
  }

  string(): string {
    if (typeof this._value !== 'string') {
      throw new ShapeError(this._where, 'a text');
    }
    return this._value;
  }

  number(): number {
    if (typeof this._value !== 'number') {
      throw new ShapeError(this._where, 'a number');
    }
    return this._value;
  }

  oneOf<T extends string>(choices: readonly T[]): T {
    const found = choices.find(choice => choice === this._value);
    if (found === undefined) {
      throw new ShapeError(this._where, `one of ${choices.join(', ')}`);
    }
    return found;
  }

  list<T>(read: (item: Reader) => T): T[] {
    if (!Array.isArray(this._value)) {
      throw new ShapeError(this._where, 'a list');
    }
    return this._value.map((item, index) => read(new Reader(item, `${this._where}[${index.toString()}]`)));
  }

  /** Null where the value is missing, or else what `read` makes of it. */
  optional<T>(read: (value: Reader) => T): T | null {
    return this.isMissing ? null : read(this);
  }
}
