/** An element of a page, as far as classes, parents and attributes go. */
export class FakeElement {
  constructor(
    readonly classList: readonly string[],
    readonly parent: FakeElement | null = null
  ) {
    parent?._children.push(this);
  }

  checked = false;
  disabled = false;
  selectedIndex = -1;
  value = '';

  closest(selector: string): FakeElement | null {
    return this.classList.includes(selector.slice(1)) ? this : (this.parent?.closest(selector) ?? null);
  }

  hasAttribute(name: string): boolean {
    return name === 'disabled' && this.disabled;
  }

  contains(element: unknown): boolean {
    return element === this || this._children.some(child => child.contains(element));
  }

  querySelectorAll(selector: string): FakeElement[] {
    return this._children.flatMap(child => [
      ...(child.classList.includes(selector.slice(1)) ? [child] : []),
      ...child.querySelectorAll(selector)
    ]);
  }

  private readonly _children: FakeElement[] = [];
}
