import { describe, expect, it } from 'vitest';

import { parseAnnouncement, parseReply, parseUpdate, VersionError } from '../src/protocol/parse';
import { ShapeError } from '../src/protocol/reader';
import { announcement, checkMessage, reply, snapshotMessage, trainingMessage } from './messages';

describe('parseAnnouncement', () => {
  it('reads a snapshot', () => {
    const { training, problems, checks } = parseAnnouncement(
      announcement(snapshotMessage({ training: trainingMessage(), problems: ['No loss was seen.'] }))
    );
    expect(training).toEqual({
      state: 'running',
      model: 'Sequential',
      step: 12,
      epoch: 1,
      loss: 0.5,
      validationLoss: null,
      learningRate: 0.1,
      overhead: 0.012,
      history: {
        loss: [
          { step: 0, loss: 2.5 },
          { step: 11, loss: null }
        ],
        validationLoss: []
      }
    });
    expect(problems).toEqual(['No loss was seen.']);
    expect(checks.map(check => [check.name, check.stageTitle, check.state, check.code])).toEqual([
      ['initial_loss', 'Before the first step', 'open', null]
    ]);
  });

  it.each([
    ['none where the kernel does not say', {}, []],
    ['those that it says', { dashboards: ['a-1', 'a-2'] }, ['a-1', 'a-2']]
  ])('reads the keys of dashboards: %s', (_, said, dashboards) => {
    expect(parseAnnouncement(announcement(snapshotMessage(said))).dashboards).toEqual(dashboards);
  });

  it('takes a missing optional field for null', () => {
    const message = checkMessage();
    delete message.tried;
    const { checks } = parseAnnouncement(announcement(snapshotMessage({ checks: [message] })));
    expect(checks[0]?.tried).toBeNull();
  });

  it.each([
    ['no object', 'text', 'announcement: an object expected'],
    ['nothing', null, 'announcement: an object expected'],
    ['a list', [], 'announcement: an object expected'],
    ['no snapshot', { version: 1 }, 'announcement.snapshot: an object expected'],
    [
      'an unknown state of the training',
      announcement(snapshotMessage({ training: { state: 'asleep' } })),
      'announcement.snapshot.training.state: one of none, running, paused, idle expected'
    ],
    [
      'a training without a step',
      announcement(snapshotMessage({ training: trainingMessage({ step: null }) })),
      'announcement.snapshot.training.step: a number expected'
    ],
    [
      'a loss that is a text',
      announcement(snapshotMessage({ training: trainingMessage({ loss: '0.5' }) })),
      'announcement.snapshot.training.loss: a number expected'
    ],
    [
      'a history that is no list of pairs',
      announcement(snapshotMessage({ training: trainingMessage({ history: { loss: [3], validation_loss: [] } }) })),
      'announcement.snapshot.training.history.loss[0]: a list expected'
    ],
    [
      'a problem that is no text',
      announcement(snapshotMessage({ problems: [{}] })),
      'announcement.snapshot.problems[0]: a text expected'
    ],
    [
      'an unknown state of a check',
      announcement(snapshotMessage({ checks: [checkMessage(), checkMessage({ state: 'fatal' })] })),
      'announcement.snapshot.checks[1].state: one of open, ok, info, warning, error, skipped expected'
    ],
    [
      'a title from the prototype',
      announcement(snapshotMessage({ checks: [Object.create({ title: 'x' }) as never] })),
      'announcement.snapshot.checks[0].name: a text expected'
    ]
  ])('refuses %s', (_, data, message) => {
    expect(() => parseAnnouncement(data)).toThrow(new ShapeError(...splitOnce(message)));
  });
});

describe('the version', () => {
  it.each([
    [2, '2'],
    [0, '0'],
    [undefined, '?']
  ])('%s is refused', (version, shown) => {
    const data = { ...announcement(), version };
    for (const parse of [parseAnnouncement, parseUpdate, parseReply]) {
      expect(() => parse(data)).toThrow(new VersionError(shown));
    }
  });
});

describe('parseUpdate', () => {
  it('reads a snapshot', () => {
    const update = parseUpdate({ version: 1, type: 'snapshot', snapshot: snapshotMessage() });
    expect(update.type === 'snapshot' && update.snapshot.checks).toHaveLength(1);
  });

  it('reads a cell to insert', () => {
    expect(parseUpdate({ version: 1, type: 'insert_cell', source: 'x = 1' })).toEqual({
      type: 'insert_cell',
      source: 'x = 1'
    });
  });

  it.each([
    ['an unknown type', { version: 1, type: 'run_cell', source: 'x = 1' }],
    ['a cell without a source', { version: 1, type: 'insert_cell' }],
    ['a source that is no text', { version: 1, type: 'insert_cell', source: ['x = 1'] }]
  ])('refuses %s', (_, data) => {
    expect(() => parseUpdate(data)).toThrow(ShapeError);
  });
});

describe('parseReply', () => {
  it('reads an answer', () => {
    const { status, message, snapshot } = parseReply(reply({ message: 'No training is running.' }));
    expect([status, message, snapshot?.training.state]).toEqual(['ok', 'No training is running.', 'none']);
  });

  it('reads an error, which has no snapshot', () => {
    expect(parseReply({ version: 1, status: 'error', message: 'Unknown request.' })).toEqual({
      status: 'error',
      message: 'Unknown request.',
      snapshot: null
    });
  });
});

function splitOnce(message: string): [string, string] {
  const [where = '', what = ''] = message.split(': ');
  return [where, what.replace(/ expected$/, '')];
}
