import { expect, it } from 'vitest';
import { ConcurrencyLimit } from './concurrency-limit.js';

it('lets so many run at a time for each key, and the next one when one has ended', () => {
  const limit = new ConcurrencyLimit(2);
  const first = limit.begin('a');
  const second = limit.begin('a');
  expect(first).toBeDefined();
  expect(second).toBeDefined();
  expect(limit.begin('a')).toBeUndefined();
  expect(limit.begin('b')).toBeDefined();
  first!();
  expect(limit.begin('a')).toBeDefined();
  expect(limit.begin('a')).toBeUndefined();
  second!();
  expect(limit.begin('a')).toBeDefined();
});
