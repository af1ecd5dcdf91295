import * as React from 'react';

import { usePanel } from './context';

/** What could not be measured. */
export function ProblemSection({ problems }: { readonly problems: readonly string[] }): React.JSX.Element | null {
  const { trans } = usePanel();
  if (problems.length === 0) {
    return null;
  }
  return (
    <section className="jp-nni-Problems">
      <h3 className="jp-nni-heading">{trans.__('Not measured')}</h3>
      <ul className="jp-nni-Problems-list">
        {problems.map(problem => (
          <li key={problem}>{problem}</li>
        ))}
      </ul>
    </section>
  );
}
