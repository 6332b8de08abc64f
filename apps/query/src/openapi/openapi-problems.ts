/**
 * The problems that a call can answer with, by status. The codes of a refusal are all that the call has; those of a
 * failure (500, 503) are the likely ones, as whatever is ours can fail. What each means is in `docs/errors.md`, and a
 * test compares the statuses with it.
 */
import type { Schema } from './openapi-schemas.js';

export type Problems = Readonly<Record<number, readonly string[]>>;

/** What any call can answer with, whatever it is about. */
export const OF_EVERY_CALL: Problems = {
  400: ['BAD_REQUEST'],
  401: ['TOKEN_REQUIRED', 'TOKEN_INVALID'],
  403: ['ROLE_NOT_ALLOWED'],
  431: ['REQUEST_HEAD_TOO_LARGE'],
  500: ['INTERNAL'],
  503: ['NOT_READY', 'IDENTITY_UNAVAILABLE'],
};

export const OF_A_BODY: Problems = { 413: ['REQUEST_TOO_LARGE'], 415: ['MEDIA_TYPE_UNSUPPORTED'] };

/** Of a call that is on record before it answers. */
export const AUDITED: Problems = { 503: ['AUDIT_UNAVAILABLE'] };

/** Of a call that puts something into a log. */
export const WRITTEN: Problems = {
  500: ['KAFKA_NOT_AUTHORISED', 'KAFKA_REJECTED', 'TOPIC_MISSING'],
  503: ['AUDIT_UNAVAILABLE', 'KAFKA_UNAVAILABLE', 'PARTITION_MISSING', 'PUBLISHER_FULL', 'PUBLISHER_CLOSED'],
};

export const OF_A_JUSTIFICATION: Problems = {
  400: [
    'JUSTIFICATION_REQUIRED',
    'JUSTIFICATION_TOO_SHORT',
    'JUSTIFICATION_TOO_LONG',
    'JUSTIFICATION_MEANINGLESS',
    'JUSTIFICATION_PLACEHOLDER',
  ],
};

/** Of a picture that is sent, by what is seen of it without decoding. */
export const OF_A_PICTURE: Problems = {
  413: ['IMAGE_TOO_LARGE'],
  415: ['IMAGE_FORMAT_UNSUPPORTED'],
  422: ['IMAGE_EMPTY', 'IMAGE_TOO_SMALL', 'IMAGE_UNREADABLE'],
};

/** Of a picture that goes through the face pipeline while the caller waits. */
export const OF_THE_PIPELINE: Problems = {
  422: ['IMAGE_BREAKS_DECODER', 'NO_FACE', 'MULTIPLE_FACES', 'FACE_INDEX_OUT_OF_RANGE', 'FACE_UNUSABLE'],
  429: ['ENGINE_BUSY'],
  500: ['EMBEDDING_INVALID', 'FACE_PIPELINE_FAILED'],
  503: ['ENGINE_CLOSED', 'FACE_PROCESS_LOST', 'IMAGE_DECODE_TIMEOUT'],
};

/** Of a new search of either kind. */
export const OF_ADMISSION: Problems = {
  403: ['SEARCH_SUSPENDED', 'MODEL_NOT_APPROVED'],
  429: ['RATE_LIMITED', 'CONCURRENCY_LIMITED'],
  500: ['THRESHOLD_MISSING'],
  503: ['MODEL_NOT_LOADED'],
};

/** Of a call that reads what is in force about images to the end of its log. */
export const OF_DIRECTIONS: Problems = { 503: ['DIRECTIONS_BEHIND'] };

/** Of a decision that must be read back from its log. */
export const OF_GOVERNANCE: Problems = { ...WRITTEN, 503: [...WRITTEN[503]!, 'GOVERNANCE_BEHIND'] };

export function together(...problems: readonly Problems[]): Problems {
  const codes: Record<number, string[]> = {};
  for (const [status, more] of problems.flatMap((one) => Object.entries(one))) {
    codes[Number(status)] = [...new Set([...(codes[Number(status)] ?? []), ...more])];
  }
  return codes;
}

/** One response for each status. A caller that knows the codes can branch on each. */
export function problemResponses(problems: Problems): Record<string, Schema> {
  return Object.fromEntries(
    Object.entries(problems).map(([status, codes]) => [status, problemResponse(Number(status), codes)]),
  );
}

const MEANINGS: Readonly<Record<number, string>> = {
  400: 'A rule of the request is broken',
  401: 'Nobody has been identified',
  403: 'Not for this person, or not now',
  404: 'There is no such thing, or this replica does not know it yet',
  409: 'Somebody else was first, or the state does not allow it',
  410: 'It was there, and may not be shown or used any more',
  413: 'Too large',
  415: 'Not of a media type or format that is read',
  422: 'It can be read, and not be used',
  429: 'Too many at once: try again after Retry-After',
  431: 'Too much in the query or the headers',
  500: 'A defect or a fault of ours, among others',
  503: 'Something that is needed is away or behind, among others: nothing was shown, try again after Retry-After',
};

function problemResponse(status: number, codes: readonly string[]): Schema {
  const problem = { $ref: '#/components/schemas/Problem' };
  const exactly = { allOf: [problem, { properties: { code: { enum: codes }, status: { const: status } } }] };
  return {
    description: `${MEANINGS[status]}: ${codes.join(', ')}`,
    headers: problemHeaders(status),
    content: { 'application/problem+json': { schema: status >= 500 ? problem : exactly } },
  };
}

function problemHeaders(status: number): Record<string, Schema> {
  const retryAfter = { description: 'Seconds', schema: { type: 'string', pattern: '^\\d+$' } };
  if (status === 401) return { 'WWW-Authenticate': { required: true, schema: { type: 'string', const: 'Bearer' } } };
  if (status === 429) return { 'Retry-After': { required: true, ...retryAfter } };
  return status === 409 || status >= 500 ? { 'Retry-After': retryAfter } : {};
}
