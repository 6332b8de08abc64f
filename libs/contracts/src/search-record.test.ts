import { describe, expect, it } from 'vitest';
import { codeOf } from '#domain/codes-for-tests.js';
import type { ImageId, Offset, SearchId } from '#domain/ids.js';
import { ASSERTION_HEADER } from './custody-image.js';
import { partitionFor } from './murmur2.js';
import {
  parseSearchCommand,
  parseSearchEvent,
  parseSearchRequestFields,
  searchCommandRecord,
  searchEventHeaders,
  searchEventKey,
  searchRequestHeaders,
  type SearchCommand,
  type SearchEvent,
} from './search-record.js';
import { SEARCHES_COMMANDS } from './topics.js';

const id = '0b5f7f0e-7d1c-4a7e-9a52-5c6b9a1d2e3f' as SearchId;
const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));

describe('a search request', () => {
  const fields = {
    crimeReference: 'CR/1',
    offence: 'byrgleriaeth ŵ',
    source: 'cctv',
    justification: 'Seen on the camera.',
    investigatingOfficer: 'io-1',
    face: 'largest',
    filter: { force: 'Ö', excludeImageIds: ['img-1'] },
    limit: 50,
  } as const;

  it('comes back from its headers, with its assertion', () => {
    const headers = searchRequestHeaders(id, fields as never, 'image/jpeg', 'a.b.c', '/case-system');
    expect(parseSearchRequestFields(headers)).toEqual(fields);
    expect(headers).toMatchObject({ ce_subject: id, 'content-type': 'image/jpeg', [ASSERTION_HEADER]: 'a.b.c' });
  });

  it.each<[string, Record<string, string>]>([
    ['HEADER_MISSING', {}],
    ['RECORD_NOT_JSON', { ce_request: 'x' }],
    ['RECORD_SCHEMA', { ce_request: '{"limit":"20"}' }],
    ['RECORD_SCHEMA', { ce_request: '{"face":-1}' }],
    ['RECORD_SCHEMA', { ce_request: '{"filter":{"name":"x"}}' }],
  ])('is refused with %s for %j', (code, headers) => {
    const { ce_request: _, ...event } = searchRequestHeaders(id, {}, 'image/jpeg', 'a.b.c', '/case-system');
    expect(codeOf(() => parseSearchRequestFields({ ...event, ...headers }))).toBe(code);
  });

  it('is refused when it is no CloudEvent, or one about something else', () => {
    const headers = searchRequestHeaders(id, fields as never, 'image/jpeg', 'a.b.c', '/case-system');
    const { ce_type: _, ...untyped } = headers;
    expect(codeOf(() => parseSearchRequestFields(untyped))).toBe('HEADER_MISSING');
    expect(codeOf(() => parseSearchRequestFields({ ...headers, ce_type: 'custody.image.v1' }))).toBe('HEADER_UNKNOWN');
  });
});

describe('a search command', () => {
  const base = {
    commandId: '1c5f7f0e-7d1c-8a7e-9a52-5c6b9a1d2e3f',
    searchId: id,
    by: 'op-1',
    roles: ['operator'],
    digest: 'ab',
  } as const;
  const words = 'Dieselbe Narbe über der Braue ŵ';
  const commands: readonly SearchCommand[] = [
    { ...base, type: 'CHOOSE_FACE', face: 2, expectedVersion: 2 },
    { ...base, type: 'VIEW_CANDIDATE', rank: 3 },
    { ...base, type: 'OPERATOR_DECISION', outcome: 'possible-match', rank: 1, features: words, expectedVersion: 5 },
    { ...base, type: 'OPERATOR_DECISION', outcome: 'no-match', notes: words, expectedVersion: 5 },
    { ...base, type: 'PEER_REVIEW', outcome: 'agree', rank: 1, notes: words, expectedVersion: 7 },
    { ...base, type: 'OFFICER_DECISION', outcome: 'add-suspect', corroboration: words, expectedVersion: 8 },
    { ...base, type: 'REASSIGN', investigatingOfficer: 'io-2', expectedVersion: 1 },
    { ...base, type: 'RETRY', expectedVersion: 4 },
    { ...base, type: 'REVIEW_PARTIAL', expectedVersion: 4 },
    { ...base, type: 'CLOSE', notes: words, expectedVersion: 9 },
    { ...base, roles: ['system'], type: 'WITHDRAW_CANDIDATE', imageId: 'img-1' as ImageId, reason: 'erased' },
  ];

  it.each(commands)('$type comes back whole, on the partition of its search', (command) => {
    const record = searchCommandRecord(command, '/query');
    expect(parseSearchCommand(Buffer.from(record.value!))).toEqual(command);
    expect(record).toMatchObject({ topic: SEARCHES_COMMANDS, key: id, partition: partitionFor(Buffer.from(id), 12) });
    expect(record.headers).toMatchObject({ ce_subject: id });
  });

  it.each([
    ['RECORD_NOT_JSON', null],
    ['RECORD_SCHEMA', json({ ...commands[0], type: 'DELETE' })],
    ['RECORD_SCHEMA', json({ ...commands[0], expectedVersion: 0 })],
    ['RECORD_SCHEMA', json({ ...commands[0], expectedVersion: undefined })],
    ['RECORD_SCHEMA', json({ ...commands[0], face: 'largest' })],
    ['RECORD_SCHEMA', json({ ...commands[0], searchId: 'x' })],
    ['RECORD_SCHEMA', json({ ...commands[0], roles: ['chief'] })],
    ['RECORD_SCHEMA', json({ ...commands[1], rank: 0 })],
    ['RECORD_SCHEMA', json({ ...commands[2], outcome: 'agree' })],
  ])('is refused with %s when it is none', (code, value) => {
    expect(codeOf(() => parseSearchCommand(value))).toBe(code);
  });
});

describe('a search event', () => {
  const at = '2026-01-01T00:00:00.000Z';
  const started: SearchEvent = { type: 'SEARCH_STARTED', searchId: id, version: 2, at, by: 'query' };
  const failed: SearchEvent = {
    type: 'SEARCH_FAILED',
    searchId: id,
    version: 3,
    at,
    by: 'q',
    code: 'NO_FACE',
    detail: 'ŵ',
  };
  const refused: SearchEvent = {
    type: 'REQUEST_REFUSED',
    searchId: id,
    version: 1,
    at,
    by: 'query',
    code: 'WRONG_PARTITION',
    detail: 'd',
    source: { partition: 3, offset: 17 as Offset },
  };

  it.each([started, failed, refused])('comes back whole', (event) => {
    expect(parseSearchEvent(json(event))).toEqual(event);
    expect(searchEventHeaders(event, '/query')).toMatchObject({ ce_type: `searches.event.v1.${event.type}` });
  });

  it('has a key of its own, so that compaction keeps every version, and a refusal never takes a version’s', () => {
    const unique = '/[0-9a-f-]{36}$';
    expect(searchEventKey(started)).toMatch(new RegExp(`^${id}/2${unique}`));
    expect(searchEventKey(failed)).toMatch(new RegExp(`^${id}/3${unique}`));
    expect(searchEventKey(refused)).toBe(`${id}/refused-17`);
    // Two events of one version, of which compaction must keep both.
    expect(searchEventKey(started)).not.toBe(searchEventKey(started));
  });

  it.each([
    ['RECORD_NOT_JSON', Buffer.from('x')],
    ['RECORD_SCHEMA', json({ ...started, version: 0 })],
    ['RECORD_SCHEMA', json({ ...started, searchId: 'x' })],
    ['RECORD_SCHEMA', json({ searchId: id, version: 1 })],
  ])('is refused with %s when it is none', (code, value) => {
    expect(codeOf(() => parseSearchEvent(value))).toBe(code);
  });
});
