import type { ICheck } from '../protocol/messages';

/** A stage of the checklist. */
export interface IStage {
  readonly name: string;
  readonly title: string;
  readonly checks: readonly ICheck[];
}

/** The checks by stage. Stages and checks keep the order in which the kernel sends them. */
export function byStage(checks: readonly ICheck[]): IStage[] {
  const stages = new Map<string, { name: string; title: string; checks: ICheck[] }>();
  for (const check of checks) {
    const stage = stages.get(check.stage) ?? { name: check.stage, title: check.stageTitle, checks: [] };
    stage.checks.push(check);
    stages.set(check.stage, stage);
  }
  return [...stages.values()];
}

/** The checks that found an error or a warning, the likeliest cause first. */
export function raised(checks: readonly ICheck[]): ICheck[] {
  const rank = (check: ICheck): number => check.rank ?? checks.length;
  return checks
    .filter(check => check.state === 'error' || check.state === 'warning')
    .sort((one, other) => rank(one) - rank(other));
}

/** How many checks of a stage were made, and the worst that was found. */
export function standing(stage: IStage): { made: number; worst: 'error' | 'warning' | null } {
  const states = stage.checks.map(check => check.state);
  const worst = (['error', 'warning'] as const).find(state => states.includes(state)) ?? null;
  return { made: states.filter(state => state !== 'open').length, worst };
}
