import { ReactWidget, UseSignal } from '@jupyterlab/ui-components';
import * as React from 'react';

import { inspectorIcon } from '../icon';
import { CheckSection } from './checkSection';
import { PanelProvider, type IPanelContext } from './context';
import { EmptyState } from './emptyState';
import { FindingSection } from './findingSection';
import { ProblemSection } from './problemSection';
import { TrainingHeader } from './trainingHeader';

/** The side panel. */
export class InspectorPanel extends ReactWidget {
  constructor(options: IPanelContext) {
    super();
    this._context = options;
    this.id = 'nn-inspector-panel';
    this.addClass('jp-nni-Panel');
    this.node.tabIndex = -1;
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', options.trans.__('Network inspector'));
    this.title.icon = inspectorIcon;
    this.title.caption = options.trans.__('Network inspector');
  }

  override dispose(): void {
    if (!this.isDisposed) {
      this._context.model.dispose();
      super.dispose();
    }
  }

  protected render(): React.JSX.Element {
    return (
      <PanelProvider value={this._context}>
        <UseSignal signal={this._context.model.changed}>{() => <Content context={this._context} />}</UseSignal>
      </PanelProvider>
    );
  }

  private readonly _context: IPanelContext;
}

function Content({ context: { model, trans } }: { readonly context: IPanelContext }): React.JSX.Element {
  const snapshot = model.phase === 'loaded' ? (model.link?.snapshot ?? null) : null;
  return (
    <>
      <h2 className="jp-nni-Panel-title">{trans.__('Network inspector')}</h2>
      {snapshot === null ? (
        <EmptyState />
      ) : (
        <>
          <TrainingHeader training={snapshot.training} raised={model.raised} />
          <ProblemSection problems={snapshot.problems} />
          <FindingSection raised={model.raised} />
          <CheckSection stages={model.stages} />
        </>
      )}
    </>
  );
}
