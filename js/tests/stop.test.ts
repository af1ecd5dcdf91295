import { describe, expect, it } from 'vitest';

import { stopTraining } from '../src/kernel/stop';
import type { IReply } from '../src/protocol/messages';
import { FakePort } from './fakePort';

const STOPPING: IReply = { status: 'ok', message: 'The training stops after this step.', snapshot: null };

describe('stopTraining', () => {
  it('tells what the kernel says', async () => {
    const port = new FakePort();
    expect(await stopTraining(port, () => Promise.resolve(STOPPING))).toEqual({
      kind: 'answered',
      message: 'The training stops after this step.'
    });
    expect(port.posts).toEqual([]);
  });

  it.each([
    [true, 'noted'],
    [false, 'unanswered']
  ])('opens a comm if nothing answers; taken: %s', async (isTaken, kind) => {
    const port = new FakePort();
    port.takesPosts = isTaken;
    expect(await stopTraining(port, () => Promise.resolve(null))).toEqual({ kind });
    expect(port.posts).toEqual([{ target: 'nn_inspector.control', data: { version: 1, request: 'stop' } }]);
  });
});
