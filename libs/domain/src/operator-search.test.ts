import { describe, expect, it } from 'vitest';
import { codeOf } from './codes-for-tests.js';
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
