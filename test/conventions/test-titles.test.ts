import { describe, expect, it } from 'vitest';
import { testTitles } from './test-titles.js';

describe('the tests of a file', () => {
  it('are found with the groups that they are in', () => {
    expect(testTitles('test/conventions/test-titles.test.ts')).toContain(
      'the tests of a file › are found with the groups that they are in',
    );
  });

  it.each([['%s']])('are found where a table fills their names in: %s', (written) => {
    expect(testTitles('test/conventions/test-titles.test.ts')).toContain(
      `the tests of a file › are found where a table fills their names in: ${written}`,
    );
  });

  it('are those of files that there are', () => {
    expect(() => testTitles('test/conventions/no-such.test.ts')).toThrow('ENOENT');
  });
});
