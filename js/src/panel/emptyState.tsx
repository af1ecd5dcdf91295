import * as React from 'react';

import type { KernelLink } from '../kernel/link';
import { usePanel } from './context';
import type { Phase } from './model';
import { loadFailureText, troubleText } from './texts';

/** Why there is nothing to show, and what can be done. */
export function EmptyState(): React.JSX.Element {
  const { model, trans } = usePanel();
  const { link, phase } = model;
  const texts: Readonly<Record<Phase, string>> = {
    'no-notebook': trans.__('Open a notebook to see how its training goes.'),
    starting: trans.__('Waiting for the kernel…'),
    'no-kernel': trans.__('This notebook has no kernel. Choose a Python kernel for it.'),
    foreign: trans.__('This notebook has no Python kernel. Choose one to look at a PyTorch network.'),
    asking: trans.__('Waiting for the kernel…'),
    busy: trans.__('The kernel is busy and has not answered yet. The checklist comes as soon as it does.'),
    absent: trans.__('This kernel does not use nn_inspector yet.'),
    mismatch: link?.trouble ? troubleText(link.trouble, trans) : '',
    loaded: ''
  };
  return (
    <section className="jp-nni-Empty" data-phase={phase}>
      <p className="jp-nni-Text" role="status">
        {texts[phase]}
      </p>
      {phase === 'absent' && link !== null && <Loading link={link} />}
    </section>
  );
}

function Loading({ link }: { readonly link: KernelLink }): React.JSX.Element {
  const { actions, trans } = usePanel();
  const { isLoading, failure } = link.loader;
  return (
    <>
      <div className="jp-nni-Buttons">
        <button
          type="button"
          className="jp-nni-Button jp-nni-Empty-load"
          disabled={isLoading}
          onClick={() => {
            actions.load();
          }}
        >
          {isLoading ? trans.__('Loading…') : trans.__('Load nn_inspector')}
        </button>
      </div>
      {isLoading && link.isBusy && (
        <p className="jp-nni-Text">{trans.__('It is loaded when the running cell has ended.')}</p>
      )}
      {failure !== null && (
        <p className="jp-nni-Text jp-nni-Empty-failure" role="alert">
          {loadFailureText(failure, trans)}
        </p>
      )}
    </>
  );
}
