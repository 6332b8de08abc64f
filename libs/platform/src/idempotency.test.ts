import { describe, expect, it } from 'vitest';
import { codeOf } from '#domain/codes-for-tests.js';
import { searchId } from '#domain/ids.js';
import { idempotentId, parseIdempotencyKey, requestDigest, sameRequest } from './idempotency.js';

const ROUTE = 'POST /v1/searches/operator';

describe('the id that follows from an Idempotency-Key', () => {
  it('is the same for a repetition, and a UUID', () => {
    const id = idempotentId('officer-1', ROUTE, 'k1');
    expect(idempotentId('officer-1', ROUTE, 'k1')).toBe(id);
    expect(searchId(id)).toBe(id);
    expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  });

  it('is another for another person, route or key, also where the parts joined are the same text', () => {
    const ids = [
      idempotentId('officer-1', ROUTE, 'k1'),
      idempotentId('officer-2', ROUTE, 'k1'),
      idempotentId('officer-1', 'POST /v1/erasures', 'k1'),
      idempotentId('officer-1', ROUTE, 'k2'),
      idempotentId('ab', 'c', 'd'),
      idempotentId('a', 'bc', 'd'),
      idempotentId('a","b', 'c', 'd'),
      idempotentId('a', 'b","c', 'd'),
    ];
    expect(new Set(ids).size).toBe(ids.length);
  });

  it('is a new one each time without a key', () => {
    expect(idempotentId('a', 'b', undefined)).not.toBe(idempotentId('a', 'b', undefined));
  });
});

describe('an Idempotency-Key', () => {
  it.each(['k', 'a b', '~'.repeat(128), '0c5f8a3e-43f0-4b8e-8f54-6ad4e7a0a111'])('may be %j', (key) => {
    expect(parseIdempotencyKey(key)).toBe(key);
  });
  it('may be left out', () => expect(parseIdempotencyKey(undefined)).toBeUndefined());
  it.each(['', 'a'.repeat(129), 'é', 'a\tb', ['a', 'b']])('is refused as %j', (key) => {
    expect(codeOf(() => parseIdempotencyKey(key))).toBe('BAD_IDEMPOTENCY_KEY');
  });
});

describe('the digest of a request', () => {
  it('does not depend on the order of the fields, and does on each of them', () => {
    const digest = requestDigest({ a: 1, b: 'x' });
    expect(requestDigest({ b: 'x', a: 1 })).toBe(digest);
    const others = [{ a: 2, b: 'x' }, { a: 1, b: 'y' }, { a: 1 }, { a: '1', b: 'x' }, { a: 1, b: 'x', c: null }];
    for (const other of others) expect(requestDigest(other)).not.toBe(digest);
  });

  it('tells another request under the same key from a repetition', () => {
    const digest = requestDigest({ a: 1 });
    expect(() => sameRequest(digest, digest)).not.toThrow();
    expect(codeOf(() => sameRequest(digest, requestDigest({ a: 2 })))).toBe('IDEMPOTENCY_KEY_REUSED');
    expect(codeOf(() => sameRequest(digest, undefined))).toBe('IDEMPOTENCY_KEY_REUSED');
  });
});
