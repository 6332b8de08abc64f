import { describe, expect, it } from 'vitest';
import { codeOf } from './codes-for-tests.js';
import { Refusal } from './errors.js';
import type { RetrospectiveAction } from './retrospective-commands.js';
import { acceptedBefore, decide, NOTES_LENGTH_MAX } from './retrospective-decision.js';
import {
  inState,
  NAMED_OFFICER,
  OPERATOR,
  RANKS,
  SEARCH_ID,
  SearchForTests,
  SECOND_OPERATOR,
  WORDS,
} from './retrospective-states-for-tests.js';

function refusalOf(run: () => unknown): Refusal {
  try {
    run();
  } catch (error) {
    if (error instanceof Refusal) return error;
    throw error;
  }
  throw new Error('nothing was refused');
}

const viewed = (...ranks: number[]): SearchForTests =>
  ranks.reduce((search, rank) => search.command(OPERATOR, { type: 'VIEW_CANDIDATE', rank }), inState('CANDIDATES'));
const possibleMatch = (over: Partial<RetrospectiveAction> = {}): RetrospectiveAction =>
  ({ type: 'OPERATOR_DECISION', outcome: 'possible-match', rank: 1, features: WORDS, ...over }) as RetrospectiveAction;
const open = { type: 'VIEW_CANDIDATE', rank: 1 } as const;
const noMatch = { type: 'OPERATOR_DECISION', outcome: 'no-match' } as const;
const addSuspect = (corroboration?: string): RetrospectiveAction => ({
  type: 'OFFICER_DECISION',
  outcome: 'add-suspect',
  corroboration,
});

/** What nobody can check later. */
const NOT_IN_WORDS: readonly [string, string | undefined][] = [
  ['JUSTIFICATION_REQUIRED', undefined],
  ['JUSTIFICATION_REQUIRED', '   '],
  ['JUSTIFICATION_TOO_SHORT', 'same nose'],
  ['JUSTIFICATION_MEANINGLESS', 'x x x x x x x x x x x x x'],
  ['JUSTIFICATION_PLACEHOLDER', 'Enter your justification here'],
  ['JUSTIFICATION_TOO_LONG', 'The same scar. '.repeat(200)],
];

describe('an operator who says "no match"', () => {
  it('has opened every candidate shown, and is told which are missing', () => {
    expect(refusalOf(() => viewed(2).command(OPERATOR, noMatch))).toMatchObject({
      code: 'CANDIDATES_NOT_ALL_VIEWED',
      details: { ranks: [1, 3] },
    });
    expect(viewed(...RANKS).command(OPERATOR, noMatch).search!.state).toBe('NO_MATCH');
  });

  it('has opened them in person: what another operator opened does not count', () => {
    const search = viewed(...RANKS).command(SECOND_OPERATOR, { type: 'VIEW_CANDIDATE', rank: 1 });
    expect(refusalOf(() => search.command(SECOND_OPERATOR, noMatch)).details).toEqual({ ranks: [2, 3] });
  });

  it('need not open one that was withdrawn', () => {
    expect(viewed(1, 2).withdraw(3).command(OPERATOR, noMatch).search!.state).toBe('NO_MATCH');
  });

  it('may do so of a list on which every candidate is withdrawn, once one was looked for', () => {
    const empty = RANKS.reduce((search, rank) => search.withdraw(rank), inState('CANDIDATES'));
    expect(codeOf(() => empty.command(OPERATOR, noMatch))).toBe('ILLEGAL_MOVE');
    const looked = empty.command(OPERATOR, { type: 'VIEW_CANDIDATE', rank: 1 });
    expect(looked.command(OPERATOR, noMatch).search!.state).toBe('NO_MATCH');
  });
});

describe('a possible match', () => {
  it('names the candidate, the features compared, and who reviews next', () => {
    const search = viewed(1).command(OPERATOR, possibleMatch({ features: `  ${WORDS}\n` })).search!;
    expect(search.state).toBe('OFFICER_REVIEW');
    expect(search.decisions).toMatchObject([{ stage: 'operator', rank: 1, features: WORDS, by: 'op-1' }]);
    expect(search.history.slice(-2).map(({ type }) => type)).toEqual(['OPERATOR_DECIDED', 'REVIEW_REQUESTED']);
  });

  it.each(NOT_IN_WORDS)('is refused with FEATURES_REQUIRED and %s for features %j', (rule, features) => {
    expect(refusalOf(() => viewed(1).command(OPERATOR, possibleMatch({ features })))).toMatchObject({
      code: 'FEATURES_REQUIRED',
      details: { rule },
    });
  });

  it.each<[string, Partial<RetrospectiveAction>]>([
    ['FIELD_REQUIRED', { rank: undefined }],
    ['CANDIDATE_NOT_FOUND', { rank: 4 }],
    ['CANDIDATES_NOT_ALL_VIEWED', { rank: 2 }],
    ['FIELD_TOO_LONG', { notes: 'n'.repeat(NOTES_LENGTH_MAX + 1) }],
  ])('is refused with %s for %j', (code, over) => {
    expect(codeOf(() => viewed(1).command(OPERATOR, possibleMatch(over)))).toBe(code);
  });

  it('is never a candidate that was withdrawn', () => {
    expect(codeOf(() => viewed(1).withdraw(1).command(OPERATOR, possibleMatch()))).toBe('CANDIDATE_WITHDRAWN');
  });
});

describe('the second operator', () => {
  it('is asked only when the rules of the search say so, whatever is configured later', () => {
    expect(inState('OPERATOR_REVIEW', { peerReview: true }).command(OPERATOR, possibleMatch()).search!.state).toBe(
      'PEER_REVIEW',
    );
  });

  it('is neither who decided nor who asked for the search', () => {
    const byAnother = inState('PEER_REVIEW', { viewers: [SECOND_OPERATOR] });
    const agree = { type: 'PEER_REVIEW', outcome: 'agree' } as const;
    expect(codeOf(() => byAnother.command(SECOND_OPERATOR, agree))).toBe('REVIEWERS_NOT_DISTINCT');
    expect(codeOf(() => byAnother.command(OPERATOR, agree))).toBe('REVIEWERS_NOT_DISTINCT');
    const third = { id: 'op-9', roles: ['operator'] } as const;
    expect(byAnother.command(third, open).command(third, agree).search!.state).toBe('OFFICER_REVIEW');
    expect(codeOf(() => byAnother.command({ ...third, id: 'OP-1 ' }, agree))).toBe('REVIEWERS_NOT_DISTINCT');
  });

  it('has opened the candidate, and does not agree to what was only told', () => {
    const agree = { type: 'PEER_REVIEW', outcome: 'agree' } as const;
    expect(refusalOf(() => inState('PEER_REVIEW').command(SECOND_OPERATOR, agree))).toMatchObject({
      code: 'CANDIDATES_NOT_ALL_VIEWED',
      details: { ranks: [1] },
    });
    const opened = inState('PEER_REVIEW').command(SECOND_OPERATOR, open);
    expect(opened.command(SECOND_OPERATOR, agree).search!.state).toBe('OFFICER_REVIEW');
  });

  it('agrees to no candidate that was withdrawn, and says "no match" only of a list that was opened', () => {
    const review = inState('PEER_REVIEW').withdraw(1);
    const outcome = (said: 'agree' | 'no-match' | 'inconclusive') => () =>
      review.command(SECOND_OPERATOR, { type: 'PEER_REVIEW', outcome: said }).search!.state;
    expect(codeOf(outcome('agree'))).toBe('CANDIDATE_WITHDRAWN');
    expect(refusalOf(outcome('no-match')).details).toEqual({ ranks: [2, 3] });
    expect(outcome('inconclusive')()).toBe('INCONCLUSIVE');
  });

  it('decides on the candidate that was found, and on no other', () => {
    const other = { type: 'PEER_REVIEW', outcome: 'agree', rank: 2 } as const;
    expect(codeOf(() => inState('PEER_REVIEW').command(SECOND_OPERATOR, other))).toBe('CANDIDATE_NOT_FOUND');
  });
});

describe('the investigating officer', () => {
  it('adds a suspect only with what else supports it, in words', () => {
    const search = inState('OFFICER_REVIEW').command(NAMED_OFFICER, addSuspect(WORDS)).search!;
    expect(search.decisions.at(-1)).toMatchObject({ stage: 'officer', outcome: 'add-suspect', corroboration: WORDS });
  });

  it.each(NOT_IN_WORDS)('is refused with CORROBORATION_REQUIRED and %s for %j', (rule, corroboration) => {
    expect(refusalOf(() => inState('OFFICER_REVIEW').command(NAMED_OFFICER, addSuspect(corroboration)))).toMatchObject({
      code: 'CORROBORATION_REQUIRED',
      details: { rule },
    });
  });

  it('cannot add a candidate that was withdrawn, and can reject it', () => {
    const review = inState('CLOSED').withdraw(1);
    expect(codeOf(() => review.command(NAMED_OFFICER, addSuspect(WORDS)))).toBe('CANDIDATE_WITHDRAWN');
    const reject = { type: 'OFFICER_DECISION', outcome: 'reject' } as const;
    expect(review.command(NAMED_OFFICER, reject).search!.state).toBe('REJECTED');
  });

  it('is never somebody who acted on the search as an operator', () => {
    const search = inState('OPERATOR_REVIEW', { viewers: [OPERATOR, SECOND_OPERATOR] });
    for (const investigatingOfficer of ['op-1', 'op-2', ' op-2 ', 'OP-2', 'ｏｐ-2']) {
      const reassign = { type: 'REASSIGN', investigatingOfficer } as const;
      expect(
        codeOf(() => search.command(OPERATOR, reassign)),
        investigatingOfficer,
      ).toBe('REVIEWERS_NOT_DISTINCT');
    }
    const toOneself = { type: 'REASSIGN', investigatingOfficer: 'op-3' } as const;
    expect(codeOf(() => search.command({ id: 'op-3', roles: ['operator'] }, toOneself))).toBe('REVIEWERS_NOT_DISTINCT');
    expect(codeOf(() => search.command(OPERATOR, { type: 'REASSIGN', investigatingOfficer: ' ' }))).toBe(
      'FIELD_REQUIRED',
    );
  });

  it('is the one who is named now: the one before is turned away', () => {
    const search = inState('OFFICER_REVIEW').command(OPERATOR, { type: 'REASSIGN', investigatingOfficer: 'io-2' });
    expect(codeOf(() => search.command(NAMED_OFFICER, addSuspect(WORDS)))).toBe('NOT_YOUR_SEARCH');
    const next = { id: 'io-2', roles: ['investigating-officer'] } as const;
    expect(search.command(next, open).command(next, addSuspect(WORDS)).search!.state).toBe('SUSPECT_ADDED');
  });

  it('has opened the candidate: what the one before or an operator has opened does not count', () => {
    const search = inState('OFFICER_REVIEW').command(OPERATOR, { type: 'REASSIGN', investigatingOfficer: 'io-2' });
    const next = { id: 'io-2', roles: ['investigating-officer'] } as const;
    expect(refusalOf(() => search.command(next, addSuspect(WORDS)))).toMatchObject({
      code: 'CANDIDATES_NOT_ALL_VIEWED',
      details: { ranks: [1] },
    });
    const reject = { type: 'OFFICER_DECISION', outcome: 'reject' } as const;
    expect(search.command(next, reject).search!.state).toBe('REJECTED');
  });
});

describe('the face of a probe with several', () => {
  it.each([2, 7])('is one of those offered, not number %i', (face) => {
    const refusal = refusalOf(() => inState('AWAITING_FACE').command(OPERATOR, { type: 'CHOOSE_FACE', face }));
    expect(refusal.code).toBe('FACE_INDEX_OUT_OF_RANGE');
    expect(refusal.details!['faces']).toHaveLength(2);
  });
});

describe('a decision', () => {
  const search = inState('OPERATOR_REVIEW').search!;
  const command = { ...noMatch, commandId: 'mine', expectedVersion: search.version };

  it('on a version that is no longer the last is refused, naming who was first', () => {
    const after = new SearchForTests(search).command(SECOND_OPERATOR, {
      type: 'REASSIGN',
      investigatingOfficer: 'io-2',
    });
    const refusal = refusalOf(() => decide(after.search, command, OPERATOR));
    expect(refusal).toMatchObject({
      code: 'VERSION_CONFLICT',
      details: {
        version: search.version + 1,
        state: 'OPERATOR_REVIEW',
        winner: { version: search.version + 1, type: 'OFFICER_REASSIGNED', by: 'op-2' },
      },
    });
  });

  it('that came too late learns that it did, also when the move has become illegal', () => {
    const after = new SearchForTests(search).command(OPERATOR, possibleMatch());
    expect(refusalOf(() => decide(after.search, command, OPERATOR))).toMatchObject({
      code: 'VERSION_CONFLICT',
      details: { state: 'OFFICER_REVIEW', legal: ['REASSIGN'], winner: { type: 'OPERATOR_DECIDED' } },
    });
  });

  it('on a version that is not there yet is refused, with nobody to name', () => {
    const refusal = refusalOf(() => decide(search, { ...command, expectedVersion: 99 }, OPERATOR));
    expect(refusal.code).toBe('VERSION_CONFLICT');
    expect(refusal.details).not.toHaveProperty('winner');
  });

  it('that the state does not allow is refused, naming the commands that the person may give, and what may follow', () => {
    const { details } = refusalOf(() => inState('PARTIAL').command(OPERATOR, noMatch));
    expect(details).toEqual({
      state: 'PARTIAL',
      legal: ['REASSIGN', 'RETRY', 'REVIEW_PARTIAL'],
      next: ['SEARCHING', 'OPERATOR_REVIEW'],
    });
  });

  it('about a search that is not there is refused', () => {
    expect(codeOf(() => decide(undefined, command, OPERATOR))).toBe('SEARCH_NOT_FOUND');
  });

  it('that was accepted before leads to nothing more, whatever came after it', () => {
    const [body] = decide(search, command, OPERATOR);
    const accepted = new SearchForTests(search).event(body!, 'mine');
    expect(acceptedBefore(accepted.search!, 'mine')).toMatchObject({ type: 'OPERATOR_DECIDED', by: 'op-1' });
    expect(decide(accepted.search, command, OPERATOR)).toEqual([]);
    expect(decide(accepted.command(OPERATOR, { type: 'CLOSE' }).search, command, OPERATOR)).toEqual([]);
  });

  it('to open a candidate needs no version, and a second time changes nothing', () => {
    const open = { type: 'VIEW_CANDIDATE', rank: 1, commandId: 'open' } as const;
    expect(decide(inState('CANDIDATES').search, open, OPERATOR)).toHaveLength(1);
    expect(decide(viewed(1).search, open, OPERATOR)).toEqual([]);
    expect(decide(viewed(1).search, open, SECOND_OPERATOR)).toHaveLength(1);
    expect(codeOf(() => decide(viewed(1).search, { ...open, rank: 9 }, OPERATOR))).toBe('CANDIDATE_NOT_FOUND');
  });

  it('never changes the search that it is about', () => {
    const before = structuredClone(search);
    decide(search, command, OPERATOR);
    expect(search).toEqual(before);
    expect(search.searchId).toBe(SEARCH_ID);
  });
});
