import { describe, expect, it } from 'vitest';

import { steeringOfClick } from '../src/notebook/steerAt';
import type { ISteering } from '../src/protocol/messages';
import { FakeElement } from './fakeElement';

const buttonOf = (...classes: readonly string[]): FakeElement => new FakeElement(['jupyter-button', ...classes]);
const asElement = (element: FakeElement): Element => element as unknown as Element;

describe('steeringOfClick', () => {
  it.each<[string, FakeElement, ISteering | null]>([
    ['Stop', buttonOf('nni-stop'), { request: 'stop' }],
    ['Pause', buttonOf('nni-pause'), { request: 'pause' }],
    ['Resume', buttonOf('nni-resume'), { request: 'resume' }],
    ['One step', buttonOf('nni-single-step'), { request: 'step' }],
    ['the sign on a button', new FakeElement(['fa'], buttonOf('nni-stop')), { request: 'stop' }],
    ['a tenth of the rate', buttonOf('nni-rate-times-0.1'), { request: 'set_learning_rate', factor: 0.1 }],
    ['twice the rate', buttonOf('nni-rate-times-2'), { request: 'set_learning_rate', factor: 2 }],
    ['a rate times nothing', buttonOf('nni-rate-times-0'), null],
    ['a rate times no number', buttonOf('nni-rate-times-fast'), null],
    ['another button', buttonOf('nni-latest'), null],
    ['a class of ours on something else', new FakeElement(['nni-stop']), null]
  ])('%s', (_, target, expected) => {
    expect(steeringOfClick(asElement(target))).toEqual(expected);
  });

  it.each(['nni-stop', 'nni-rate-times-0.5'])('asks for nothing where the button is disabled: %s', name => {
    const button = buttonOf(name);
    button.disabled = true;
    expect(steeringOfClick(asElement(button))).toBeNull();
  });
});
