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

/** The checks that found an error or a warning, errors first. */
export function raised(checks: readonly ICheck[]): ICheck[] {
  const of = (state: ICheck['state']): ICheck[] => checks.filter(check => check.state === state);
  return [...of('error'), ...of('warning')];
}
