/** Shortcuts are not looked for around an element that has it. */
const SUPPRESS = 'data-lm-suppress-shortcuts';

const LIST = '.nni-dashboard select, .nni-comparison select, .nni-wizard select';

/** A key that was pressed, as far as it takes to know whom it is for. */
export type Key = Pick<KeyboardEvent, 'ctrlKey' | 'metaKey' | 'altKey'>;

/** Leave a key to the list of ours that has the focus: arrows and letters choose in it. Those with Ctrl are the page's. */
export function leaveToList(target: Element, { ctrlKey, metaKey, altKey }: Key): void {
  if (target.matches(LIST)) {
    target.toggleAttribute(SUPPRESS, !(ctrlKey || metaKey || altKey));
  }
}
