/**
 * Keeps what is typed into an editable element, while others write into it.
 *
 * An update of a widget puts the old text back, and the cursor before it: a number would be gone before it is whole.
 */
export class KeptText {
  constructor(element: HTMLElement) {
    this.element = element;
    this._text = element.innerText;
    this._observer = new MutationObserver(() => {
      this._restore();
    });
    this._observer.observe(element, { childList: true, characterData: true, subtree: true });
    getSelection()?.selectAllChildren(element); // what is typed takes the place of the old text
  }

  readonly element: HTMLElement;

  /** The user has typed. */
  note(): void {
    this._text = this.element.innerText;
    this._typed = true;
  }

  /** What was typed, with which it is left; null if nothing was. */
  end(): string | null {
    this._observer.disconnect();
    return this._typed ? this._text : null;
  }

  private _restore(): void {
    if (this.element.innerText !== this._text) {
      this.element.innerText = this._text;
      const selection = getSelection();
      selection?.selectAllChildren(this.element);
      if (this._typed) {
        selection?.collapseToEnd();
      }
    }
  }

  private readonly _observer: MutationObserver;
  private _text: string;
  private _typed = false;
}
