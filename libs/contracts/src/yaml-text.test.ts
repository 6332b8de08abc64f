import { describe, expect, it } from 'vitest';
import { yamlText } from './yaml-text.js';

describe('YAML', () => {
  it('shows structure by indentation, and leaves out what is undefined', () => {
    const value = { a: 1, b: { c: ['x', { d: null, e: [] }], f: undefined }, g: [[1, 2], {}] };
    expect(yamlText(value)).toBe(
      ['a: 1', 'b:', '  c:', '    - x', '    - d: null', '      e: []', 'g:', '  - - 1', '    - 2', '  - {}', ''].join(
        '\n',
      ),
    );
  });

  it.each([
    'yes',
    'n',
    'Null',
    '1.0',
    '2026-01-02',
    '',
    ' x',
    'a: b',
    '# x',
    'x #y',
    '- x',
    '{',
    "it's",
    'a\nb',
    'Ü',
    '~',
  ])('quotes the text %j, which would be something else', (text) => {
    expect(yamlText({ text })).toBe(`text: ${JSON.stringify(text)}\n`);
  });

  it.each(['custody.image.v1', 'Two words, and more.', 'a/b', '(see there) x.'])('leaves %j as it is', (text) => {
    expect(yamlText([text])).toBe(text.startsWith('(') ? `- ${JSON.stringify(text)}\n` : `- ${text}\n`);
  });
});
