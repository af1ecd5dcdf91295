import { Notification } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';

import type { KernelLink } from '../kernel/link';
import type { ISteering } from '../protocol/messages';

/** Ask something of a kernel's training, and tell the user what it said. */
export async function steerAndTell(link: KernelLink | null, wish: ISteering, trans: TranslationBundle): Promise<void> {
  const outcome = link === null || link.isAtRest ? null : await link.steer(wish);
  if (outcome === null) {
    Notification.info(trans.__('No training is running.'), { autoClose: 5000 });
  } else if (outcome.kind === 'answered') {
    Notification.info(outcome.message, { autoClose: 5000 });
  } else if (outcome.kind === 'noted') {
    Notification.info(trans.__('Done after this step.'), { autoClose: 5000 });
  } else {
    Notification.warning(trans.__('No answer from the kernel. Use Interrupt (■) instead.'), { autoClose: 10000 });
  }
}
