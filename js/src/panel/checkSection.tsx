import { caretRightIcon } from '@jupyterlab/ui-components';
import * as React from 'react';

import { standing, type IStage } from './checklist';
import { CheckRow } from './checkRow';
import { usePanel } from './context';
import { StateSign } from './stateSign';

/** The checklist: stages that open and show their checks. */
export function CheckSection({ stages }: { readonly stages: readonly IStage[] }): React.JSX.Element {
  const { trans } = usePanel();
  return (
    <section className="jp-nni-Checklist">
      <h3 className="jp-nni-heading">{trans.__('Checklist')}</h3>
      {stages.map(stage => (
        <Stage key={stage.name} stage={stage} />
      ))}
    </section>
  );
}

function Stage({ stage }: { readonly stage: IStage }): React.JSX.Element {
  const { model, trans } = usePanel();
  const isOpen = model.isOpen(stage.name);
  const { made, worst } = standing(stage);
  const listId = `nn-inspector-stage-${stage.name}`;
  return (
    <section className="jp-nni-Stage" data-stage={stage.name}>
      <h4 className="jp-nni-Stage-title">
        <button
          type="button"
          className="jp-nni-Stage-toggle"
          aria-expanded={isOpen}
          aria-controls={isOpen ? listId : undefined}
          onClick={() => {
            model.toggleStage(stage.name);
          }}
        >
          <caretRightIcon.react tag="span" className="jp-nni-Check-caret" />
          <span className="jp-nni-Check-title">{stage.title}</span>
          {worst !== null && <StateSign state={worst} />}
          <span className="jp-nni-Stage-count" title={trans.__('%1 of %2 checks made', made, stage.checks.length)}>
            {`${made.toString()}/${stage.checks.length.toString()}`}
          </span>
        </button>
      </h4>
      {isOpen && (
        <ul id={listId} className="jp-nni-Stage-checks">
          {stage.checks.map(check => (
            <CheckRow key={check.name} check={check} />
          ))}
        </ul>
      )}
    </section>
  );
}
