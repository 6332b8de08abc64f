import { expect, it } from 'vitest';
import { tableRows } from './project-files.js';

const DOCUMENT = ['# Title', '## One', '| A | B |', '|---|---|', '| `x` | a\\|b |', '## Two', 'words'].join('\n');

it('reads a table by its heading, bars in cells included', () => {
  expect(tableRows(DOCUMENT, 'One')).toEqual([{ A: '`x`', B: 'a|b' }]);
});

it('refuses a heading without a table, so that no comparison passes for want of rows', () => {
  expect(() => tableRows(DOCUMENT, 'Two')).toThrow('no table');
  expect(() => tableRows(DOCUMENT, 'Three')).toThrow('no heading');
});
