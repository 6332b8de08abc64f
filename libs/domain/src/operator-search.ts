/**
 * Operator-initiated search: allowed only on stated grounds, with a recorded justification, when identity is not
 * confirmed by other means. The rules are here, not in a form, so that no client can leave them out.
 */
import { Refusal } from './errors.js';
import type { FaceChoice } from './face.js';
import type { ImageId, SearchId, SubjectId } from './ids.js';
import { isPlaceholder } from './placeholder.js';
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
  /** The device that the officer searches with. */
  readonly deviceId: string;
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
 * @throws Refusal JUSTIFICATION_REQUIRED, JUSTIFICATION_TOO_SHORT, JUSTIFICATION_TOO_LONG, JUSTIFICATION_MEANINGLESS,
 *   JUSTIFICATION_PLACEHOLDER
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
  if (isPlaceholder(words, GROUNDS)) {
    throw new Refusal(
      'JUSTIFICATION_PLACEHOLDER',
      'That is the text of a form. Say in your own words why this search is necessary.',
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
    deviceId: parseDeviceId(fields.deviceId),
    limit: parseLimit(fields.limit, OPERATOR_LIMIT_DEFAULT, OPERATOR_LIMIT_MAX),
  };
}

/** @throws Refusal DEVICE_REQUIRED */
function parseDeviceId(text: string | undefined): string {
  const deviceId = (text ?? '').trim();
  if (deviceId === '') throw new Refusal('DEVICE_REQUIRED', 'Say which device is used: send its deviceId.');
  return deviceId;
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

/** What the officer found out in the end: which candidate it was, or none of them. */
export interface OperatorOutcome {
  /** Of the candidate whom the officer confirmed by other means; null when it was none of those shown. */
  readonly rank: number | null;
  /** How the person was identified, or why the candidates are not the person. Null when nothing was shown. */
  readonly notes: string | null;
}

interface OperatorEventBase {
  readonly searchId: SearchId;
  /** ISO 8601. */
  readonly at: string;
  readonly by: string;
}

/** What is kept of an operator-initiated search: that it ran, why, and what was shown. Nothing of the probe. */
export interface OperatorSearchAnswered extends OperatorEventBase {
  readonly type: 'OPERATOR_SEARCH_ANSWERED';
  readonly version: 1;
  readonly grounds: Grounds;
  readonly justification: string;
  /** Null in searches from before the device was asked for. */
  readonly deviceId: string | null;
  /** Of the request, when it came with an Idempotency-Key: tells a repetition from another request. */
  readonly requestDigest?: string;
  readonly answer: FoundAnswer;
}

export interface OperatorOutcomeRecorded extends OperatorEventBase, OperatorOutcome {
  readonly type: 'OPERATOR_OUTCOME_RECORDED';
  readonly version: 2;
  readonly commandId: string;
  /** Of the candidate confirmed, so that a report need not look it up. */
  readonly subjectId: SubjectId | null;
  readonly imageId: ImageId | null;
}

export type OperatorSearchEvent = OperatorSearchAnswered | OperatorOutcomeRecorded;

/** An operator-initiated search as its events say: answered once, and its outcome recorded once. */
export interface OperatorSearchRecord extends Omit<OperatorSearchAnswered, 'type' | 'version'> {
  readonly version: 1 | 2;
  readonly state: 'ANSWERED' | 'OUTCOME_RECORDED';
  readonly updatedAt: string;
  readonly outcome: Omit<OperatorOutcomeRecorded, 'type' | 'searchId' | 'version'> | null;
}

/**
 * The search after an event. The first event of a version counts.
 *
 * @throws Refusal VERSION_CONFLICT when the event does not follow the search
 */
export function foldOperator(
  search: OperatorSearchRecord | undefined,
  event: OperatorSearchEvent,
): OperatorSearchRecord {
  if (event.version !== (search?.version ?? 0) + 1) {
    throw new Refusal('VERSION_CONFLICT', `The search is at version ${search?.version ?? 0}.`, {
      version: search?.version ?? 0,
    });
  }
  if (event.type === 'OPERATOR_SEARCH_ANSWERED') {
    const { type: _type, ...answered } = event;
    return { ...answered, state: 'ANSWERED', updatedAt: event.at, outcome: null };
  }
  const { type: _type, searchId: _searchId, version, ...outcome } = event;
  return { ...search!, version, state: 'OUTCOME_RECORDED', updatedAt: event.at, outcome };
}

/**
 * The event that records an outcome.
 *
 * @param isWithdrawn whether a candidate of this answer may no longer be shown
 * @throws Refusal OUTCOME_ALREADY_RECORDED, CANDIDATE_NOT_FOUND, CANDIDATE_WITHDRAWN, NOTES_REQUIRED
 */
export function recordOutcome(
  search: OperatorSearchRecord,
  { rank, notes }: OperatorOutcome,
  command: { readonly commandId: string; readonly by: string; readonly at: string },
  isWithdrawn: (candidate: FoundAnswer['candidates'][number]) => boolean,
): OperatorOutcomeRecorded {
  if (search.outcome !== null) throw outcomeAlreadyRecorded(search.outcome);
  const { candidates } = search.answer;
  const confirmed = rank === null ? undefined : candidates.find((candidate) => candidate.rank === rank);
  if (rank !== null && confirmed === undefined) {
    throw new Refusal('CANDIDATE_NOT_FOUND', `The search has no candidate of rank ${rank}.`, {
      ranks: candidates.map((candidate) => candidate.rank),
    });
  }
  if (confirmed !== undefined && isWithdrawn(confirmed)) {
    throw new Refusal('CANDIDATE_WITHDRAWN', 'The candidate was withdrawn: the image may no longer be used.', { rank });
  }
  // A candidate is never an identification: what made it one, or unmade it, is what somebody can check later.
  if (notes === null && candidates.length > 0) {
    throw new Refusal('NOTES_REQUIRED', 'Say how the person was identified, or why no candidate is the person.');
  }
  return {
    type: 'OPERATOR_OUTCOME_RECORDED',
    searchId: search.searchId,
    version: 2,
    ...command,
    rank,
    notes,
    subjectId: confirmed?.subjectId ?? null,
    imageId: confirmed?.imageId ?? null,
  };
}

/** What the second is told. */
export function outcomeAlreadyRecorded(first: NonNullable<OperatorSearchRecord['outcome']>): Refusal {
  return new Refusal('OUTCOME_ALREADY_RECORDED', 'The outcome of this search was recorded before; the first counts.', {
    version: 2,
    at: first.at,
    rank: first.rank,
  });
}
