/** What kernel and lab extension say to each other; see docs/protocol.md. */

/** Version of the messages; each of them carries it. */
export const PROTOCOL = 1;

/** The message type of a request on the control channel. */
export const REQUEST = 'nn_inspector_request';

/** The comm that the kernel opens to announce itself. */
export const CATALOG_TARGET = 'nn_inspector.catalog';

/** The comm that the extension opens where the control channel does not carry a request. */
export const CONTROL_TARGET = 'nn_inspector.control';

/** What can be asked of a running training. `value`, or else `factor`, goes with `set_learning_rate`. */
export interface ISteering {
  readonly request: 'stop' | 'pause' | 'resume' | 'step' | 'set_learning_rate';
  readonly value?: number;
  readonly factor?: number;
}

/**
 * What is wanted of a dashboard: the evidence of a check, a step, one so many steps on, to play along the steps or no longer, the loss or
 * the metrics in logarithms or not, an entry of its list of layers, a part of the name of one, or a row of one of its charts.
 */
export interface ILook {
  readonly request: 'look';
  readonly dashboard: string;
  readonly check?: string;
  readonly step?: number | 'latest';
  readonly by?: number;
  readonly play?: boolean;
  readonly log_loss?: boolean;
  readonly log_metrics?: boolean;
  readonly option?: number;
  readonly find?: string;
  readonly chart?: number;
  readonly row?: number;
}

export type Request = { readonly request: 'snapshot' } | ISteering | ILook;

export const CHECK_STATES = ['open', 'ok', 'info', 'warning', 'error', 'skipped'] as const;

export type CheckState = (typeof CHECK_STATES)[number];

/** One row of the checklist with its latest finding. */
export interface ICheck {
  readonly name: string;
  readonly title: string;
  readonly stage: string;
  readonly stageTitle: string;
  readonly question: string;
  readonly why: string;
  readonly state: CheckState;
  readonly message: string | null;
  readonly remedy: string | null;
  readonly tried: string | null;
  readonly code: string | null;
  /** Place in the order of suspicion, from 0; null where nothing is wrong. */
  readonly rank: number | null;
  /** Name of the check whose finding explains this one. */
  readonly symptomOf: string | null;
}

/** A step and the loss there; null where it was not finite. */
export interface ILossPoint {
  readonly step: number;
  readonly loss: number | null;
}

/** The loss from the first step to now. */
export interface ILossHistory {
  readonly loss: readonly ILossPoint[];
  readonly validationLoss: readonly ILossPoint[];
}

/** How a watched training stands. */
export interface IWatchedTraining {
  readonly state: 'running' | 'paused' | 'idle';
  readonly model: string;
  readonly step: number;
  readonly epoch: number | null;
  readonly loss: number | null;
  readonly validationLoss: number | null;
  /** Of the first parameter group. */
  readonly learningRate: number | null;
  /** Share of the training time that watching costs, 0 to 1. */
  readonly overhead: number | null;
  readonly history: ILossHistory;
}

export type Training = { readonly state: 'none' } | IWatchedTraining;

export interface ISnapshot {
  readonly training: Training;
  /** The keys of the dashboards that the kernel shows. */
  readonly dashboards: readonly string[];
  readonly problems: readonly string[];
  readonly checks: readonly ICheck[];
}

/** What the kernel sends on its comm after the announcement. */
export type Update =
  | { readonly type: 'snapshot'; readonly snapshot: ISnapshot }
  | { readonly type: 'insert_cell'; readonly source: string };

/** The kernel's answer to a request. */
export interface IReply {
  readonly status: 'ok' | 'error';
  readonly message: string;
  readonly snapshot: ISnapshot | null;
}
