import { describe, expect, it } from 'vitest';

import type { Key } from '../src/notebook/listKeys';
import { leaveToList } from '../src/notebook/listKeys';

const PLAIN: Key = { ctrlKey: false, metaKey: false, altKey: false };

function suppressed(isList: boolean, ...keys: readonly Key[]): Record<string, boolean> {
  const attributes: Record<string, boolean> = {};
  const element = {
    matches: () => isList,
    toggleAttribute: (name: string, force: boolean) => {
      attributes[name] = force;
    }
  };
  for (const key of keys) {
    leaveToList(element as unknown as Element, key);
  }
  return attributes;
}

describe('leaveToList', () => {
  it('keeps shortcuts from a key that is for a list', () => {
    expect(suppressed(true, PLAIN)).toEqual({ 'data-lm-suppress-shortcuts': true });
  });

  it.each(['ctrlKey', 'metaKey', 'altKey'] as const)('leaves a key with %s to the page, also after another', name => {
    expect(suppressed(true, PLAIN, { ...PLAIN, [name]: true })).toEqual({ 'data-lm-suppress-shortcuts': false });
  });

  it('leaves what is no list of ours as it is', () => {
    expect(suppressed(false, PLAIN)).toEqual({});
  });
});
