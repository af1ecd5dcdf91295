const BOARD = /^nni-board-(.+)$/;

/** The key of the dashboard that an element is part of; null if it is part of none that follows a training. */
export function dashboardAround(element: Element): string | null {
  return nameIn(element.closest('.nni-dashboard'), BOARD);
}

/** What a class of an element names, as far as the pattern's first group goes; null if none does. */
export function nameIn(element: Element | null, pattern: RegExp): string | null {
  for (const name of element?.classList ?? []) {
    const found = pattern.exec(name)?.[1];
    if (found !== undefined) {
      return found;
    }
  }
  return null;
}
