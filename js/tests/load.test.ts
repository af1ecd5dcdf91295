import { describe, expect, it } from 'vitest';

import { Loader } from '../src/kernel/load';
import type { Execution } from '../src/kernel/port';
import { FakePort } from './fakePort';

const error = (name: string, message: string): Execution => ({ kind: 'error', name, message });

describe('Loader', () => {
  it.each([
    ['works', { kind: 'ok' }, null],
    ['is cut short', { kind: 'cancelled' }, { kind: 'cancelled' }],
    ['is not installed', error('ModuleNotFoundError', "No module named 'nn_inspector'"), { kind: 'missing' }],
    [
      'lacks something else',
      error('ModuleNotFoundError', "No module named 'torch'"),
      { kind: 'error', message: "ModuleNotFoundError: No module named 'torch'" }
    ],
    ['fails', error('OSError', 'no space left'), { kind: 'error', message: 'OSError: no space left' }]
  ] as const)('%s', async (_, execution, failure) => {
    const port = new FakePort();
    port.execution = execution;
    const loader = new Loader({ port, look: () => Promise.resolve(true) });
    expect(await loader.load()).toBe(failure === null);
    expect([loader.failure, loader.isLoading]).toEqual([failure, false]);
  });
});
