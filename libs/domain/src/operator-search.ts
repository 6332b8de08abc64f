/**
 * Operator-initiated search: allowed only on stated grounds, with a recorded justification, when identity is not
 * confirmed by other means. The rules are here, not in a form, so that no client can leave them out.
 */
import { Refusal } from './errors.js';
import type { FaceChoice } from './face.js';
import type { SearchId } from './ids.js';
import type { FoundAnswer } from './search-answer.js';

/** As the force publishes them. */
export const GROUNDS = [
  // The person is unable to say who they are:
  'unconscious',
  'seriously-injured',
  'mental-health',
  'age',
  'drink-or-drugs',
  // The person's status:
  'deceased',
  'missing',
  'suspected-of-offence',
  'wanted-by-court',
  'bail-or-court-order',
  'risk-of-harm-to-self',
  'other-policing-purpose',
] as const;
export type Grounds = (typeof GROUNDS)[number];

/** Shorter than this, no reason has been given that somebody could check later. */
export const JUSTIFICATION_LENGTH_MIN = 20;
/** `other-policing-purpose` names no circumstance, so the words must. */
export const OTHER_PURPOSE_JUSTIFICATION_LENGTH_MIN = 60;
/** A paragraph; what is longer belongs in the case file. */
export const JUSTIFICATION_LENGTH_MAX = 2000;

export const OPERATOR_LIMIT_DEFAULT = 6;
export const OPERATOR_LIMIT_MAX = 20;

export interface OperatorSearchRequest {
  readonly grounds: Grounds;
  readonly justification: string;
  readonly face: FaceChoice | undefined;
  readonly deviceId: string | undefined;
  /** Candidates at most, 1 to {@link OPERATOR_LIMIT_MAX}. */
  readonly limit: number;
}

/** @throws Refusal GROUNDS_REQUIRED, GROUNDS_UNKNOWN */
export function parseGrounds(text: string | undefined): Grounds {
  if (text === undefined || text.trim() === '') {
    throw new Refusal('GROUNDS_REQUIRED', `Say on which grounds: ${GROUNDS.join(', ')}.`);
  }
  const grounds = GROUNDS.find((known) => known === text);
  if (grounds === undefined) throw new Refusal('GROUNDS_UNKNOWN', `Grounds are one of: ${GROUNDS.join(', ')}.`);
  return grounds;
}

/**
 * Repeated characters and a copied label are what people type to get past a form.
 *
 * @throws Refusal JUSTIFICATION_REQUIRED, JUSTIFICATION_TOO_SHORT, JUSTIFICATION_TOO_LONG, JUSTIFICATION_MEANINGLESS
 */
export function parseJustification(text: string | undefined, lengthMin: number = JUSTIFICATION_LENGTH_MIN): string {
  const words = (text ?? '').trim().replace(/\s+/g, ' ');
  if (words === '') throw new Refusal('JUSTIFICATION_REQUIRED', 'Say in your own words why this search is necessary.');
  if (words.length < lengthMin) {
    throw new Refusal('JUSTIFICATION_TOO_SHORT', `Say why in at least ${lengthMin} characters.`);
  }
  if (words.length > JUSTIFICATION_LENGTH_MAX) {
    throw new Refusal('JUSTIFICATION_TOO_LONG', `Say why in at most ${JUSTIFICATION_LENGTH_MAX} characters.`);
  }
  const distinctLetters = new Set(words.toLowerCase().replace(/[^\p{L}\p{N}]/gu, '')).size;
  if (distinctLetters < DISTINCT_LETTERS_MIN || !words.includes(' ')) {
    throw new Refusal(
      'JUSTIFICATION_MEANINGLESS',
      'The justification must be a sentence that somebody can check later.',
    );
  }
  return words;
}

/** "aaaa bbbb" has two; the shortest real sentence that we tried has seven. */
const DISTINCT_LETTERS_MIN = 5;

/** @throws Refusal, with the code of the first rule that the request breaks */
export function parseOperatorSearch(fields: {
  readonly grounds?: string | undefined;
  readonly justification?: string | undefined;
  readonly identityUnconfirmed?: string | undefined;
  readonly deviceId?: string | undefined;
  readonly face: FaceChoice | undefined;
  readonly limit?: string | undefined;
}): OperatorSearchRequest {
  const grounds = parseGrounds(fields.grounds);
  const justification = parseJustification(
    fields.justification,
    grounds === 'other-policing-purpose' ? OTHER_PURPOSE_JUSTIFICATION_LENGTH_MIN : JUSTIFICATION_LENGTH_MIN,
  );
  if (fields.identityUnconfirmed !== 'true') {
    throw new Refusal(
      'IDENTITY_NOT_STATED_UNCONFIRMED',
      'State identityUnconfirmed=true: the search is allowed only when identity is not confirmed by other means.',
    );
  }
  return {
    grounds,
    justification,
    face: fields.face,
    deviceId: fields.deviceId,
    limit: parseLimit(fields.limit, OPERATOR_LIMIT_DEFAULT, OPERATOR_LIMIT_MAX),
  };
}

/** @throws Refusal BAD_LIMIT */
export function parseLimit(text: string | undefined, whenAbsent: number, max: number): number {
  if (text === undefined || text === '') return whenAbsent;
  const limit = Number(text);
  if (!Number.isInteger(limit) || limit < 1 || limit > max) {
    throw new Refusal('BAD_LIMIT', `limit is a whole number from 1 to ${max}.`);
  }
  return limit;
}

/** What is kept of an operator-initiated search: that it ran, why, and what was shown. Nothing of the probe. */
export interface OperatorSearchEvent {
  readonly type: 'OPERATOR_SEARCH_ANSWERED';
  readonly searchId: SearchId;
  readonly version: 1;
  /** ISO 8601. */
  readonly at: string;
  readonly by: string;
  readonly grounds: Grounds;
  readonly justification: string;
  readonly deviceId: string | null;
  readonly answer: FoundAnswer;
}
