import type { TranslationBundle } from '@jupyterlab/translation';

import type { Trouble } from '../kernel/link';
import type { LoadFailure } from '../kernel/load';
import { PROTOCOL } from '../protocol/messages';

type Translate = Pick<TranslationBundle, '__'>;

/** Why nn_inspector could not be loaded, and what to do. */
export function loadFailureText(failure: LoadFailure, trans: Translate): string {
  switch (failure.kind) {
    case 'missing':
      return trans.__(
        'nn_inspector is not installed where this kernel runs. Run "pip install nn_inspector" in the kernel\'s environment.'
      );
    case 'error':
      return trans.__('nn_inspector could not be loaded: %1', failure.message);
    case 'cancelled':
      return trans.__('Loading was cut short. Try again.');
    case 'silent':
      return trans.__('The kernel has loaded nn_inspector, but it does not answer. Is it an old version?');
  }
}

/** Why the kernel's messages are ignored, and what to do. */
export function troubleText(trouble: Trouble, trans: Translate): string {
  return trouble.kind === 'version'
    ? trans.__(
        "The kernel's nn_inspector speaks version %1 of the protocol, JupyterLab's version %2. Install the same version of nn_inspector in both.",
        trouble.version,
        PROTOCOL.toString()
      )
    : trans.__('The kernel cannot be understood. %1', trouble.message);
}
