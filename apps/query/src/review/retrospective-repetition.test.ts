import { describe, expect, it } from 'vitest';
import { codeOf } from '#domain/codes-for-tests.js';
import { foldRetrospective, type RetrospectiveSearch } from '#domain/retrospective-search.js';
import { refuseAnotherRequest } from './retrospective-repetition.js';
import { at, newId, received } from '../searches/search-events-for-tests.js';

const id = newId();
const search = foldRetrospective(undefined, received(id));
const { request, probeSha256 } = search;
const again = (
  of: RetrospectiveSearch,
  change: Partial<typeof request> = {},
  probe = probeSha256,
): string | undefined => codeOf(() => refuseAnotherRequest(of, { ...request, ...change }, probe));

describe('a retrospective request that comes again under its key', () => {
  it('is a repetition when it asks for the same with the same probe', () => {
    expect(again(search)).toBeUndefined();
    expect(again(search, { ...Object.fromEntries(Object.entries(request).reverse()) })).toBeUndefined();
  });

  it('is another one when a field or the probe differs', () => {
    expect(again(search, {}, 'cd')).toBe('IDEMPOTENCY_KEY_REUSED');
    expect(again(search, { justification: 'Seen on another camera at the time.' })).toBe('IDEMPOTENCY_KEY_REUSED');
    expect(again(search, { face: 1 })).toBe('IDEMPOTENCY_KEY_REUSED');
    expect(again(search, { investigatingOfficer: 'io-2' })).toBe('IDEMPOTENCY_KEY_REUSED');
    expect(again(search, { filter: { sex: 'male' } })).toBe('IDEMPOTENCY_KEY_REUSED');
  });

  it('is still a repetition after another officer was named for the search', () => {
    const reassigned = foldRetrospective(search, {
      type: 'OFFICER_REASSIGNED',
      searchId: id,
      version: 2,
      at: at(2),
      by: 'op-1',
      investigatingOfficer: 'io-2',
    });
    expect(reassigned.request.investigatingOfficer).toBe('io-2');
    expect(again(reassigned)).toBeUndefined();
    expect(again(reassigned, {}, 'cd')).toBe('IDEMPOTENCY_KEY_REUSED');
  });
});
