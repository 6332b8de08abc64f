import { describe, expect, it } from 'vitest';
import { codeOf } from '#domain/codes-for-tests.js';
import type { SearchId } from '#domain/ids.js';
import { formatConsistencyToken, parseConsistencyToken } from './consistency-token.js';

const searchId = '5f0c7a52-1c7a-4f5e-9d1e-1f2d3c4b5a69' as SearchId;

describe('a consistency token', () => {
  it('says the same when it comes back, and is safe in a header', () => {
    const token = formatConsistencyToken({ searchId, version: 7 });
    expect(token).toMatch(/^[\w-]+$/);
    expect(parseConsistencyToken(token)).toEqual({ searchId, version: 7 });
  });

  it('of a search that waits for its owner asks for its first version', () => {
    expect(parseConsistencyToken(formatConsistencyToken({ searchId, version: 0 })).version).toBe(1);
  });

  it.each([
    '',
    'x',
    searchId,
    Buffer.from('{}').toString('base64url'),
    Buffer.from(JSON.stringify({ searchId, version: 0 })).toString('base64url'),
    Buffer.from(JSON.stringify({ searchId: 'x', version: 1 })).toString('base64url'),
    Buffer.from(JSON.stringify({ searchId, version: 1, more: true })).toString('base64url'),
  ])('that was not given is refused: %j', (token) => {
    expect(codeOf(() => parseConsistencyToken(token))).toBe('BAD_CONSISTENCY_TOKEN');
  });
});
