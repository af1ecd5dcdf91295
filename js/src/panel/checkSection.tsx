import * as React from 'react';

import type { IStage } from './checklist';
import { CheckRow } from './checkRow';
import { usePanel } from './context';

/** The checklist, stage by stage. */
export function CheckSection({ stages }: { readonly stages: readonly IStage[] }): React.JSX.Element {
  const { trans } = usePanel();
  return (
    <section className="jp-nni-Checklist">
      <h3 className="jp-nni-heading">{trans.__('Checklist')}</h3>
      {stages.map(stage => (
        <section key={stage.name} className="jp-nni-Stage" data-stage={stage.name}>
          <h4 className="jp-nni-Stage-title">{stage.title}</h4>
          <ul className="jp-nni-Stage-checks">
            {stage.checks.map(check => (
              <CheckRow key={check.name} check={check} />
            ))}
          </ul>
        </section>
      ))}
    </section>
  );
}
