import type { ICheck, ILossPoint, IReply, ISnapshot, Training, Update } from './messages';
import { CHECK_STATES, PROTOCOL } from './messages';
import { Reader } from './reader';

/** A message of another version of the protocol. */
export class VersionError extends Error {
  constructor(
    /** The version that came. */
    readonly version: string
  ) {
    super(`version ${version} of the protocol`);
  }
}

/** The snapshot in the data of the `comm_open` with which the kernel announces itself. */
export function parseAnnouncement(data: unknown): ISnapshot {
  return readSnapshot(ofOurVersion(data, 'announcement').field('snapshot'));
}

/** A message on the kernel's comm. */
export function parseUpdate(data: unknown): Update {
  const update = ofOurVersion(data, 'update');
  const type = update.field('type').oneOf(['snapshot', 'insert_cell']);
  return type === 'snapshot'
    ? { type, snapshot: readSnapshot(update.field('snapshot')) }
    : { type, source: update.field('source').string() };
}

/** The answer to a request. */
export function parseReply(data: unknown): IReply {
  const reply = ofOurVersion(data, 'reply');
  return {
    status: reply.field('status').oneOf(['ok', 'error']),
    message: reply.field('message').string(),
    snapshot: reply.field('snapshot').optional(readSnapshot)
  };
}

function ofOurVersion(data: unknown, what: string): Reader {
  const message = new Reader(data, what);
  const version = message.field('version').optional(value => value.number());
  if (version !== PROTOCOL) {
    throw new VersionError(version === null ? '?' : version.toString());
  }
  return message;
}

function readSnapshot(snapshot: Reader): ISnapshot {
  return {
    training: readTraining(snapshot.field('training')),
    dashboards: snapshot.field('dashboards').optional(keys => keys.list(key => key.string())) ?? [],
    problems: snapshot.field('problems').list(problem => problem.string()),
    checks: snapshot.field('checks').list(readCheck)
  };
}

function readTraining(training: Reader): Training {
  const state = training.field('state').oneOf(['none', 'running', 'paused', 'idle']);
  if (state === 'none') {
    return { state };
  }
  const optional = (name: string): number | null => training.field(name).optional(value => value.number());
  return {
    state,
    model: training.field('model').string(),
    step: training.field('step').number(),
    epoch: optional('epoch'),
    loss: optional('loss'),
    validationLoss: optional('validation_loss'),
    learningRate: optional('learning_rate'),
    overhead: optional('overhead'),
    history: {
      loss: readPoints(training.field('history').field('loss')),
      validationLoss: readPoints(training.field('history').field('validation_loss'))
    }
  };
}

function readPoints(points: Reader): ILossPoint[] {
  return points.list(pair => ({
    step: pair.item(0).number(),
    loss: pair.item(1).optional(value => value.number())
  }));
}

function readCheck(check: Reader): ICheck {
  const text = (name: string): string => check.field(name).string();
  const optional = (name: string): string | null => check.field(name).optional(value => value.string());
  return {
    name: text('name'),
    title: text('title'),
    stage: text('stage'),
    stageTitle: text('stage_title'),
    question: text('question'),
    why: text('why'),
    state: check.field('state').oneOf(CHECK_STATES),
    message: optional('message'),
    remedy: optional('remedy'),
    tried: optional('tried'),
    code: optional('code'),
    rank: check.field('rank').optional(value => value.number()),
    symptomOf: optional('symptom_of')
  };
}
