/** A loss: four digits, so that its place does not jump about while it changes. */
export function formatLoss(loss: number | null): string {
  if (loss === null) {
    return '–';
  }
  const size = Math.abs(loss);
  return size !== 0 && (size < 1e-3 || size >= 1e5) ? loss.toExponential(2) : loss.toPrecision(size < 1e4 ? 4 : 5);
}

/** A learning rate, with as many digits as say something. */
export function formatRate(rate: number | null): string {
  return rate === null ? '–' : Number(rate.toPrecision(3)).toString();
}

/** A number of steps or epochs, with a separator between thousands. */
export function formatCount(count: number | null): string {
  return count === null ? '–' : count.toLocaleString('en');
}

/** A share, 0 to 1, as percent. */
export function formatShare(share: number | null): string {
  if (share === null) {
    return '–';
  }
  const percent = 100 * share;
  return percent > 0 && percent < 0.1 ? '< 0.1%' : `${percent.toFixed(1)}%`;
}
