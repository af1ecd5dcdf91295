import { describe, expect, it } from 'vitest';

import type { KernelLink } from '../src/kernel/link';
import { busyLink } from '../src/notebook/busyLink';
import type { NotebookLink } from '../src/notebook/notebookLink';
import { ownerOf } from '../src/notebook/owner';
import { FakeElement } from './fakeElement';

const asElement = (element: FakeElement): Element => element as unknown as Element;

function buttonIn(outer: FakeElement | null, ...classes: readonly string[]): Element {
  return asElement(new FakeElement(['nni-stop'], new FakeElement(['nni-dashboard', ...classes], outer)));
}

describe('ownerOf', () => {
  const first = { node: new FakeElement([]), dashboards: ['a-1'] };
  const second = { node: new FakeElement([]), dashboards: ['b-1', 'b-2'] };
  const owners = [first, second];

  it.each<[string, Element, object | null]>([
    ['the notebook in which it stands', buttonIn(second.node, 'nni-board-b-1'), second],
    ['that notebook, before its kernel has said of the dashboard', buttonIn(first.node, 'nni-board-a-9'), first],
    ['the notebook whose dashboard stands in a tab of its own', buttonIn(null, 'nni-board-b-2'), second],
    ['none for a dashboard that no kernel shows', buttonIn(null, 'nni-board-b-3'), null],
    ['none for one with a part of a key', buttonIn(null, 'nni-board-b'), null],
    ['none for one that follows no training', buttonIn(null), null],
    ['none for something else in the page', asElement(new FakeElement([])), null]
  ])('is %s', (_, element, expected) => {
    expect(ownerOf(element, owners)).toBe(expected);
  });

  it('is none where no notebook is open', () => {
    expect(ownerOf(buttonIn(null, 'nni-board-a-1'), [])).toBeNull();
  });
});

describe('busyLink', () => {
  const linkOf = (state: Partial<Pick<KernelLink, 'isBusy' | 'snapshot'>>): KernelLink =>
    ({ isBusy: true, snapshot: { dashboards: [] }, ...state }) as unknown as KernelLink;
  const linksTo = (link: KernelLink | null): { around(): NotebookLink } => ({
    around: () => ({ link }) as unknown as NotebookLink
  });
  const busy = linkOf({});

  it('is that of a kernel that runs a cell', () => {
    expect(busyLink(linksTo(busy), buttonIn(null, 'nni-board-a-1'))).toBe(busy);
  });

  it.each<[string, KernelLink | null]>([
    ['no kernel', null],
    ['a kernel at rest', linkOf({ isBusy: false })],
    ['a kernel of which nothing is known', linkOf({ snapshot: null })]
  ])('is none of %s', (_, link) => {
    expect(busyLink(linksTo(link), buttonIn(null, 'nni-board-a-1'))).toBeNull();
  });

  it('is none of a dashboard that follows no training', () => {
    expect(busyLink(linksTo(busy), buttonIn(null))).toBeNull();
  });
});
