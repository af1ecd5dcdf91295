import type { IDisposable } from '@lumino/disposable';
import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';

import type { KernelLink, LinkState } from '../kernel/link';
import type { ICheck } from '../protocol/messages';
import { byStage, raised, type IStage } from './checklist';

/** What the panel has to show: the state of the link, or why there is none. */
export type Phase = LinkState | 'no-notebook' | 'starting' | 'no-kernel';

/** What the panel follows: the current notebook's kernel. */
export interface IPanelSource {
  readonly changed: ISignal<unknown, void>;
  readonly current: { readonly link: KernelLink | null; readonly isStarting: boolean } | null;
}

/** What the panel shows, without how. */
export class PanelModel implements IDisposable {
  constructor(options: PanelModel.IOptions) {
    this._source = options.source;
    this._source.changed.connect(this._onSourceChanged, this);
  }

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  get phase(): Phase {
    const { current } = this._source;
    if (current === null) {
      return 'no-notebook';
    }
    return current.link?.state ?? (current.isStarting ? 'starting' : 'no-kernel');
  }

  get link(): KernelLink | null {
    return this._source.current?.link ?? null;
  }

  /** The checklist by stage. */
  get stages(): readonly IStage[] {
    return byStage(this._checks);
  }

  /** The checks that found an error or a warning, the likeliest cause first. */
  get raised(): readonly ICheck[] {
    return raised(this._checks);
  }

  /** The check whose row is to come into view, until `reached()`. */
  get target(): string | null {
    return this._target;
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  dispose(): void {
    if (this._isDisposed) {
      return;
    }
    this._isDisposed = true;
    this._source.changed.disconnect(this._onSourceChanged, this);
    Signal.clearData(this);
  }

  isExpanded(name: string): boolean {
    return this._expanded.has(name);
  }

  toggle(name: string): void {
    if (!this._expanded.delete(name)) {
      this._expanded.add(name);
    }
    this._changed.emit();
  }

  /** Whether a stage shows its checks. */
  isOpen(stage: string): boolean {
    return this._stages.has(stage);
  }

  toggleStage(stage: string): void {
    if (!this._stages.delete(stage)) {
      this._stages.add(stage);
    }
    this._changed.emit();
  }

  /** Expand a check's row and bring it into view. */
  reveal(name: string): void {
    const stage = this._checks.find(check => check.name === name)?.stage;
    if (stage !== undefined) {
      this._stages.add(stage);
    }
    this._expanded.add(name);
    this._target = name;
    this._changed.emit();
  }

  /** The row is in view. */
  reached(): void {
    this._target = null;
    this._changed.emit();
  }

  private get _checks(): readonly ICheck[] {
    return this.link?.snapshot?.checks ?? [];
  }

  private _onSourceChanged(): void {
    this._changed.emit();
  }

  private readonly _source: IPanelSource;
  private readonly _changed = new Signal<this, void>(this);
  private readonly _expanded = new Set<string>();
  private readonly _stages = new Set<string>();
  private _target: string | null = null;
  private _isDisposed = false;
}

export declare namespace PanelModel {
  interface IOptions {
    readonly source: IPanelSource;
  }
}
