import * as React from 'react';

import type { ICheck } from '../protocol/messages';
import { usePanel } from './context';
import { StateSign } from './stateSign';

/** Errors and warnings, to be seen without opening anything. */
export function FindingSection({ raised }: { readonly raised: readonly ICheck[] }): React.JSX.Element | null {
  const { model, trans } = usePanel();
  if (raised.length === 0) {
    return null;
  }
  const titles = new Map(raised.map(check => [check.name, check.title]));
  return (
    <section className="jp-nni-Findings">
      <h3 className="jp-nni-heading">{trans.__('Findings')}</h3>
      <ul className="jp-nni-Findings-list">
        {raised.map(check => (
          <li key={check.name} className={check.symptomOf === null ? undefined : 'jp-nni-Symptom'}>
            <button
              type="button"
              className="jp-nni-Finding"
              data-check={check.name}
              data-state={check.state}
              onClick={() => {
                model.reveal(check.name);
              }}
            >
              <span className="jp-nni-Finding-line">
                <span className="jp-nni-Finding-title">{check.title}</span>
                <StateSign state={check.state} />
              </span>
              <span className="jp-nni-Finding-message">{check.message}</span>
              {check.symptomOf !== null && (
                <span className="jp-nni-Finding-cause">
                  {trans.__('Explained by %1', titles.get(check.symptomOf) ?? '')}
                </span>
              )}
            </button>
          </li>
        ))}
      </ul>
    </section>
  );
}
