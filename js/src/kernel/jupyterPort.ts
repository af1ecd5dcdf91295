import type { Kernel } from '@jupyterlab/services';
import { KernelMessage } from '@jupyterlab/services';
import type { JSONObject } from '@lumino/coreutils';
import { PromiseDelegate } from '@lumino/coreutils';
import { Signal } from '@lumino/signaling';

import { CATALOG_TARGET, REQUEST } from '../protocol/messages';
import { CommChannel } from './commChannel';
import type { Execution, IChannel, IKernelPort } from './port';
import { within } from './within';

/** Milliseconds to wait for a subshell, which a kernel may not have. */
const SUBSHELL_PATIENCE = 500;

/** A kernel of JupyterLab. */
export class JupyterPort implements IKernelPort {
  constructor(options: JupyterPort.IOptions) {
    const kernel = (this._kernel = options.kernel);
    this.language = kernel.spec.then(
      spec => spec?.language.toLowerCase() ?? null,
      () => null
    );
    kernel.registerCommTarget(CATALOG_TARGET, this._onCommOpen);
    kernel.iopubMessage.connect(this._onIOPub, this);
    kernel.statusChanged.connect(this._onStatus, this);
    kernel.connectionStatusChanged.connect(this._onConnection, this);
  }

  readonly busyChanged = new Signal<this, boolean>(this);
  readonly ended = new Signal<this, void>(this);
  readonly reconnected = new Signal<this, void>(this);
  readonly opened = new Signal<this, { channel: IChannel; data: unknown }>(this);
  readonly language: Promise<string | null>;

  get isBusy(): boolean {
    return this._isBusy;
  }

  get isConnected(): boolean {
    return this._kernel.connectionStatus === 'connected';
  }

  get handlesComms(): boolean {
    return this._kernel.handleComms;
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  dispose(): void {
    if (this._isDisposed) {
      return;
    }
    this._isDisposed = true;
    Signal.clearData(this);
    this._kernel.removeCommTarget(CATALOG_TARGET, this._onCommOpen);
  }

  async request(content: JSONObject, milliseconds: number): Promise<unknown> {
    const reply = new PromiseDelegate<unknown>();
    const future = this._sendControl(content);
    if (future === null) {
      return undefined;
    }
    future.onReply = message => {
      reply.resolve(message.content);
    };
    future.done.catch(() => {
      reply.resolve(undefined);
    });
    const answer = await within(milliseconds, reply.promise);
    future.dispose();
    return answer;
  }

  async post(target: string, data: JSONObject, milliseconds: number): Promise<boolean> {
    const taken = async (): Promise<boolean> => {
      const comm = this._kernel.createComm(target);
      await subshellOf(comm);
      await comm.open(data).done;
      const isTaken = !comm.isDisposed;
      if (isTaken) {
        comm.close();
      }
      return isTaken;
    };
    return (await within(milliseconds, taken())) ?? false;
  }

  async findComm(): Promise<string | null> {
    try {
      const { content } = await this._kernel.requestCommInfo({ target_name: CATALOG_TARGET });
      return content.status === 'ok' ? (Object.keys(content.comms).at(-1) ?? null) : null;
    } catch {
      return null;
    }
  }

  attach(id: string): IChannel | null {
    if (!this.handlesComms || this._kernel.hasComm(id)) {
      return null;
    }
    return new CommChannel(this._kernel.createComm(CATALOG_TARGET, id));
  }

  async execute(code: string): Promise<Execution> {
    try {
      const future = this._kernel.requestExecute({
        code,
        silent: true,
        store_history: false,
        stop_on_error: false,
        allow_stdin: false
      });
      this._own.add(future.msg.header.msg_id);
      const { content } = await future.done;
      return content.status === 'error'
        ? { kind: 'error', name: content.ename, message: content.evalue }
        : { kind: content.status === 'ok' ? 'ok' : 'cancelled' };
    } catch {
      return { kind: 'cancelled' };
    }
  }

  /** Null if the kernel is dead. */
  private _sendControl(content: JSONObject): Kernel.IControlFuture | null {
    try {
      return this._kernel.sendControlMessage(requestMessage(this._kernel, content), true);
    } catch {
      return null;
    }
  }

  private readonly _onCommOpen = (comm: Kernel.IComm, message: KernelMessage.ICommOpenMsg): void => {
    this.opened.emit({ channel: new CommChannel(comm), data: message.content.data });
  };

  private _onIOPub(_: unknown, message: KernelMessage.IIOPubMessage): void {
    const parent = message.parent_header as Partial<KernelMessage.IHeader>;
    if (parent.msg_type === 'execute_request' && !this._own.has(parent.msg_id ?? '')) {
      this._setBusy(!(KernelMessage.isStatusMsg(message) && message.content.execution_state === 'idle'));
    }
  }

  private _onStatus(_: unknown, status: KernelMessage.Status): void {
    if (status === 'restarting' || status === 'autorestarting' || status === 'dead') {
      this._isBusy = false;
      this.ended.emit();
    }
  }

  private _onConnection(_: unknown, status: Kernel.ConnectionStatus): void {
    if (status === 'connected') {
      this.reconnected.emit();
    }
  }

  private _setBusy(busy: boolean): void {
    if (busy !== this._isBusy) {
      this._isBusy = busy;
      this.busyChanged.emit(busy);
    }
  }

  private readonly _kernel: Kernel.IKernelConnection;
  /** Ids of the executions that are not cells. */
  private readonly _own = new Set<string>();
  private _isBusy = false;
  private _isDisposed = false;
}

export declare namespace JupyterPort {
  interface IOptions {
    readonly kernel: Kernel.IKernelConnection;
  }
}

/** A control message of our own type; JupyterLab's types know only its own ones. */
function requestMessage(kernel: Kernel.IKernelConnection, content: JSONObject): KernelMessage.IControlMessage {
  return KernelMessage.createMessage<KernelMessage.IDebugRequestMsg>({
    msgType: REQUEST as 'debug_request',
    channel: 'control',
    username: kernel.username,
    session: kernel.clientId,
    content: content as unknown as KernelMessage.IDebugRequestMsg['content']
  });
}

/** Where the kernel has subshells, wait for the comm's: without it, the message waits for the running cell. */
async function subshellOf(comm: Kernel.IComm): Promise<void> {
  const { subshellStarted } = comm as { subshellStarted?: Promise<void> };
  if (subshellStarted !== undefined) {
    await within(SUBSHELL_PATIENCE, subshellStarted);
  }
}
