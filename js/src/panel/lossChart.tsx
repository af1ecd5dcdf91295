import * as React from 'react';

import type { ILossHistory } from '../protocol/messages';
import { usePanel } from './context';
import { lossFrame, lossPath } from './lossCurve';
import { formatCount, formatLoss } from './numbers';

const WIDTH = 240;
const HEIGHT = 64;

/** The loss from the first step to now, small. It comes with each snapshot, so that it is there again after a reload. */
export function LossChart({ history }: { readonly history: ILossHistory }): React.JSX.Element | null {
  const { trans } = usePanel();
  const frame = lossFrame(history);
  if (frame === null) {
    return null;
  }
  const curves = [
    { name: 'train', points: history.loss, label: trans.__('train') },
    { name: 'validation', points: history.validationLoss, label: trans.__('validation') }
  ].filter(({ points }) => points.length > 1);
  const last = formatCount(frame.last);
  return (
    <figure className="jp-nni-Loss" data-last={frame.last}>
      <div className="jp-nni-Loss-scale" aria-hidden="true">
        <span>{formatLoss(frame.high)}</span>
        <span>{formatLoss(frame.low)}</span>
      </div>
      <svg
        className="jp-nni-Loss-picture"
        viewBox={`0 0 ${WIDTH.toString()} ${HEIGHT.toString()}`}
        preserveAspectRatio="none"
        role="img"
        aria-label={trans.__(
          'Loss from step 0 to %1, between %2 and %3',
          last,
          formatLoss(frame.low),
          formatLoss(frame.high)
        )}
      >
        {curves.map(({ name, points }) => (
          <path key={name} data-curve={name} d={lossPath(points, frame, WIDTH, HEIGHT)} />
        ))}
      </svg>
      <figcaption className="jp-nni-Loss-caption">
        <div className="jp-nni-Loss-steps">
          <span>0</span>
          <span>{trans.__('step %1', last)}</span>
        </div>
        <div className="jp-nni-Loss-legend">
          {curves.map(({ name, label }) => (
            <span key={name} data-curve={name}>
              {label}
            </span>
          ))}
        </div>
      </figcaption>
    </figure>
  );
}
