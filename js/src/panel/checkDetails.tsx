import * as React from 'react';

import type { ICheck } from '../protocol/messages';
import { usePanel } from './context';

/** All that is known of a check. */
export function CheckDetails({ check }: { readonly check: ICheck }): React.JSX.Element {
  const { actions, trans } = usePanel();
  const { code } = check;
  return (
    <>
      <p className="jp-nni-Check-question">{check.question}</p>
      <Part name="message" label={trans.__('Finding')} text={check.message} />
      <Part name="why" label={trans.__('Why')} text={check.why} />
      <Part name="remedy" label={trans.__('Remedy')} text={check.remedy} />
      <Part name="tried" label={trans.__('What was tried')} text={check.tried} />
      {code !== null && (
        <pre className="jp-nni-Check-code" tabIndex={0}>
          {code}
        </pre>
      )}
      <div className="jp-nni-Buttons">
        <button
          type="button"
          className="jp-nni-Button"
          data-action="insert-check"
          onClick={() => {
            actions.insertCheck(check.name);
          }}
        >
          {trans.__('Insert check')}
        </button>
        {code !== null && (
          <button
            type="button"
            className="jp-nni-Button"
            data-action="insert-remedy"
            onClick={() => {
              actions.insertCell(code);
            }}
          >
            {trans.__('Insert remedy')}
          </button>
        )}
      </div>
    </>
  );
}

function Part(props: {
  readonly name: string;
  readonly label: string;
  readonly text: string | null;
}): React.JSX.Element | null {
  if (props.text === null || props.text === '') {
    return null;
  }
  return (
    <div className="jp-nni-Part" data-part={props.name}>
      <h5 className="jp-nni-Part-label">{props.label}</h5>
      <p className="jp-nni-Part-text">{props.text}</p>
    </div>
  );
}
