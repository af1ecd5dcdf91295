import { InputDialog, Notification } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';

import type { KernelLink } from '../kernel/link';
import { loadFailureText, troubleText } from '../panel/texts';

/** Let the user choose a check of the kernel's catalogue; null if there is none or the user does not want one. */
export async function chooseCheck(link: KernelLink | null, trans: TranslationBundle): Promise<string | null> {
  if (link === null || link.state === 'foreign') {
    Notification.warning(trans.__('This notebook has no Python kernel.'), { autoClose: 5000 });
    return null;
  }
  if (link.snapshot === null && !(await loadWithNotice(link, trans))) {
    return null;
  }
  const checks = link.snapshot?.checks ?? [];
  const { value } = await InputDialog.getItem({
    title: trans.__('Insert a check'),
    label: trans.__('Which check?'),
    items: checks.map(check => check.title),
    okLabel: trans.__('Insert')
  });
  return checks.find(check => check.title === value)?.name ?? null;
}

async function loadWithNotice(link: KernelLink, trans: TranslationBundle): Promise<boolean> {
  const notice = Notification.emit(
    link.isBusy
      ? trans.__('The checks are listed when the running cell has ended.')
      : trans.__('Loading nn_inspector in the kernel…'),
    'in-progress',
    { autoClose: false }
  );
  const isLoaded = await link.loader.load();
  Notification.dismiss(notice);
  if (!isLoaded) {
    const text =
      link.trouble !== null
        ? troubleText(link.trouble, trans)
        : loadFailureText(link.loader.failure ?? { kind: 'silent' }, trans);
    Notification.error(text, { autoClose: false });
  }
  return isLoaded;
}
