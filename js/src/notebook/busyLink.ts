import type { KernelLink } from '../kernel/link';
import { dashboardAround } from './dashboardKey';
import type { INotebookLinks } from './tokens';

/**
 * The link to the kernel of the dashboard that an element is part of, if that kernel runs a cell and can be asked meanwhile.
 *
 * Null also for a dashboard that follows no training: what is done to it waits for the end of the cell.
 */
export function busyLink(links: Pick<INotebookLinks, 'around'>, element: Element): KernelLink | null {
  const link = dashboardAround(element) === null ? null : (links.around(element)?.link ?? null);
  return link !== null && link.isBusy && link.snapshot !== null ? link : null;
}
