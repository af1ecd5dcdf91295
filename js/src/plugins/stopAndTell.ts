import { Notification } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';

import type { KernelLink } from '../kernel/link';

/** Ask a kernel to stop its training, and tell the user what it said. */
export async function stopAndTell(link: KernelLink | null, trans: TranslationBundle): Promise<void> {
  const outcome = link === null || link.isAtRest ? null : await link.stop();
  if (outcome === null) {
    Notification.info(trans.__('No training is running.'), { autoClose: 5000 });
  } else if (outcome.kind === 'answered') {
    Notification.info(outcome.message, { autoClose: 5000 });
  } else if (outcome.kind === 'noted') {
    Notification.info(trans.__('The training stops after this step.'), { autoClose: 5000 });
  } else {
    Notification.warning(trans.__('No answer from the kernel. Use Interrupt (■) instead.'), { autoClose: 10000 });
  }
}
