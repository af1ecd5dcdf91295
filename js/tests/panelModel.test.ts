import { Signal } from '@lumino/signaling';
import { describe, expect, it } from 'vitest';

import { KernelLink } from '../src/kernel/link';
import type { IPanelSource } from '../src/panel/model';
import { PanelModel } from '../src/panel/model';
import { FakePort } from './fakePort';
import { announcement, checkMessage, snapshotMessage } from './messages';

class FakeSource implements IPanelSource {
  readonly changed = new Signal<this, void>(this);
  current: IPanelSource['current'] = null;
}

function open(): { source: FakeSource; model: PanelModel; port: FakePort; link: KernelLink } {
  const source = new FakeSource();
  const port = new FakePort();
  const link = new KernelLink({ port, refreshSeconds: () => 2, mentionsUs: () => true, isHidden: () => false });
  return { source, model: new PanelModel({ source }), port, link };
}

describe('the phase', () => {
  it('says why there is nothing to show', () => {
    const { source, model, link } = open();
    expect(model.phase).toBe('no-notebook');
    source.current = { link: null, isStarting: true };
    expect(model.phase).toBe('starting');
    source.current = { link: null, isStarting: false };
    expect(model.phase).toBe('no-kernel');
    source.current = { link, isStarting: false };
    expect(model.phase).toBe('asking');
    link.dispose();
  });
});

describe('the checks', () => {
  it('are none without a snapshot', () => {
    const { model, link } = open();
    expect([model.stages, model.raised]).toEqual([[], []]);
    link.dispose();
  });

  it('come from the current kernel', () => {
    const { source, model, port, link } = open();
    source.current = { link, isStarting: false };
    port.announce(announcement(snapshotMessage({ checks: [checkMessage({ state: 'error' })] })));
    expect(model.raised.map(check => check.name)).toEqual(['initial_loss']);
    expect(model.stages.map(stage => stage.title)).toEqual(['Before the first step']);
    link.dispose();
  });
});

describe('a row', () => {
  it('opens and closes', () => {
    const { model } = open();
    let changes = 0;
    model.changed.connect(() => changes++);
    model.toggle('shuffling');
    expect(model.isExpanded('shuffling')).toBe(true);
    model.toggle('shuffling');
    expect([model.isExpanded('shuffling'), changes]).toEqual([false, 2]);
  });

  it('is opened and brought into view once', () => {
    const { model } = open();
    model.reveal('shuffling');
    model.reveal('shuffling');
    expect([model.isExpanded('shuffling'), model.target]).toEqual([true, 'shuffling']);
    model.reached();
    expect(model.target).toBeNull();
  });
});

describe('a stage', () => {
  it('opens, closes, and opens for a check that is to be seen', () => {
    const { source, model, port, link } = open();
    source.current = { link, isStarting: false };
    port.announce(announcement(snapshotMessage({ checks: [checkMessage({ state: 'error' })] })));
    model.toggleStage('init');
    expect(model.isOpen('init')).toBe(true);
    model.toggleStage('init');
    expect(model.isOpen('init')).toBe(false);
    model.reveal('initial_loss');
    expect(model.isOpen('init')).toBe(true);
    link.dispose();
  });
});

describe('dispose', () => {
  it('may be called twice, and ends following', () => {
    const { source, model } = open();
    let changes = 0;
    model.changed.connect(() => changes++);
    source.changed.emit();
    model.dispose();
    model.dispose();
    source.changed.emit();
    expect([model.isDisposed, changes]).toEqual([true, 1]);
  });
});
