import { dashboardAround } from './dashboardKey';

/** A notebook, as far as it takes to find what belongs to it. */
export interface IOwner {
  /** Where it stands in the page. */
  readonly node: { contains(element: Element): boolean };

  /** The keys of the dashboards that its kernel shows. */
  readonly dashboards: readonly string[];
}

/**
 * The notebook to which an element belongs: in which it stands, or else whose kernel shows the dashboard that it is part of.
 *
 * A view of a cell's output in a tab of its own stands in no notebook.
 */
export function ownerOf<T extends IOwner>(element: Element, owners: readonly T[]): T | null {
  const inside = owners.find(({ node }) => node.contains(element));
  if (inside !== undefined) {
    return inside;
  }
  const key = dashboardAround(element);
  return (key === null ? undefined : owners.find(({ dashboards }) => dashboards.includes(key))) ?? null;
}
