import { describe, expect, it } from 'vitest';
import { codeOf } from '#domain/codes-for-tests.js';
import type { Refusal } from '#domain/errors.js';
import {
  parseChooseFace,
  parseClose,
  parseOfficerDecision,
  parseOperatorDecision,
  parsePeerReview,
  parseReassign,
  parseRetry,
  parseReviewPartial,
  parseViewed,
  type RequestedAction,
} from './decision-forms.js';

const expectedVersion = 3;
const words = 'Same scar over the left eyebrow.';

describe('the body of a decision', () => {
  it.each<[string, RequestedAction, RequestedAction]>([
    [
      'which face is meant',
      parseChooseFace({ face: '2', expectedVersion }),
      { action: { type: 'CHOOSE_FACE', face: 2 }, expectedVersion },
    ],
    ['an opened candidate', parseViewed('12', undefined), { action: { type: 'VIEW_CANDIDATE', rank: 12 } }],
    [
      'an opened candidate, with a version that nobody needs',
      parseViewed('1', { expectedVersion }),
      { action: { type: 'VIEW_CANDIDATE', rank: 1 } },
    ],
    [
      'a possible match',
      parseOperatorDecision({ outcome: 'possible-match', rank: 1, features: words, notes: 'n', expectedVersion }),
      {
        action: { type: 'OPERATOR_DECISION', outcome: 'possible-match', rank: 1, features: words, notes: 'n' },
        expectedVersion,
      },
    ],
    [
      'a second review',
      parsePeerReview({ outcome: 'agree', expectedVersion }),
      { action: { type: 'PEER_REVIEW', outcome: 'agree' }, expectedVersion },
    ],
    [
      'an officer’s decision',
      parseOfficerDecision({ outcome: 'add-suspect', corroboration: words, expectedVersion }),
      { action: { type: 'OFFICER_DECISION', outcome: 'add-suspect', corroboration: words }, expectedVersion },
    ],
    [
      'another officer',
      parseReassign({ investigatingOfficer: 'io-2', expectedVersion }),
      { action: { type: 'REASSIGN', investigatingOfficer: 'io-2' }, expectedVersion },
    ],
    ['another try', parseRetry({ expectedVersion }), { action: { type: 'RETRY' }, expectedVersion }],
    [
      'the review of a part',
      parseReviewPartial({ expectedVersion }),
      { action: { type: 'REVIEW_PARTIAL' }, expectedVersion },
    ],
    [
      'the end',
      parseClose({ notes: 'n', expectedVersion }),
      { action: { type: 'CLOSE', notes: 'n' }, expectedVersion },
    ],
  ])('says %s', (_, parsed, expected) => {
    expect(parsed).toEqual(expected);
  });

  it.each<[string, string, () => unknown]>([
    ['a rule of the software in place of a face', 'face', () => parseChooseFace({ face: 'largest', expectedVersion })],
    ['no version', 'expectedVersion', () => parseClose({})],
    ['a version that is none', 'expectedVersion', () => parseRetry({ expectedVersion: '3' })],
    ['an outcome of another', 'outcome', () => parseOperatorDecision({ outcome: 'agree', expectedVersion })],
    ['an outcome of nobody', 'outcome', () => parseOfficerDecision({ outcome: 'maybe', expectedVersion })],
    ['a rank below 1', 'rank', () => parsePeerReview({ outcome: 'agree', rank: 0, expectedVersion })],
    ['a rank in the path that is none', 'rank', () => parseViewed('0', {})],
    ['a field that is not known', 'state', () => parseClose({ expectedVersion, state: 'CLOSED' })],
    ['a text without end', 'notes', () => parseClose({ expectedVersion, notes: 'n'.repeat(4001) })],
  ])('is refused for %s, naming the field', (_, field, run) => {
    expect(codeOf(run)).toBe('BAD_REQUEST');
    try {
      run();
    } catch (error) {
      expect((error as Refusal).details).toEqual({ field });
    }
  });
});
