import * as React from 'react';

import type { ICheck, IWatchedTraining, Training } from '../protocol/messages';
import { usePanel } from './context';
import { LossChart } from './lossChart';
import { formatCount, formatLoss, formatRate, formatShare } from './numbers';

/** How the training stands, with buttons to steer it. */
export function TrainingHeader(props: {
  readonly training: Training;
  readonly raised: readonly ICheck[];
}): React.JSX.Element {
  const { training } = props;
  const { trans } = usePanel();
  return (
    <section className="jp-nni-Training" data-state={training.state} aria-label={trans.__('Training')}>
      <div className="jp-nni-Training-line">
        <StateLine {...props} />
      </div>
      {(training.state === 'running' || training.state === 'paused') && (
        <Steering isPaused={training.state === 'paused'} />
      )}
      {training.state === 'none' ? (
        <NothingWatched />
      ) : (
        <>
          <Numbers training={training} />
          <LossChart history={training.history} />
        </>
      )}
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
    paused: trans.__('Paused'),
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

function Steering({ isPaused }: { readonly isPaused: boolean }): React.JSX.Element {
  const { actions, trans } = usePanel();
  const buttons: readonly (readonly [string, string, () => void])[] = [
    isPaused
      ? [
          'resume',
          trans.__('Resume'),
          () => {
            actions.steer('resume');
          }
        ]
      : [
          'pause',
          trans.__('Pause'),
          () => {
            actions.steer('pause');
          }
        ],
    ...(isPaused
      ? [
          [
            'step',
            trans.__('One step'),
            () => {
              actions.steer('step');
            }
          ] as const
        ]
      : []),
    [
      'stop',
      trans.__('Stop'),
      () => {
        actions.steer('stop');
      }
    ],
    [
      'rate',
      trans.__('Learning rate…'),
      () => {
        actions.setLearningRate();
      }
    ]
  ];
  return (
    <div className="jp-nni-Buttons" role="group" aria-label={trans.__('Steer the training')}>
      {buttons.map(([name, label, onClick]) => (
        <button key={name} type="button" className="jp-nni-Button" data-action={name} onClick={onClick}>
          {label}
        </button>
      ))}
    </div>
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
    ['step', trans.__('Steps'), formatCount(training.step)],
    ['epoch', trans.__('Epoch'), formatCount(training.epoch)],
    ['loss', trans.__('Loss'), formatLoss(training.loss)],
    ['validation-loss', trans.__('Validation loss'), formatLoss(training.validationLoss)],
    ['learning-rate', trans.__('Learning rate'), formatRate(training.learningRate)],
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
