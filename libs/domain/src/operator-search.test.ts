import { describe, expect, it } from 'vitest';
import { codeOf } from './codes-for-tests.js';
import type { Refusal } from './errors.js';
import type { SearchId } from './ids.js';
import {
  GROUNDS,
  JUSTIFICATION_LENGTH_MAX,
  JUSTIFICATION_LENGTH_MIN,
  OPERATOR_LIMIT_DEFAULT,
  OPERATOR_LIMIT_MAX,
  OTHER_PURPOSE_JUSTIFICATION_LENGTH_MIN,
  parseJustification,
  parseLimit,
  parseOperatorSearch,
  foldOperator,
  recordOutcome,
  type OperatorOutcome,
  type OperatorSearchAnswered,
  type OperatorSearchRecord,
} from './operator-search.js';

const allowed = {
  grounds: 'unconscious',
  justification: 'Found unresponsive at the station entrance, no documents on him.',
  identityUnconfirmed: 'true',
  deviceId: 'device-7',
  face: undefined,
  limit: undefined,
} as const;

describe('an operator-initiated search', () => {
  it.each(GROUNDS)('is allowed on the ground %s', (grounds) => {
    expect(parseOperatorSearch({ ...allowed, grounds })).toEqual({
      grounds,
      justification: allowed.justification,
      face: undefined,
      deviceId: 'device-7',
      limit: OPERATOR_LIMIT_DEFAULT,
    });
  });

  it('carries the face choice and the limit', () => {
    expect(parseOperatorSearch({ ...allowed, face: 'central', limit: '20' })).toMatchObject({
      face: 'central',
      limit: 20,
    });
  });

  it.each<[string, Partial<Record<keyof typeof allowed, string | undefined>>]>([
    ['GROUNDS_REQUIRED', { grounds: undefined }],
    ['GROUNDS_REQUIRED', { grounds: '  ' }],
    ['GROUNDS_UNKNOWN', { grounds: 'curiosity' }],
    ['GROUNDS_UNKNOWN', { grounds: 'Unconscious' }],
    ['JUSTIFICATION_REQUIRED', { justification: undefined }],
    ['JUSTIFICATION_REQUIRED', { justification: ' \n\t ' }],
    ['JUSTIFICATION_TOO_SHORT', { justification: 'he would not say' }],
    ['JUSTIFICATION_TOO_LONG', { justification: 'words and '.repeat(JUSTIFICATION_LENGTH_MAX / 5) }],
    ['JUSTIFICATION_MEANINGLESS', { justification: 'aaaa bbbb aaaa bbbb aaaa bbbb' }],
    ['JUSTIFICATION_MEANINGLESS', { justification: 'suspected-of-offence-suspected-of-offence' }],
    ['JUSTIFICATION_MEANINGLESS', { justification: '. , ; : ! ? . , ; : ! ? . , ; :' }],
    ['JUSTIFICATION_PLACEHOLDER', { justification: 'Enter your justification here' }],
    ['JUSTIFICATION_PLACEHOLDER', { justification: 'REASON FOR SEARCH:  reason for search' }],
    ['JUSTIFICATION_PLACEHOLDER', { justification: 'Suspected of offence, wanted by court' }],
    ['DEVICE_REQUIRED', { deviceId: undefined }],
    ['DEVICE_REQUIRED', { deviceId: '  ' }],
    ['IDENTITY_NOT_STATED_UNCONFIRMED', { identityUnconfirmed: undefined }],
    ['IDENTITY_NOT_STATED_UNCONFIRMED', { identityUnconfirmed: 'false' }],
    ['IDENTITY_NOT_STATED_UNCONFIRMED', { identityUnconfirmed: 'yes' }],
    ['BAD_LIMIT', { limit: '0' }],
    ['BAD_LIMIT', { limit: String(OPERATOR_LIMIT_MAX + 1) }],
  ])('is refused with %s for %j', (code, change) => {
    expect(codeOf(() => parseOperatorSearch({ ...allowed, ...change } as typeof allowed))).toBe(code);
  });

  it('needs more words where the ground names no circumstance', () => {
    const grounds = 'other-policing-purpose';
    const short = 'Stopped at the cordon, gives no name.'.padEnd(OTHER_PURPOSE_JUSTIFICATION_LENGTH_MIN - 1, '!');
    expect(short).toHaveLength(OTHER_PURPOSE_JUSTIFICATION_LENGTH_MIN - 1);
    expect(codeOf(() => parseOperatorSearch({ ...allowed, grounds, justification: short }))).toBe(
      'JUSTIFICATION_TOO_SHORT',
    );
    expect(codeOf(() => parseOperatorSearch({ ...allowed, grounds, justification: `${short}!` }))).toBeUndefined();
    expect(codeOf(() => parseOperatorSearch({ ...allowed, justification: short }))).toBeUndefined();
  });
});

describe('a justification', () => {
  it('counts words, not blanks', () => {
    expect(parseJustification('  He  fell\nand does not answer us. ')).toBe('He fell and does not answer us.');
    expect(codeOf(() => parseJustification(`He fell${' '.repeat(JUSTIFICATION_LENGTH_MIN)}`))).toBe(
      'JUSTIFICATION_TOO_SHORT',
    );
  });

  it('may be in any script', () => {
    expect(codeOf(() => parseJustification('Особа без свідомості, документів немає.'))).toBeUndefined();
  });
});

describe('a limit', () => {
  it('is the default when absent or empty', () => {
    expect(parseLimit(undefined, 6, 20)).toBe(6);
    expect(parseLimit('', 6, 20)).toBe(6);
    expect(parseLimit('1', 6, 20)).toBe(1);
  });

  it.each(['-1', '1.5', 'six', 'NaN', 'Infinity', '21'])('refuses %j with BAD_LIMIT', (text) => {
    expect(codeOf(() => parseLimit(text, 6, 20))).toBe('BAD_LIMIT');
  });
});

const answered = {
  type: 'OPERATOR_SEARCH_ANSWERED',
  searchId: '5f0c7a52-1c7a-4f5e-9d1e-1f2d3c4b5a69' as SearchId,
  version: 1,
  at: '2026-01-01T10:00:00.000Z',
  by: 'officer-1',
  grounds: 'missing',
  justification: 'Found asleep at the station and cannot say who she is.',
  deviceId: 'device-7',
  answer: {
    candidates: [
      { rank: 1, subjectId: 's-1', imageId: 'i-1', sourceOffset: 4 },
      { rank: 2, subjectId: 's-2', imageId: 'i-2', sourceOffset: 5 },
    ],
  },
} as unknown as OperatorSearchAnswered;
const command = { commandId: 'c-1', by: 'officer-1', at: '2026-01-01T11:00:00.000Z' };
const nothingWithdrawn = (): boolean => false;

describe('the outcome of an operator-initiated search', () => {
  const search = foldOperator(undefined, answered);
  const record = (outcome: OperatorOutcome, of: OperatorSearchRecord = search): OperatorSearchRecord =>
    foldOperator(of, recordOutcome(of, outcome, command, nothingWithdrawn));

  it('is missing until it is recorded', () => {
    expect(search).toMatchObject({ state: 'ANSWERED', version: 1, outcome: null, updatedAt: answered.at });
  });

  it('names the candidate who was confirmed', () => {
    expect(record({ rank: 2, notes: 'Her sister came and named her.' })).toMatchObject({
      state: 'OUTCOME_RECORDED',
      version: 2,
      at: answered.at,
      updatedAt: command.at,
      outcome: { ...command, rank: 2, subjectId: 's-2', imageId: 'i-2', notes: 'Her sister came and named her.' },
    });
  });

  it('may be that it was none of them', () => {
    expect(record({ rank: null, notes: 'Gave her name later; another person.' }).outcome).toMatchObject({
      rank: null,
      subjectId: null,
    });
  });

  it('needs words where somebody was shown, and none where nobody was', () => {
    expect(codeOf(() => record({ rank: 1, notes: null }))).toBe('NOTES_REQUIRED');
    expect(codeOf(() => record({ rank: null, notes: null }))).toBe('NOTES_REQUIRED');
    const empty = foldOperator(undefined, { ...answered, answer: { ...answered.answer, candidates: [] } });
    expect(record({ rank: null, notes: null }, empty).outcome).toMatchObject({ rank: null, notes: null });
  });

  it('is recorded once: the first counts, and the second is told which that is', () => {
    const first = record({ rank: null, notes: 'None of them.' });
    const second = (): unknown => recordOutcome(first, { rank: 1, notes: 'x' }, command, nothingWithdrawn);
    expect(codeOf(second)).toBe('OUTCOME_ALREADY_RECORDED');
    try {
      second();
    } catch (error) {
      expect((error as Refusal).details).toEqual({ version: 2, at: command.at, rank: null });
    }
    const late = recordOutcome(search, { rank: 1, notes: 'x' }, { ...command, commandId: 'c-2' }, nothingWithdrawn);
    expect(codeOf(() => foldOperator(first, late))).toBe('VERSION_CONFLICT');
  });

  it('is never a candidate who was not shown, or who was withdrawn', () => {
    expect(codeOf(() => record({ rank: 3, notes: 'x' }))).toBe('CANDIDATE_NOT_FOUND');
    expect(codeOf(() => recordOutcome(search, { rank: 1, notes: 'x' }, command, ({ rank }) => rank === 1))).toBe(
      'CANDIDATE_WITHDRAWN',
    );
    expect(codeOf(() => recordOutcome(search, { rank: 2, notes: 'x' }, command, ({ rank }) => rank === 1))).toBe(
      undefined,
    );
  });

  it('follows an answer, and an answer follows nothing', () => {
    const outcome = recordOutcome(search, { rank: null, notes: 'x' }, command, nothingWithdrawn);
    expect(codeOf(() => foldOperator(undefined, outcome))).toBe('VERSION_CONFLICT');
    expect(codeOf(() => foldOperator(search, answered))).toBe('VERSION_CONFLICT');
  });
});
