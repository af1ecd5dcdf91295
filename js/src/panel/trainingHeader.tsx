import * as React from 'react';

import type { ICheck, IWatchedTraining, Training } from '../protocol/messages';
import { usePanel } from './context';
import { formatCount, formatLoss, formatShare } from './numbers';

/** How the training stands, with a button to stop it. */
export function TrainingHeader(props: {
  readonly training: Training;
  readonly raised: readonly ICheck[];
}): React.JSX.Element {
  const { training } = props;
  const { actions, trans } = usePanel();
  return (
    <section className="jp-nni-Training" data-state={training.state} aria-label={trans.__('Training')}>
      <div className="jp-nni-Training-line">
        <StateLine {...props} />
        {training.state === 'running' && (
          <button
            type="button"
            className="jp-nni-Button jp-nni-Training-stop"
            onClick={() => {
              actions.stop();
            }}
          >
            {trans.__('Stop')}
          </button>
        )}
      </div>
      {training.state === 'none' ? <NothingWatched /> : <Numbers training={training} />}
    </section>
  );
}

/** Said by a screen reader when it changes, which it does not do at every step. */
function StateLine(props: { readonly training: Training; readonly raised: readonly ICheck[] }): React.JSX.Element {
  const { training, raised } = props;
  const { trans } = usePanel();
  const words = {
    none: trans.__('No training watched yet'),
    idle: trans.__('Idle'),
    running: trans.__('Running')
  };
  const count = raised.length;
  return (
    <p className="jp-nni-Training-state" role="status">
      {training.state !== 'none' && <span className="jp-nni-Training-model">{training.model}</span>}
      <span className="jp-nni-Training-word">{words[training.state]}</span>
      <span className="jp-nni-forScreenReaders">
        {count > 0 && trans._n('%1 finding', '%1 findings', count, count.toString())}
      </span>
    </p>
  );
}

function NothingWatched(): React.JSX.Element {
  const { actions, trans } = usePanel();
  return (
    <>
      <p className="jp-nni-Text">
        {trans.__('Watch a training, or let the wizard find network, optimizer, loss and data in your notebook.')}
      </p>
      <div className="jp-nni-Buttons">
        <button
          type="button"
          className="jp-nni-Button"
          onClick={() => {
            actions.watch();
          }}
        >
          {trans.__('Insert watch cell')}
        </button>
        <button
          type="button"
          className="jp-nni-Button"
          onClick={() => {
            actions.openWizard();
          }}
        >
          {trans.__('Open wizard')}
        </button>
      </div>
    </>
  );
}

function Numbers({ training }: { readonly training: IWatchedTraining }): React.JSX.Element {
  const { trans } = usePanel();
  const numbers: readonly (readonly [string, string, string])[] = [
    ['step', trans.__('Step'), formatCount(training.step)],
    ['epoch', trans.__('Epoch'), formatCount(training.epoch)],
    ['loss', trans.__('Loss'), formatLoss(training.loss)],
    ['validation-loss', trans.__('Validation loss'), formatLoss(training.validationLoss)],
    ['overhead', trans.__('Overhead'), formatShare(training.overhead)]
  ];
  return (
    <dl className="jp-nni-Numbers">
      {numbers.map(([name, label, value]) => (
        <div key={name} className="jp-nni-Numbers-item" data-number={name}>
          <dt>{label}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}
