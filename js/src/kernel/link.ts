import type { IDisposable } from '@lumino/disposable';
import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';

import type { IReply, ISnapshot, ISteering, Request } from '../protocol/messages';
import { PROTOCOL } from '../protocol/messages';
import { parseAnnouncement, parseReply, parseUpdate, VersionError } from '../protocol/parse';
import { Finder } from './finder';
import { Loader } from './load';
import type { IChannel, IKernelPort } from './port';
import { Refresher } from './refresher';
import type { SteeringOutcome } from './steering';
import { steerTraining } from './steering';

/** Milliseconds in which a kernel that can answer a wish has answered; after that, another way is tried. */
export const REPLY_PATIENCE = 1500;

/** Milliseconds to wait for news: a slow machine has them late, and late news are news. */
export const NEWS_PATIENCE = 15_000;

/**
 * How a kernel and this extension stand.
 *
 * - asking: it was asked whether it uses nn_inspector
 * - foreign: it is no Python kernel
 * - busy: it runs a cell and has not answered
 * - absent: it does not use nn_inspector
 * - loaded: it does, and there is a snapshot
 * - mismatch: it does, but cannot be understood; see `trouble`
 */
export type LinkState = 'asking' | 'foreign' | 'busy' | 'absent' | 'loaded' | 'mismatch';

/** Why a kernel's messages are ignored. */
export type Trouble =
  { readonly kind: 'version'; readonly version: string } | { readonly kind: 'message'; readonly message: string };

/** What is known of one kernel, and what can be asked of it. */
export class KernelLink implements IDisposable {
  constructor(options: KernelLink.IOptions) {
    const port = (this._port = options.port);
    this._isHidden = options.isHidden;
    this._finder = new Finder(port);
    this._refresher = new Refresher({
      ask: () => void this._askForNews(),
      isNeeded: () => this.isBusy || this._isTraining,
      isAllowed: () =>
        port.isConnected && (this._snapshot !== null || (this._finder.isOverdue && options.mentionsUs())),
      seconds: options.refreshSeconds
    });
    this.loader = new Loader({ port, look: () => this._look() });
    this.loader.changed.connect(() => {
      this._changed.emit();
    });
    this._finder.found.connect((_, id) => {
      this._onFound(id);
    });
    this._finder.overdue.connect(() => {
      this._changed.emit();
      this._refresher.askNow();
    });
    port.opened.connect((_, { channel, data }) => {
      this._finder.cancel();
      this._listen(channel);
      this._read(() => {
        this._take(parseAnnouncement(data));
      });
    });
    port.ended.connect(() => {
      this._finder.cancel();
      this._forget();
    });
    port.reconnected.connect(() => {
      this._sayHello();
      this.tellVisibility();
    });
    port.busyChanged.connect((_, isBusy) => {
      if (isBusy) {
        this._refresher.start();
      } else if (this._channel === null && (this._snapshot !== null || !port.handlesComms)) {
        this._finder.start();
      }
      this._changed.emit();
    });
    void port.language.then(language => {
      this._isForeign = language !== null && language !== 'python';
      this._changed.emit();
    });
    this._finder.start();
  }

  /** Loads nn_inspector in the kernel. */
  readonly loader: Loader;

  /** Anything below has changed. */
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  /** The kernel wants a code cell of this source in the notebook. */
  get insertionAsked(): ISignal<this, string> {
    return this._insertionAsked;
  }

  get state(): LinkState {
    if (this._trouble !== null) {
      return 'mismatch';
    }
    if (this._snapshot !== null) {
      return 'loaded';
    }
    if (this._isForeign) {
      return 'foreign';
    }
    if (!this._finder.isSearching) {
      return 'absent';
    }
    return this._finder.isOverdue ? 'busy' : 'asking';
  }

  get snapshot(): ISnapshot | null {
    return this._snapshot;
  }

  get trouble(): Trouble | null {
    return this._trouble;
  }

  /** Whether a cell runs, or the kernel does not answer for another reason. */
  get isBusy(): boolean {
    return this._port.isBusy || this._finder.isOverdue;
  }

  /** Whether no training can be running: no cell runs, and none is under way as far as is known. */
  get isAtRest(): boolean {
    return !this.isBusy && this._snapshot === null;
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  dispose(): void {
    if (this._isDisposed) {
      return;
    }
    this._isHidden = () => true;
    this.tellVisibility();
    this._isDisposed = true;
    this._finder.dispose();
    this._refresher.dispose();
    this._port.dispose();
    Signal.clearData(this);
  }

  /** Ask something of the training. */
  steer(wish: ISteering): Promise<SteeringOutcome> {
    return steerTraining(this._port, wish, () => this.request(wish));
  }

  /** Ask on the control channel, which is answered while a cell runs; null if nothing answers. */
  async request(request: Request): Promise<IReply | null> {
    const patience = request.request === 'snapshot' ? NEWS_PATIENCE : REPLY_PATIENCE;
    const content = await this._port.request({ version: PROTOCOL, ...request, ...this._visibility() }, patience);
    if (content === undefined || this._isDisposed) {
      return null;
    }
    let reply: IReply | null = null;
    this._read(() => {
      reply = parseReply(content);
      if (reply.snapshot !== null) {
        this._take(reply.snapshot);
      } else if (reply.status === 'error') {
        this._setTrouble({ kind: 'message', message: reply.message });
      }
    });
    return reply;
  }

  /** The page is hidden now, or can be seen again: the kernel's views rest meanwhile. */
  tellVisibility(): void {
    if (this._snapshot !== null) {
      void this.request({ request: 'snapshot' });
    }
  }

  private get _isTraining(): boolean {
    const state = this._snapshot?.training.state;
    return state === 'running' || state === 'paused';
  }

  /** Ask for a snapshot, unless the last question still waits: a slow kernel is not to have more of them to answer. */
  private async _askForNews(): Promise<void> {
    if (!this._awaitsNews) {
      this._awaitsNews = true;
      try {
        await this.request({ request: 'snapshot' });
      } finally {
        this._awaitsNews = false;
      }
    }
  }

  /** Look for a kernel that has loaded nn_inspector but has not announced itself. */
  private async _look(): Promise<boolean> {
    if (this._snapshot === null && this._trouble === null && !this._isDisposed) {
      const id = await this._port.findComm();
      if (id !== null) {
        this._onFound(id);
        await this.request({ request: 'snapshot' });
      }
    }
    return this.state === 'loaded';
  }

  private _onFound(id: string | null): void {
    if (id === null) {
      this._forget();
      return;
    }
    const channel = this._port.attach(id);
    if (channel === null) {
      void this.request({ request: 'snapshot' });
    } else {
      this._listen(channel);
    }
  }

  private _listen(channel: IChannel): void {
    this._channel = channel;
    channel.onMessage = data => {
      this._read(() => {
        const update = parseUpdate(data);
        if (update.type === 'snapshot') {
          this._take(update.snapshot);
        } else {
          this._insertionAsked.emit(update.source);
        }
      });
    };
    channel.onClose = () => {
      if (this._channel === channel) {
        this._forget();
      }
    };
    this._sayHello();
  }

  private _sayHello(): void {
    this._channel?.send({ version: PROTOCOL, type: 'hello', ...this._visibility() });
  }

  /** Said with all that is sent. */
  private _visibility(): { hidden?: true } {
    return this._isHidden() ? { hidden: true } : {};
  }

  /** Read a message; one that cannot be read is ignored, and `trouble` says why. */
  private _read(read: () => void): void {
    if (this._isDisposed) {
      return;
    }
    try {
      read();
    } catch (error) {
      this._setTrouble(
        error instanceof VersionError
          ? { kind: 'version', version: error.version }
          : { kind: 'message', message: (error as Error).message }
      );
    }
  }

  private _take(snapshot: ISnapshot): void {
    this._snapshot = snapshot;
    this._refresher.heard();
    this._trouble = null;
    this._changed.emit();
  }

  private _setTrouble(trouble: Trouble): void {
    this._trouble = trouble;
    this._changed.emit();
  }

  private _forget(): void {
    this._channel = null;
    this._snapshot = null;
    this._trouble = null;
    this._changed.emit();
  }

  private readonly _port: IKernelPort;
  private _isHidden: () => boolean;
  private readonly _finder: Finder;
  private readonly _refresher: Refresher;
  private readonly _changed = new Signal<this, void>(this);
  private readonly _insertionAsked = new Signal<this, string>(this);
  private _channel: IChannel | null = null;
  private _snapshot: ISnapshot | null = null;
  private _trouble: Trouble | null = null;
  private _awaitsNews = false;
  private _isForeign = false;
  private _isDisposed = false;
}

export declare namespace KernelLink {
  interface IOptions {
    readonly port: IKernelPort;

    /** Seconds between two requests while the kernel is busy and does not report by itself. */
    readonly refreshSeconds: () => number;

    /** Whether the notebook's cells speak of nn_inspector. Others are not asked while busy: they would log an error. */
    readonly mentionsUs: () => boolean;

    /** Whether nobody can see the page. */
    readonly isHidden: () => boolean;
  }
}
