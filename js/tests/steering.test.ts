import { describe, expect, it } from 'vitest';

import { steerTraining } from '../src/kernel/steering';
import type { IReply } from '../src/protocol/messages';
import { FakePort } from './fakePort';

const STOPPING: IReply = { status: 'ok', message: 'The training stops after this step.', snapshot: null };

describe('steerTraining', () => {
  it('tells what the kernel says', async () => {
    const port = new FakePort();
    expect(await steerTraining(port, { request: 'stop' }, () => Promise.resolve(STOPPING))).toEqual({
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
    const wish = { request: 'set_learning_rate', value: 0.1 } as const;
    expect(await steerTraining(port, wish, () => Promise.resolve(null))).toEqual({ kind });
    expect(port.posts).toEqual([{ target: 'nn_inspector.control', data: { version: 1, ...wish } }]);
  });
});
