import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';

import type { IKernelPort } from './port';

/** Why nn_inspector could not be loaded in a kernel. */
export type LoadFailure =
  | { readonly kind: 'missing' }
  | { readonly kind: 'error'; readonly message: string }
  | { readonly kind: 'cancelled' }
  | { readonly kind: 'silent' };

/** Loads nn_inspector in a kernel. */
export class Loader {
  constructor(options: Loader.IOptions) {
    this._options = options;
  }

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  get isLoading(): boolean {
    return this._loading !== null;
  }

  /** Why the latest attempt failed. */
  get failure(): LoadFailure | null {
    return this._failure;
  }

  /** Load it; whether it is loaded then. A second call while it is being loaded waits for the first. */
  load(): Promise<boolean> {
    this._failure = null;
    this._loading ??= this._load();
    this._changed.emit();
    return this._loading;
  }

  private async _load(): Promise<boolean> {
    const { port, look } = this._options;
    let failure = await execute(port);
    if (failure === null && !(await look())) {
      failure = { kind: 'silent' };
    }
    this._loading = null;
    this._failure = failure;
    this._changed.emit();
    return failure === null;
  }

  private readonly _options: Loader.IOptions;
  private readonly _changed = new Signal<this, void>(this);
  private _loading: Promise<boolean> | null = null;
  private _failure: LoadFailure | null = null;
}

export declare namespace Loader {
  interface IOptions {
    readonly port: Pick<IKernelPort, 'execute'>;

    /** See whether the kernel speaks to us after it was loaded. */
    readonly look: () => Promise<boolean>;
  }
}

async function execute(port: Pick<IKernelPort, 'execute'>): Promise<LoadFailure | null> {
  const execution = await port.execute('%load_ext nn_inspector');
  if (execution.kind === 'ok') {
    return null;
  }
  if (execution.kind === 'cancelled') {
    return { kind: 'cancelled' };
  }
  const isMissing =
    execution.name === 'ModuleNotFoundError' && /No module named '?nn_inspector'?$/.test(execution.message);
  return isMissing ? { kind: 'missing' } : { kind: 'error', message: `${execution.name}: ${execution.message}` };
}
