import type { JSONObject } from '@lumino/coreutils';
import type { IDisposable } from '@lumino/disposable';
import type { ISignal } from '@lumino/signaling';

/** The kernel's comm, as far as it is used here. */
export interface IChannel {
  onMessage: (data: unknown) => void;
  onClose: () => void;
  send(data: JSONObject): void;
}

/** What happened to code that was run silently. */
export type Execution =
  | { readonly kind: 'ok' }
  | { readonly kind: 'error'; readonly name: string; readonly message: string }
  | { readonly kind: 'cancelled' };

/**
 * A kernel, as far as this extension needs one. `JupyterPort` is the real one.
 *
 * No promise of a port is ever rejected.
 */
export interface IKernelPort extends IDisposable {
  /** Whether a cell is known to run. */
  readonly isBusy: boolean;

  /** Whether what is sent arrives now; else it is kept, and all of it is sent when the connection is back. */
  readonly isConnected: boolean;

  /** Whether comms work here: of several connections of one page to one kernel, they do on the first. */
  readonly handlesComms: boolean;

  /** The language of the kernel in small letters; null if nobody can tell. */
  readonly language: Promise<string | null>;

  /** A cell began or ended. */
  readonly busyChanged: ISignal<IKernelPort, boolean>;

  /** The kernel process has ended: nothing is loaded in the next one. */
  readonly ended: ISignal<IKernelPort, void>;

  /** The connection was lost for a while and is back. */
  readonly reconnected: ISignal<IKernelPort, void>;

  /** The kernel opened its comm. */
  readonly opened: ISignal<IKernelPort, { readonly channel: IChannel; readonly data: unknown }>;

  /** Send a request on the control channel; undefined if no reply comes in time. */
  request(content: JSONObject, milliseconds: number): Promise<unknown>;

  /** Open a comm of this target only for its data; whether the kernel took it in time. */
  post(target: string, data: JSONObject, milliseconds: number): Promise<boolean>;

  /** The id of the kernel's comm, as soon as no cell runs; null if there is none. */
  findComm(): Promise<string | null>;

  /** Listen to a comm that the kernel has opened before; null where comms do not work. */
  attach(id: string): IChannel | null;

  /** Run code that leaves no trace in the notebook. */
  execute(code: string): Promise<Execution>;
}
