import { describe, expect, it } from 'vitest';

import { namePictures } from '../src/notebook/namePictures';

type Attributes = Record<string, string>;

/** A view with a list of sentences and charts, of which a table has no picture. */
function view(said: readonly string[], charts: readonly ('picture' | 'table')[]): [Element, Attributes[]] {
  const pictures: Attributes[] = [];
  const found: Record<string, unknown[]> = {
    '.nni-said > li': said.map(textContent => ({ textContent })),
    '.nni-chart': charts.map(kind => {
      const attributes: Attributes = {};
      const layer = (prefix: string): object => ({
        setAttribute: (name: string, value: string) => void (attributes[`${prefix}${name}`] = value)
      });
      const layers: Record<string, object> = { '.svg-figure': layer(''), '.svg-background': layer('behind: ') };
      if (kind === 'picture') {
        pictures.push(attributes);
      }
      return {
        querySelector: (selector: string) => (kind === 'picture' ? layers[selector] : undefined) ?? null
      };
    })
  };
  const element = { closest: () => element, querySelectorAll: (selector: string) => found[selector] ?? [] };
  return [element as unknown as Element, pictures];
}

const named = (name: string): Attributes => ({
  role: 'img',
  'aria-label': name,
  'behind: aria-hidden': 'true'
});

describe('namePictures', () => {
  it('gives each picture the sentence at its place', () => {
    const [element, pictures] = view(
      ['Loss: 2.3.', 'Confusion: a table.', 'Speed: 4.'],
      ['picture', 'table', 'picture']
    );
    namePictures(element);
    expect(pictures).toEqual([named('Loss: 2.3.'), named('Speed: 4.')]);
  });

  it.each([
    ['nothing is said yet', []],
    ['the sentence is empty', ['']]
  ])('leaves a picture as it is where %s', (_, said) => {
    const [element, pictures] = view(said, ['picture']);
    namePictures(element);
    expect(pictures).toEqual([{}]);
  });

  it('does nothing outside of a view', () => {
    expect(() => {
      namePictures({ closest: () => null } as unknown as Element);
    }).not.toThrow();
  });
});
