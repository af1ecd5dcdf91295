import type { KernelLink } from '../kernel/link';
import type { INotebookLinks } from './tokens';

/** The link to the kernel of the notebook that an element is in, if that kernel runs a cell and can be asked meanwhile. */
export function busyLink(links: INotebookLinks, element: Element): KernelLink | null {
  const link = links.containing(element)?.link ?? null;
  return link !== null && link.isBusy && link.snapshot !== null ? link : null;
}
