import { PromiseDelegate } from '@lumino/coreutils';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { PATIENCE } from '../src/kernel/finder';
import { KernelLink, NEWS_PATIENCE } from '../src/kernel/link';
import { FakePort } from './fakePort';
import { announcement, reply, snapshotMessage, trainingMessage } from './messages';

const HELLO = { version: 1, type: 'hello' };
const ASK = { version: 1, request: 'snapshot' };
const RUNNING = snapshotMessage({ training: trainingMessage() });

const page = { hidden: false };

beforeEach(() => {
  page.hidden = false;
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
});

function open(port = new FakePort(), mentionsUs = true): { port: FakePort; link: KernelLink } {
  return {
    port,
    link: new KernelLink({ port, refreshSeconds: () => 2, mentionsUs: () => mentionsUs, isHidden: () => page.hidden })
  };
}

async function settle(milliseconds = 0): Promise<void> {
  await vi.advanceTimersByTimeAsync(milliseconds);
}

describe('a page that is hidden', () => {
  it('says so to a kernel that uses nn_inspector, and when it is shown again', async () => {
    const { port, link } = open();
    port.comm.resolve('id');
    await settle();
    link.tellVisibility();
    expect(port.requests).toEqual([]);
    port.attached.onMessage({ version: 1, type: 'snapshot', snapshot: snapshotMessage() });
    page.hidden = true;
    link.tellVisibility();
    page.hidden = false;
    link.tellVisibility();
    expect(port.requests).toEqual([{ ...ASK, hidden: true }, ASK]);
  });

  it('says so when it greets the kernel, and every three seconds while a cell runs, whatever the kernel reports', async () => {
    const { port } = open();
    page.hidden = true;
    const channel = port.announce(announcement());
    port.setBusy(true);
    for (let second = 0; second < 7; second++) {
      channel.onMessage({ version: 1, type: 'snapshot', snapshot: RUNNING });
      await settle(1000);
    }
    const hidden = { ...ASK, hidden: true };
    expect([channel.sent, port.requests]).toEqual([[{ ...HELLO, hidden: true }], [hidden, hidden, hidden]]);
  });

  it('says so at once to a kernel whose connection is back', () => {
    const { port } = open();
    port.announce(announcement());
    port.reconnected.emit();
    expect(port.requests).toEqual([ASK]);
  });

  it('keeps nothing to say until then', async () => {
    const { port } = open();
    port.announce(announcement());
    port.isConnected = false;
    port.setBusy(true);
    await settle(60_000);
    expect(port.requests).toEqual([]);
  });
});

describe('a kernel that is idle', () => {
  it('is asked first', () => {
    expect(open().link.state).toBe('asking');
  });

  it('does not use nn_inspector if it has no comm, and is not asked in another way', async () => {
    const { port, link } = open();
    port.comm.resolve(null);
    await settle(60_000);
    expect([link.state, port.requests]).toEqual(['absent', []]);
  });

  it('is greeted on its comm, and answers with a snapshot', async () => {
    const { port, link } = open();
    port.comm.resolve('id');
    await settle();
    expect(port.attached.sent).toEqual([HELLO]);
    port.attached.onMessage({ version: 1, type: 'snapshot', snapshot: snapshotMessage() });
    expect([link.state, link.snapshot?.checks.length]).toEqual(['loaded', 1]);
  });

  it('is asked on the control channel where comms do not work', async () => {
    const { port, link } = open();
    port.handlesComms = false;
    port.reply = reply();
    port.comm.resolve('id');
    await settle();
    expect([link.state, port.requests]).toEqual(['loaded', [ASK]]);
  });

  it('is foreign if it is no Python kernel', async () => {
    const port = new FakePort();
    port.language = Promise.resolve('r');
    const { link } = open(port);
    await settle();
    expect(link.state).toBe('foreign');
  });
});

describe('a kernel that announces itself', () => {
  it('is greeted, and its snapshot is shown at once', () => {
    const { port, link } = open();
    const channel = port.announce(announcement());
    expect([link.state, channel.sent]).toEqual(['loaded', [HELLO]]);
  });

  it('is not loaded any more when it closes its comm', () => {
    const { port, link } = open();
    port.announce(announcement()).onClose();
    expect([link.state, link.snapshot]).toEqual(['absent', null]);
  });

  it('may announce itself again: what happens to the old comm does not matter then', () => {
    const { port, link } = open();
    const old = port.announce(announcement());
    port.announce(announcement(RUNNING));
    old.onClose();
    expect(link.snapshot?.training.state).toBe('running');
  });

  it('is greeted again when the connection is back', () => {
    const { port } = open();
    const channel = port.announce(announcement());
    port.reconnected.emit();
    expect(channel.sent).toEqual([HELLO, HELLO]);
  });

  it('has nothing loaded after a restart', () => {
    const { port, link } = open();
    port.announce(announcement());
    port.ended.emit();
    expect([link.state, link.snapshot]).toEqual(['absent', null]);
  });

  it('can have a cell inserted', () => {
    const { port, link } = open();
    const sources: string[] = [];
    link.insertionAsked.connect((_, source) => {
      sources.push(source);
    });
    port.announce(announcement()).onMessage({ version: 1, type: 'insert_cell', source: 'x = 1' });
    expect(sources).toEqual(['x = 1']);
  });
});

describe('a kernel that is busy when the page is loaded', () => {
  it('is asked every so often, until it is idle', async () => {
    const { port, link } = open();
    await settle(PATIENCE - 1);
    expect([link.state, port.requests.length]).toEqual(['asking', 0]);
    await settle(1);
    expect([link.state, port.requests]).toEqual(['busy', [ASK]]);
    port.reply = reply({ snapshot: RUNNING });
    await settle(2000);
    expect([link.state, link.isBusy, port.requests.length]).toEqual(['loaded', true, 2]);
    await settle(4000);
    expect(port.requests.length).toBe(4);
    port.comm.resolve('id');
    port.reply = reply();
    await settle(60_000);
    expect([link.state, port.requests.length, port.attached.sent]).toEqual(['loaded', 5, [HELLO]]);
  });

  it('is waited for if it is slow, and not asked again meanwhile', async () => {
    const { port, link } = open();
    port.reply = reply({ snapshot: RUNNING });
    port.delay = 5000;
    await settle(PATIENCE + port.delay - 1);
    expect([link.state, port.requests.length]).toEqual(['busy', 1]);
    await settle(1);
    expect(link.state).toBe('loaded');
  });

  it('is asked again if an answer was lost', async () => {
    const { port, link } = open();
    port.delay = Infinity;
    await settle(PATIENCE + NEWS_PATIENCE);
    port.reply = reply({ snapshot: RUNNING });
    port.delay = 0;
    await settle(2000);
    expect(link.state).toBe('loaded');
  });

  it('is not asked if the notebook does not speak of nn_inspector', async () => {
    const { port, link } = open(new FakePort(), false);
    await settle(60_000);
    expect([link.state, port.requests]).toEqual(['busy', []]);
  });
});

describe('a kernel that runs a cell', () => {
  it('is asked if it does not report by itself', async () => {
    const { port, link } = open();
    port.announce(announcement());
    port.reply = reply({ snapshot: RUNNING });
    port.setBusy(true);
    await settle(4000);
    expect([port.requests.length, link.snapshot?.training.state]).toEqual([3, 'running']);
    port.reply = reply();
    port.setBusy(false);
    await settle(60_000);
    expect(port.requests.length).toBe(4);
  });

  it('is asked only every three seconds if it does', async () => {
    const { port } = open();
    const channel = port.announce(announcement());
    port.setBusy(true);
    for (let second = 0; second < 10; second++) {
      await settle(1000);
      channel.onMessage({ version: 1, type: 'snapshot', snapshot: RUNNING });
    }
    expect(port.requests).toEqual([ASK, ASK, ASK, ASK]);
  });

  it('is left alone if it does not use nn_inspector', async () => {
    const { port } = open();
    port.comm.resolve(null);
    await settle();
    port.setBusy(true);
    await settle(60_000);
    expect(port.requests).toEqual([]);
  });

  it('is looked at again afterwards where comms do not work', async () => {
    const { port, link } = open();
    port.handlesComms = false;
    port.comm.resolve(null);
    await settle();
    port.setBusy(true);
    port.comm = new PromiseDelegate();
    port.comm.resolve('id');
    port.reply = reply();
    port.setBusy(false);
    await settle();
    expect(link.state).toBe('loaded');
  });
});

describe('a training that goes on when its cell has ended', () => {
  it('is told that the page is there, until it has ended', async () => {
    const { port } = open();
    const channel = port.announce(announcement());
    for (let second = 0; second < 7; second++) {
      channel.onMessage({ version: 1, type: 'snapshot', snapshot: RUNNING });
      await settle(1000);
    }
    expect(port.requests).toEqual([ASK, ASK, ASK]);
    port.reply = reply();
    await settle(60_000);
    expect(port.requests.length).toBe(4);
  });
});

describe('a message that cannot be read', () => {
  it.each([
    ['of another version', { version: 2, snapshot: {} }, { kind: 'version', version: '2' }],
    [
      'of another shape',
      { version: 1, snapshot: [] },
      { kind: 'message', message: 'announcement.snapshot: an object expected' }
    ]
  ])('%s is told and ignored', (_, data, trouble) => {
    const { port, link } = open();
    port.announce(data);
    expect([link.state, link.trouble, link.snapshot]).toEqual(['mismatch', trouble, null]);
  });

  it('is forgotten when one comes that can', () => {
    const { port, link } = open();
    const channel = port.announce({ version: 2 });
    channel.onMessage({ version: 1, type: 'snapshot', snapshot: snapshotMessage() });
    expect([link.state, link.trouble]).toEqual(['loaded', null]);
  });

  it('may be refused by the kernel as well', async () => {
    const { port, link } = open();
    port.reply = { version: 1, status: 'error', message: 'Unknown request.' };
    await link.request({ request: 'snapshot' });
    expect(link.trouble).toEqual({ kind: 'message', message: 'Unknown request.' });
  });
});

describe('load', () => {
  it('loads once, though asked twice', async () => {
    const { port, link } = open();
    port.comm.resolve(null);
    await settle();
    port.whileExecuting = () => {
      port.announce(announcement());
    };
    const both = [link.loader.load(), link.loader.load()];
    expect([link.loader.isLoading, port.executed]).toEqual([true, ['%load_ext nn_inspector']]);
    expect(await Promise.all(both)).toEqual([true, true]);
    expect([link.loader.isLoading, link.state, link.loader.failure]).toEqual([false, 'loaded', null]);
  });

  it('finds the comm of a kernel in which it was loaded before', async () => {
    const { port, link } = open();
    port.reply = reply();
    port.comm.resolve('id');
    expect(await link.loader.load()).toBe(true);
    expect(port.attached.sent).toContainEqual(HELLO);
  });

  it('says so if the kernel does not answer afterwards', async () => {
    const { port, link } = open();
    port.comm.resolve(null);
    expect(await link.loader.load()).toBe(false);
    expect(link.loader.failure).toEqual({ kind: 'silent' });
  });

  it('keeps the reason of a failure until it is tried again', async () => {
    const { port, link } = open();
    port.comm.resolve(null);
    port.execution = { kind: 'error', name: 'ModuleNotFoundError', message: "No module named 'nn_inspector'" };
    expect(await link.loader.load()).toBe(false);
    expect(link.loader.failure).toEqual({ kind: 'missing' });
    void link.loader.load();
    expect(link.loader.failure).toBeNull();
  });
});

describe('dispose', () => {
  it('may be called twice, and ends everything', async () => {
    const { port, link } = open();
    let changes = 0;
    link.changed.connect(() => changes++);
    link.dispose();
    link.dispose();
    port.comm.resolve('id');
    await settle(60_000);
    expect([link.isDisposed, port.isDisposed, port.requests, changes]).toEqual([true, true, [], 0]);
  });

  it('tells a kernel that uses nn_inspector that nobody sees the notebook any more', () => {
    const { port, link } = open();
    port.announce(announcement());
    link.dispose();
    link.dispose();
    expect(port.requests).toEqual([{ ...ASK, hidden: true }]);
  });
});
