import type { JSONObject } from '@lumino/coreutils';

/** A row of the checklist as the kernel sends it. */
export function checkMessage(changes: JSONObject = {}): JSONObject {
  return {
    name: 'initial_loss',
    title: 'Initial loss',
    stage: 'init',
    stage_title: 'Before the first step',
    question: 'Is the first loss what chance gives?',
    why: 'A network that has learned nothing should be undecided.',
    state: 'open',
    message: null,
    remedy: null,
    tried: null,
    code: null,
    rank: null,
    symptom_of: null,
    ...changes
  };
}

/** A snapshot as the kernel sends it. */
export function snapshotMessage(changes: JSONObject = {}): JSONObject {
  return { version: 1, training: { state: 'none' }, problems: [], checks: [checkMessage()], ...changes };
}

/** A watched training as the kernel sends it. */
export function trainingMessage(changes: JSONObject = {}): JSONObject {
  return {
    state: 'running',
    model: 'Sequential',
    step: 12,
    epoch: 1,
    loss: 0.5,
    validation_loss: null,
    learning_rate: 0.1,
    overhead: 0.012,
    history: {
      loss: [
        [0, 2.5],
        [11, null]
      ],
      validation_loss: []
    },
    ...changes
  };
}

export function announcement(snapshot: JSONObject = snapshotMessage()): JSONObject {
  return { version: 1, snapshot };
}

export function reply(changes: JSONObject = {}): JSONObject {
  return { version: 1, status: 'ok', message: '', snapshot: snapshotMessage(), ...changes };
}
