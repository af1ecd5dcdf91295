import type { JSONObject } from '@lumino/coreutils';
import { PromiseDelegate } from '@lumino/coreutils';
import { Signal } from '@lumino/signaling';

import type { Execution, IChannel, IKernelPort } from '../src/kernel/port';

/** A comm whose other end is the test. */
export class FakeChannel implements IChannel {
  onMessage: (data: unknown) => void = () => undefined;
  onClose: () => void = () => undefined;
  readonly sent: JSONObject[] = [];

  send(data: JSONObject): void {
    this.sent.push(data);
  }
}

/** A kernel that does what the test says. */
export class FakePort implements IKernelPort {
  readonly busyChanged = new Signal<this, boolean>(this);
  readonly ended = new Signal<this, void>(this);
  readonly reconnected = new Signal<this, void>(this);
  readonly opened = new Signal<this, { channel: IChannel; data: unknown }>(this);
  language: Promise<string | null> = Promise.resolve('python');
  isBusy = false;
  isConnected = true;
  handlesComms = true;
  isDisposed = false;

  /** The answers to requests: undefined is none. */
  reply: unknown = undefined;
  readonly requests: JSONObject[] = [];

  /** Milliseconds until they come. */
  delay = 0;
  readonly posts: JSONObject[] = [];
  takesPosts = false;
  comm = new PromiseDelegate<string | null>();
  readonly attached = new FakeChannel();
  execution: Execution = { kind: 'ok' };
  readonly executed: string[] = [];
  whileExecuting: () => void = () => undefined;

  async request(content: JSONObject, milliseconds: number): Promise<unknown> {
    this.requests.push(content);
    if (this.delay > 0) {
      await new Promise(resolve => setTimeout(resolve, Math.min(this.delay, milliseconds)));
    }
    return this.delay <= milliseconds ? this.reply : undefined;
  }

  post(target: string, data: JSONObject): Promise<boolean> {
    this.posts.push({ target, data });
    return Promise.resolve(this.takesPosts);
  }

  findComm(): Promise<string | null> {
    return this.comm.promise;
  }

  attach(id: string): IChannel | null {
    return this.handlesComms && id !== '' ? this.attached : null;
  }

  execute(code: string): Promise<Execution> {
    this.executed.push(code);
    this.whileExecuting();
    return Promise.resolve(this.execution);
  }

  dispose(): void {
    this.isDisposed = true;
  }

  setBusy(isBusy: boolean): void {
    this.isBusy = isBusy;
    this.busyChanged.emit(isBusy);
  }

  /** The kernel announces itself. */
  announce(data: unknown): FakeChannel {
    const channel = new FakeChannel();
    this.opened.emit({ channel, data });
    return channel;
  }
}
