import { caretRightIcon } from '@jupyterlab/ui-components';
import * as React from 'react';

import type { ICheck } from '../protocol/messages';
import { CheckDetails } from './checkDetails';
import { usePanel } from './context';
import { StateSign } from './stateSign';

/** A check as one line that opens. */
export function CheckRow({ check }: { readonly check: ICheck }): React.JSX.Element {
  const { model } = usePanel();
  const button = React.useRef<HTMLButtonElement>(null);
  const isExpanded = model.isExpanded(check.name);
  const isTarget = model.target === check.name;
  React.useEffect(() => {
    if (isTarget) {
      button.current?.closest('li')?.scrollIntoView({ block: 'nearest' });
      button.current?.focus({ preventScroll: true });
      model.reached();
    }
  }, [isTarget, model]);
  const detailsId = `nn-inspector-check-${check.name}`;
  return (
    <li className="jp-nni-Check" data-check={check.name} data-state={check.state}>
      <button
        ref={button}
        type="button"
        className="jp-nni-Check-toggle"
        aria-expanded={isExpanded}
        aria-controls={isExpanded ? detailsId : undefined}
        onClick={() => {
          model.toggle(check.name);
        }}
      >
        <caretRightIcon.react tag="span" className="jp-nni-Check-caret" />
        <span className="jp-nni-Check-title">{check.title}</span>
        <StateSign state={check.state} />
      </button>
      {isExpanded && (
        <div id={detailsId} className="jp-nni-Check-details">
          <CheckDetails check={check} />
        </div>
      )}
    </li>
  );
}
