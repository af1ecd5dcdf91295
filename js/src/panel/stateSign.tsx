import * as React from 'react';

import type { CheckState } from '../protocol/messages';
import { usePanel } from './context';

/** In a box of 16 by 16: a shape of its own for each state, so that colour is not needed to tell them apart. */
const SHAPES: Readonly<Record<CheckState, React.JSX.Element>> = {
  open: <circle cx="8" cy="8" r="6" fill="none" stroke="currentColor" strokeWidth="1.5" strokeDasharray="2.6 2.1" />,
  ok: <path d="M2.5 8.5l3.7 3.7L13.5 4.5" fill="none" stroke="currentColor" strokeWidth="2.2" strokeLinecap="round" />,
  info: (
    <g fill="none" stroke="currentColor" strokeWidth="1.5" strokeLinecap="round">
      <circle cx="8" cy="8" r="6.2" />
      <path d="M8 7.4v3.6M8 4.9v.1" strokeWidth="1.8" />
    </g>
  ),
  warning: (
    <g fill="none" stroke="currentColor" strokeWidth="1.5" strokeLinecap="round" strokeLinejoin="round">
      <path d="M8 2L14.6 13.8H1.4z" />
      <path d="M8 6.4v3.4M8 11.8v.1" strokeWidth="1.8" />
    </g>
  ),
  error: (
    <path
      fill="currentColor"
      fillRule="evenodd"
      d="M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1zM4.9 6.1l1.2-1.2L8 6.8l1.9-1.9 1.2 1.2L9.2 8l1.9 1.9-1.2 1.2L8 9.2l-1.9 1.9-1.2-1.2L6.8 8z"
    />
  ),
  skipped: <path d="M3.5 8h9" stroke="currentColor" strokeWidth="2.2" strokeLinecap="round" />
};

/** The state of a check as sign and word. */
export function StateSign({ state }: { readonly state: CheckState }): React.JSX.Element {
  const { trans } = usePanel();
  const words: Readonly<Record<CheckState, string>> = {
    open: trans.__('open'),
    ok: trans.__('ok'),
    info: trans.__('info'),
    warning: trans.__('warning'),
    error: trans.__('error'),
    skipped: trans.__('skipped')
  };
  return (
    <span className="jp-nni-State" data-state={state}>
      <svg className="jp-nni-State-sign" viewBox="0 0 16 16" width="14" height="14" aria-hidden="true">
        {SHAPES[state]}
      </svg>
      <span className="jp-nni-State-word">{words[state]}</span>
    </span>
  );
}
