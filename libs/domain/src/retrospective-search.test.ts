import { describe, expect, it } from 'vitest';
import { codeOf } from './codes-for-tests.js';
import type { Refusal } from './errors.js';
import type { RetrospectiveEvent, RetrospectiveEventBody } from './retrospective-events.js';
import {
  foldRetrospective,
  isSuspect,
  movesFrom,
  possibleMatchRank,
  RETROSPECTIVE_MOVES,
  type RetrospectiveSearch,
  type RetrospectiveState,
} from './retrospective-search.js';
import {
  answerForTests,
  inState,
  NAMED_OFFICER,
  OPERATOR,
  received,
  request,
  SEARCH_ID,
  SearchForTests,
  SECOND_OPERATOR,
  WORDS,
} from './retrospective-states-for-tests.js';

const by = 'who';
const RECEIVED: RetrospectiveEventBody = {
  type: 'RECEIVED',
  by,
  operator: 'op-1',
  request,
  probeSha256: 'ab',
  rules: { version: 2, peerReview: false },
};
const withdrawn = { type: 'CANDIDATE_WITHDRAWN', by, reason: 'erased', investigatingOfficer: 'io-1' } as const;

/** One event of each type and outcome, and the states from which and to which it leads. */
const EVENTS: readonly [RetrospectiveEventBody, Partial<Record<RetrospectiveState, RetrospectiveState>>][] = [
  [
    { type: 'FACE_CHOICE_NEEDED', by, faces: [] },
    { RECEIVED: 'AWAITING_FACE', SEARCHING: 'AWAITING_FACE' },
  ],
  [{ type: 'FACE_CHOSEN', by, face: 2 }, { AWAITING_FACE: 'SEARCHING' }],
  [{ type: 'SEARCH_STARTED', by }, { RECEIVED: 'SEARCHING' }],
  [
    { type: 'SEARCH_RETRIED', by },
    { PARTIAL: 'SEARCHING', FAILED: 'SEARCHING' },
  ],
  [{ type: 'PARTIAL_REVIEW_CHOSEN', by }, { PARTIAL: 'OPERATOR_REVIEW' }],
  [{ type: 'CANDIDATES_FOUND', by, answer: answerForTests() }, { SEARCHING: 'CANDIDATES' }],
  [{ type: 'NO_CANDIDATES_FOUND', by, answer: answerForTests(true, []) }, { SEARCHING: 'NO_CANDIDATES' }],
  [{ type: 'SEARCH_PARTIAL', by, answer: answerForTests(false) }, { SEARCHING: 'PARTIAL' }],
  [
    { type: 'SEARCH_FAILED', by, code: 'NO_FACE', detail: 'none' },
    { RECEIVED: 'FAILED', AWAITING_FACE: 'FAILED', SEARCHING: 'FAILED' },
  ],
  [
    { type: 'CANDIDATE_VIEWED', by, rank: 1 },
    {
      CANDIDATES: 'OPERATOR_REVIEW',
      OPERATOR_REVIEW: 'OPERATOR_REVIEW',
      PEER_REVIEW: 'PEER_REVIEW',
      OFFICER_REVIEW: 'OFFICER_REVIEW',
    },
  ],
  [{ type: 'OPERATOR_DECIDED', by, outcome: 'no-match' }, { OPERATOR_REVIEW: 'NO_MATCH' }],
  [{ type: 'OPERATOR_DECIDED', by, outcome: 'inconclusive' }, { OPERATOR_REVIEW: 'INCONCLUSIVE' }],
  [{ type: 'OPERATOR_DECIDED', by, outcome: 'possible-match', rank: 1 }, { OPERATOR_REVIEW: 'POSSIBLE_MATCH' }],
  [{ type: 'REVIEW_REQUESTED', by, stage: 'peer', investigatingOfficer: 'io-1' }, { POSSIBLE_MATCH: 'PEER_REVIEW' }],
  [
    { type: 'REVIEW_REQUESTED', by, stage: 'officer', investigatingOfficer: 'io-1' },
    { POSSIBLE_MATCH: 'OFFICER_REVIEW' },
  ],
  [{ type: 'PEER_REVIEWED', by, outcome: 'agree' }, { PEER_REVIEW: 'OFFICER_REVIEW' }],
  [{ type: 'PEER_REVIEWED', by, outcome: 'no-match' }, { PEER_REVIEW: 'NO_MATCH' }],
  [{ type: 'PEER_REVIEWED', by, outcome: 'inconclusive' }, { PEER_REVIEW: 'INCONCLUSIVE' }],
  [{ type: 'OFFICER_DECIDED', by, outcome: 'reject', rank: 1 }, { OFFICER_REVIEW: 'REJECTED' }],
  [{ type: 'OFFICER_DECIDED', by, outcome: 'add-suspect', rank: 1 }, { OFFICER_REVIEW: 'SUSPECT_ADDED' }],
  [
    { type: 'OFFICER_REASSIGNED', by, investigatingOfficer: 'io-2' },
    Object.fromEntries(
      Object.keys(RETROSPECTIVE_MOVES)
        .filter((state) => state !== 'CLOSED')
        .map((state) => [state, state]),
    ),
  ],
  [
    { ...withdrawn, rank: 1 },
    {
      CANDIDATES: 'CANDIDATES',
      PARTIAL: 'PARTIAL',
      OPERATOR_REVIEW: 'OPERATOR_REVIEW',
      NO_MATCH: 'NO_MATCH',
      INCONCLUSIVE: 'INCONCLUSIVE',
      POSSIBLE_MATCH: 'POSSIBLE_MATCH',
      PEER_REVIEW: 'PEER_REVIEW',
      OFFICER_REVIEW: 'OFFICER_REVIEW',
      REJECTED: 'REJECTED',
      SUSPECT_ADDED: 'OFFICER_REVIEW',
      CLOSED: 'OFFICER_REVIEW',
    },
  ],
  [
    { type: 'CLOSED', by },
    {
      AWAITING_FACE: 'CLOSED',
      NO_CANDIDATES: 'CLOSED',
      FAILED: 'CLOSED',
      NO_MATCH: 'CLOSED',
      INCONCLUSIVE: 'CLOSED',
      REJECTED: 'CLOSED',
      SUSPECT_ADDED: 'CLOSED',
    },
  ],
];

const STATES = Object.keys(RETROSPECTIVE_MOVES) as RetrospectiveState[];

function event(body: RetrospectiveEventBody, version: number): RetrospectiveEvent {
  return { ...body, searchId: SEARCH_ID, version, at: '2026-02-02T00:00:00.000Z' };
}

/** DESIGN's words for the moves, written out a second time, so that the table cannot change unnoticed. */
const MOVES_AS_PUBLISHED = `
  RECEIVED: AWAITING_FACE SEARCHING FAILED
  AWAITING_FACE: SEARCHING FAILED CLOSED
  SEARCHING: CANDIDATES NO_CANDIDATES PARTIAL FAILED AWAITING_FACE
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
  SUSPECT_ADDED: CLOSED OFFICER_REVIEW
  CLOSED: OFFICER_REVIEW`;

describe('the moves of a retrospective search', () => {
  it('are the published ones, and lead only to states that exist', () => {
    const lines = STATES.map((state) => `  ${state}: ${movesFrom(state).join(' ')}`);
    expect(`\n${lines.join('\n')}`).toBe(MOVES_AS_PUBLISHED);
    for (const state of STATES) for (const next of movesFrom(state)) expect(STATES).toContain(next);
  });

  it('are all made by an event, and no event makes another', () => {
    for (const state of STATES) {
      const made = EVENTS.flatMap(([, moves]) => moves[state] ?? []).filter((next) => next !== state);
      expect([...new Set(made)].toSorted(), state).toEqual([...movesFrom(state)].toSorted());
    }
  });

  it.each(
    STATES.flatMap((state) =>
      EVENTS.map(([body, moves]) => [state, JSON.stringify(body).slice(0, 90), body, moves[state]] as const),
    ),
  )('from %s, %s leads where it is said to, or is refused', (state, _name, body, next) => {
    const { search } = inState(state);
    const before = structuredClone(search);
    const fold = (): RetrospectiveSearch => foldRetrospective(search, event(body, search!.version + 1));
    if (next === undefined) expect(codeOf(fold)).toBe('ILLEGAL_MOVE');
    else
      expect(fold()).toMatchObject({
        state: next,
        version: search!.version + 1,
        updatedAt: '2026-02-02T00:00:00.000Z',
      });
    expect(search).toEqual(before);
  });

  it.each(STATES)('from %s, a second RECEIVED is refused', (state) => {
    const { search } = inState(state);
    expect(codeOf(() => foldRetrospective(search, event(RECEIVED, search!.version + 1)))).toBe('ILLEGAL_MOVE');
  });

  it('names the legal next states to whoever asked for another', () => {
    try {
      inState('NO_CANDIDATES').event({ type: 'SEARCH_STARTED', by });
      expect.unreachable();
    } catch (error) {
      expect((error as Refusal).details).toEqual({ state: 'NO_CANDIDATES', legal: ['CLOSED'] });
    }
  });

  it.each(EVENTS.map(([body]) => body))('refuse $type as the first event of a search', (body) => {
    expect(codeOf(() => new SearchForTests().event(body))).toBe('ILLEGAL_MOVE');
  });

  it.each([0, 1, 2, 4, 100])('refuse version %i after version 2 with VERSION_CONFLICT and the version that is', (n) => {
    const { search } = inState('SEARCHING');
    try {
      foldRetrospective(search, event({ type: 'SEARCH_FAILED', by, code: 'X', detail: 'x' }, n));
      expect.unreachable();
    } catch (error) {
      expect((error as Refusal).code).toBe('VERSION_CONFLICT');
      expect((error as Refusal).details).toEqual({ version: 2 });
    }
  });

  it('refuse a first event that is not version 1', () => {
    expect(codeOf(() => foldRetrospective(undefined, event(RECEIVED, 2)))).toBe('VERSION_CONFLICT');
  });
});

describe('the fold', () => {
  it('keeps what was received, and when', () => {
    expect(received().search).toEqual({
      searchId: SEARCH_ID,
      version: 1,
      state: 'RECEIVED',
      operator: 'op-1',
      operators: ['op-1'],
      request,
      probeSha256: 'ab',
      rules: { version: 2, peerReview: false },
      receivedAt: '2026-01-01T00:00:01.000Z',
      updatedAt: '2026-01-01T00:00:01.000Z',
      partialReview: false,
      viewings: [],
      withdrawals: [],
      decisions: [],
      history: [{ version: 1, type: 'RECEIVED', by: 'op-1', at: '2026-01-01T00:00:01.000Z' }],
    });
  });

  it('keeps which face was meant beside the faces that were offered', () => {
    const chosen = inState('AWAITING_FACE').command(SECOND_OPERATOR, { type: 'CHOOSE_FACE', face: 0 }).search!;
    expect(chosen).toMatchObject({ state: 'SEARCHING', request: { ...request, face: 0 } });
    expect(chosen.faces).toHaveLength(2);
    expect(chosen.operators).toEqual(['op-1', 'op-2']);
  });

  it('has no answer while a search is tried again, nor what was looked at in the one before', () => {
    const again = inState('PARTIAL').withdraw(2).command(OPERATOR, { type: 'RETRY' }).search!;
    expect(again.state).toBe('SEARCHING');
    expect(again).not.toHaveProperty('answer');
    expect(again.withdrawals).toEqual([]);
    const found = new SearchForTests(again).event({ type: 'CANDIDATES_FOUND', by, answer: answerForTests() });
    expect(found.search).toMatchObject({ state: 'CANDIDATES', answer: { complete: true } });
  });

  it('has no failure any more when a search that failed is tried again', () => {
    expect(inState('FAILED').search!.failure).toEqual({ code: 'NO_FACE', detail: 'No face was found.' });
    expect(inState('FAILED').command(OPERATOR, { type: 'RETRY' }).search).not.toHaveProperty('failure');
  });

  it('marks the review of an answer that only a part of the gallery gave', () => {
    const review = inState('PARTIAL').command(OPERATOR, { type: 'REVIEW_PARTIAL' });
    expect(review.search).toMatchObject({ state: 'OPERATOR_REVIEW', partialReview: true, answer: { complete: false } });
    expect(inState('OPERATOR_REVIEW').search!.partialReview).toBe(false);
  });

  it('keeps every decision with who made it and why, the earlier ones too', () => {
    const reopened = inState('CLOSED', { peerReview: true }).withdraw(1);
    const again = reopened.command(NAMED_OFFICER, { type: 'OFFICER_DECISION', outcome: 'reject', notes: ' No more. ' });
    expect(again.search!.decisions).toMatchObject([
      { stage: 'operator', outcome: 'possible-match', rank: 1, features: WORDS, by: 'op-1' },
      { stage: 'peer', outcome: 'agree', by: 'op-2' },
      { stage: 'officer', outcome: 'add-suspect', rank: 1, corroboration: WORDS, by: 'io-1' },
      { stage: 'officer', outcome: 'reject', rank: 1, notes: 'No more.', by: 'io-1' },
    ]);
    expect(again.search!.operators).toEqual(['op-1', 'op-2']);
    expect(possibleMatchRank(again.search!)).toBe(1);
    expect(isSuspect(reopened.search!, 1)).toBe(true);
    expect(isSuspect(again.search!, 1)).toBe(false);
  });

  it('numbers its history without a gap, and keeps the command that each step came from', () => {
    const { history, version } = inState('CLOSED').search!;
    expect(history.map((entry) => entry.version)).toEqual(Array.from({ length: version }, (_, i) => i + 1));
    const ofPeople = history.filter(({ type }) =>
      ['CANDIDATE_VIEWED', 'OPERATOR_DECIDED', 'REVIEW_REQUESTED', 'OFFICER_DECIDED', 'CLOSED'].includes(type),
    );
    expect(ofPeople).toHaveLength(8);
    for (const { commandId } of ofPeople) expect(commandId).toMatch(/^command-\d+$/);
  });

  it.each<[string, SearchForTests]>([
    ['no match', inState('NO_MATCH').command(OPERATOR, { type: 'CLOSE' })],
    ['an inconclusive review', inState('INCONCLUSIVE').command(OPERATOR, { type: 'CLOSE' })],
    ['a rejection', inState('REJECTED').command(OPERATOR, { type: 'CLOSE' })],
  ])(
    'leaves a search that was closed after %s closed when a candidate is withdrawn, and says so in it',
    (_, closed) => {
      const { search } = closed.withdraw(1);
      expect(search).toMatchObject({ state: 'CLOSED', withdrawals: [{ rank: 1, reason: 'erased' }] });
    },
  );

  it('opens a closed search again once, however often its suspect is reported', () => {
    const again = inState('CLOSED').withdraw(1).withdraw(1);
    expect(again.search).toMatchObject({ state: 'OFFICER_REVIEW', withdrawals: [{ rank: 1 }] });
  });
});
