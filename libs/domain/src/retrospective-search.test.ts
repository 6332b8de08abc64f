import { describe, expect, it } from 'vitest';
import { codeOf } from './codes-for-tests.js';
import type { Refusal } from './errors.js';
import type { SearchId } from './ids.js';
import {
  foldRetrospective,
  movesFrom,
  parseRetrospectiveSearch,
  PROBE_SOURCES,
  RETROSPECTIVE_LIMIT_DEFAULT,
  RETROSPECTIVE_LIMIT_MAX,
  RETROSPECTIVE_MOVES,
  type RetrospectiveEvent,
  type RetrospectiveSearch,
  type RetrospectiveState,
} from './retrospective-search.js';
import type { FoundAnswer } from './search-answer.js';

const searchId = '0b5f7f0e-7d1c-4a7e-9a52-5c6b9a1d2e3f' as SearchId;
const answer = { searchId, candidates: [], complete: true } as unknown as FoundAnswer;
const otherAnswer = { searchId, candidates: [], complete: false } as unknown as FoundAnswer;

const request = parseRetrospectiveSearch(
  {
    crimeReference: 'CR/1/26',
    offence: 'burglary',
    source: 'cctv',
    justification: 'Seen on the doorbell camera at the time of the break-in.',
    investigatingOfficer: 'io-1',
    face: undefined,
    filter: undefined,
  },
  'op-1',
);

type Body = RetrospectiveEvent extends infer E
  ? E extends unknown
    ? Omit<E, 'searchId' | 'version' | 'at' | 'by'>
    : never
  : never;

/** One event of each type, with the state that it leads to. */
const EVENTS: readonly [Body, RetrospectiveState][] = [
  [{ type: 'RECEIVED', operator: 'op-1', request, probeSha256: 'ab', rulesVersion: 1 }, 'RECEIVED'],
  [{ type: 'FACE_CHOICE_NEEDED', faces: [] }, 'AWAITING_FACE'],
  [{ type: 'FACE_CHOSEN', face: 2 }, 'SEARCHING'],
  [{ type: 'SEARCH_STARTED' }, 'SEARCHING'],
  [{ type: 'CANDIDATES_FOUND', answer }, 'CANDIDATES'],
  [{ type: 'NO_CANDIDATES_FOUND', answer }, 'NO_CANDIDATES'],
  [{ type: 'SEARCH_PARTIAL', answer }, 'PARTIAL'],
  [{ type: 'SEARCH_FAILED', code: 'NO_FACE', detail: 'none' }, 'FAILED'],
];

function event(body: Body, version: number, at = `2026-01-01T00:00:0${version % 10}.000Z`): RetrospectiveEvent {
  return { ...body, searchId, version, at, by: 'who' };
}

const bodyOf = (type: RetrospectiveEvent['type']): Body => EVENTS.find(([body]) => body.type === type)![0];

function inState(state: RetrospectiveState): RetrospectiveSearch {
  return { ...foldRetrospective(undefined, event(bodyOf('RECEIVED'), 1)), state, version: 7 };
}

const STATES = Object.keys(RETROSPECTIVE_MOVES) as RetrospectiveState[];

/** DESIGN's words for the moves, written out a second time, so that the table cannot change unnoticed. */
const MOVES_AS_PUBLISHED = `
  RECEIVED: AWAITING_FACE SEARCHING FAILED
  AWAITING_FACE: SEARCHING FAILED CLOSED
  SEARCHING: CANDIDATES NO_CANDIDATES PARTIAL FAILED
  CANDIDATES: OPERATOR_REVIEW
  NO_CANDIDATES: CLOSED
  PARTIAL: SEARCHING OPERATOR_REVIEW
  FAILED: SEARCHING CLOSED
  OPERATOR_REVIEW: NO_MATCH INCONCLUSIVE POSSIBLE_MATCH
  NO_MATCH: CLOSED
  INCONCLUSIVE: CLOSED
  POSSIBLE_MATCH: PEER_REVIEW OFFICER_REVIEW
  PEER_REVIEW: OFFICER_REVIEW NO_MATCH INCONCLUSIVE
  OFFICER_REVIEW: REJECTED SUSPECT_ADDED
  REJECTED: CLOSED
  SUSPECT_ADDED: CLOSED
  CLOSED: OFFICER_REVIEW`;

describe('the moves of a retrospective search', () => {
  it('are the published ones, and lead only to states that exist', () => {
    const lines = STATES.map((state) => `  ${state}: ${movesFrom(state).join(' ')}`);
    expect(`\n${lines.join('\n')}`).toBe(MOVES_AS_PUBLISHED);
    for (const state of STATES) for (const next of movesFrom(state)) expect(STATES).toContain(next);
  });

  it.each(STATES.flatMap((state) => EVENTS.map(([body, next]) => [state, body.type, next] as const)))(
    'from %s, %s is accepted exactly when the moves allow it',
    (state, type, next) => {
      const search = inState(state);
      const before = structuredClone(search);
      const fold = (): RetrospectiveSearch => foldRetrospective(search, event(bodyOf(type), 8));
      if (type !== 'RECEIVED' && movesFrom(state).includes(next)) {
        expect(fold()).toMatchObject({ state: next, version: 8, updatedAt: event(bodyOf(type), 8).at });
      } else {
        expect(codeOf(fold)).toBe('ILLEGAL_MOVE');
      }
      expect(search).toEqual(before);
    },
  );

  it('names the legal next states to whoever asked for another', () => {
    try {
      foldRetrospective(inState('NO_CANDIDATES'), event(bodyOf('SEARCH_STARTED'), 8));
      expect.unreachable();
    } catch (error) {
      expect((error as Refusal).details).toEqual({ state: 'NO_CANDIDATES', legal: ['CLOSED'] });
    }
  });

  it.each(EVENTS.map(([body]) => body.type).filter((type) => type !== 'RECEIVED'))(
    'refuse %s as the first event of a search',
    (type) => {
      expect(codeOf(() => foldRetrospective(undefined, event(bodyOf(type), 1)))).toBe('ILLEGAL_MOVE');
    },
  );

  it.each([0, 1, 6, 7, 9, 100])(
    'refuse version %i after version 7 with VERSION_CONFLICT and the version that is',
    (version) => {
      try {
        foldRetrospective(inState('RECEIVED'), event(bodyOf('SEARCH_STARTED'), version));
        expect.unreachable();
      } catch (error) {
        expect((error as Refusal).code).toBe('VERSION_CONFLICT');
        expect((error as Refusal).details).toEqual({ version: 7 });
      }
    },
  );

  it('refuse a first event that is not version 1', () => {
    expect(codeOf(() => foldRetrospective(undefined, event(bodyOf('RECEIVED'), 2)))).toBe('VERSION_CONFLICT');
  });
});

describe('the fold', () => {
  const foldAll = (...bodies: readonly Body[]): RetrospectiveSearch =>
    bodies.reduce<RetrospectiveSearch | undefined>(
      (search, body, index) => foldRetrospective(search, event(body, index + 1)),
      undefined,
    )!;

  it('keeps what was received, and when', () => {
    expect(foldAll(bodyOf('RECEIVED'))).toEqual({
      searchId,
      version: 1,
      state: 'RECEIVED',
      operator: 'op-1',
      request,
      probeSha256: 'ab',
      rulesVersion: 1,
      receivedAt: '2026-01-01T00:00:01.000Z',
      updatedAt: '2026-01-01T00:00:01.000Z',
    });
  });

  it('puts the face that was chosen into the request, and keeps the faces that were shown', () => {
    const faces = [{ index: 0, box: { left: 1, top: 2, right: 3, bottom: 4 }, confidence: 0.9 }];
    const search = foldAll(bodyOf('RECEIVED'), { type: 'FACE_CHOICE_NEEDED', faces }, { type: 'FACE_CHOSEN', face: 0 });
    expect(search).toMatchObject({ state: 'SEARCHING', faces, request: { ...request, face: 0 } });
  });

  it('holds the answer of the last run, and a partial one is never NO_CANDIDATES', () => {
    const partial = foldAll(bodyOf('RECEIVED'), bodyOf('SEARCH_STARTED'), {
      type: 'SEARCH_PARTIAL',
      answer: otherAnswer,
    });
    expect(partial).toMatchObject({ state: 'PARTIAL', answer: otherAnswer });
    const again = foldRetrospective(partial, event(bodyOf('SEARCH_STARTED'), 4));
    expect(foldRetrospective(again, event({ type: 'CANDIDATES_FOUND', answer }, 5))).toMatchObject({
      state: 'CANDIDATES',
      answer,
    });
  });

  it('says why a search failed', () => {
    const failed = foldAll(bodyOf('RECEIVED'), bodyOf('SEARCH_FAILED'));
    expect(failed).toMatchObject({ state: 'FAILED', failure: { code: 'NO_FACE', detail: 'none' } });
  });
});

describe('a retrospective request', () => {
  const fields = {
    crimeReference: ' CR/1/26 ',
    offence: 'burglary',
    source: 'cctv',
    justification: 'Seen on the doorbell camera at the time of the break-in.',
    investigatingOfficer: 'io-1',
    face: undefined,
    filter: undefined,
    limit: undefined,
  } as const;

  it('is read with its defaults, and without what was not given', () => {
    expect(parseRetrospectiveSearch(fields, 'op-1')).toEqual({
      crimeReference: 'CR/1/26',
      offence: 'burglary',
      source: 'cctv',
      justification: fields.justification,
      investigatingOfficer: 'io-1',
      limit: RETROSPECTIVE_LIMIT_DEFAULT,
    });
  });

  it.each(PROBE_SOURCES)('may come from %s', (source) => {
    expect(parseRetrospectiveSearch({ ...fields, source }, 'op-1').source).toBe(source);
  });

  it('carries face, filter and limit', () => {
    expect(
      parseRetrospectiveSearch({ ...fields, face: 1, filter: { sex: 'male' }, limit: '50' }, 'op-1'),
    ).toMatchObject({ face: 1, filter: { sex: 'male' }, limit: RETROSPECTIVE_LIMIT_MAX });
  });

  it.each<[string, Partial<Record<keyof typeof fields, string | undefined>>]>([
    ['FIELD_REQUIRED', { crimeReference: undefined }],
    ['FIELD_REQUIRED', { crimeReference: ' ' }],
    ['FIELD_REQUIRED', { offence: undefined }],
    ['FIELD_REQUIRED', { investigatingOfficer: '' }],
    ['FIELD_TOO_LONG', { offence: 'x'.repeat(201) }],
    ['FIELD_TOO_LONG', { crimeReference: 'x'.repeat(201) }],
    ['PROBE_SOURCE_UNKNOWN', { source: undefined }],
    ['PROBE_SOURCE_UNKNOWN', { source: 'live-camera' }],
    ['REVIEWERS_NOT_DISTINCT', { investigatingOfficer: 'op-1' }],
    ['REVIEWERS_NOT_DISTINCT', { investigatingOfficer: ' op-1 ' }],
    ['JUSTIFICATION_REQUIRED', { justification: undefined }],
    ['JUSTIFICATION_TOO_SHORT', { justification: 'on camera' }],
    ['JUSTIFICATION_MEANINGLESS', { justification: 'x x x x x x x x x x x x x' }],
    ['BAD_LIMIT', { limit: String(RETROSPECTIVE_LIMIT_MAX + 1) }],
  ])('is refused with %s for %j', (code, change) => {
    expect(codeOf(() => parseRetrospectiveSearch({ ...fields, ...change } as typeof fields, 'op-1'))).toBe(code);
  });
});
