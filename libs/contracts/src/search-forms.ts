/** The HTTP forms of the searches: what a multipart form, a JSON body or a query string may hold. */
import { z } from 'zod';
import { Refusal } from '#domain/errors.js';
import { parseFaceChoice, type FaceChoice } from '#domain/face.js';
import {
  GROUNDS,
  JUSTIFICATION_LENGTH_MAX,
  parseOperatorSearch,
  type Grounds,
  type OperatorOutcome,
  type OperatorSearchRequest,
} from '#domain/operator-search.js';
import { isPlaceholder } from '#domain/placeholder.js';
import { parseRetrospectiveSearch, type RetrospectiveSearchRequest } from '#domain/retrospective-request.js';
import type { SearchKind } from '#domain/search-answer.js';
import { parseJsonValue } from './json-value.js';
import { dateOrInstantSchema, galleryFilterSchema } from './record-schemas.js';

const text = z.string().optional();

export const operatorFormSchema = z.strictObject({
  grounds: text,
  justification: text,
  identityUnconfirmed: text,
  face: text,
  deviceId: z.string().max(128).optional(),
  limit: text,
});

export const retrospectiveFormSchema = z.strictObject({
  crimeReference: text,
  offence: text,
  source: text,
  justification: text,
  investigatingOfficer: text,
  face: text,
  filter: text,
  limit: text,
});

export const searchListSchema = z.strictObject({
  kind: z.enum(['operator', 'retrospective']).optional(),
  state: z.string().max(32).optional(),
  by: z.string().max(255).optional().describe('Who asked for the search'),
  officer: z.string().max(255).optional().describe('The investigating officer named'),
  from: dateOrInstantSchema.optional().describe('Received then or later'),
  to: dateOrInstantSchema.optional().describe('Received before then'),
  grounds: z.enum(GROUNDS).optional(),
  crimeReference: z.string().max(200).optional(),
  outcome: z
    .enum(['missing', 'recorded'])
    .optional()
    .describe('Of operator-initiated searches: whether the officer has recorded what came of it'),
  cursor: z.string().max(512).optional(),
  limit: z.coerce.number().int().default(50),
});

/** What an officer says came of a search: the candidate confirmed by other means, or none of those shown. */
export const outcomeFormSchema = z.discriminatedUnion('outcome', [
  z.strictObject({
    outcome: z.literal('confirmed'),
    rank: z.number().int().positive(),
    notes: z.string().max(JUSTIFICATION_LENGTH_MAX).optional(),
  }),
  z.strictObject({ outcome: z.literal('none'), notes: z.string().max(JUSTIFICATION_LENGTH_MAX).optional() }),
]);

/** The end of a search's retention, as somebody orders it who may. */
export const retentionEndFormSchema = z.strictObject({
  authority: z.string().trim().min(1).max(200).describe('What demands or permits it'),
  reason: z.string().trim().min(1).max(JUSTIFICATION_LENGTH_MAX),
  proceedingsEnded: z
    .boolean()
    .optional()
    .describe('The statement that no proceedings are open in which the search is material'),
});
export interface RetentionEndRequest {
  readonly authority: string;
  readonly reason: string;
}

/** @throws Refusal BAD_REQUEST naming the field, and the domain's own */
export function parseOperatorForm(body: unknown): OperatorSearchRequest {
  const { face, ...fields } = parse(operatorFormSchema, body);
  return parseOperatorSearch({ ...fields, face: parseFace(face) });
}

/** @throws Refusal BAD_REQUEST naming the field, and the domain's own */
export function parseRetrospectiveForm(body: unknown, operatorId: string): RetrospectiveSearchRequest {
  const { face, filter, ...fields } = parse(retrospectiveFormSchema, body);
  return parseRetrospectiveSearch(
    {
      ...fields,
      face: parseFace(face),
      filter:
        filter === undefined || filter === '' ? undefined : parseJsonValue(galleryFilterSchema, Buffer.from(filter)),
    },
    operatorId,
  );
}

/** What a list of searches is narrowed to. */
export interface SearchListFilter {
  readonly kind?: SearchKind | undefined;
  readonly state?: string | undefined;
  /** Who asked for the search. */
  readonly by?: string | undefined;
  /** The investigating officer named. */
  readonly officer?: string | undefined;
  /** ISO 8601 instants of receipt: from then, inclusive, to then, exclusive. */
  readonly from?: string | undefined;
  readonly to?: string | undefined;
  readonly grounds?: Grounds | undefined;
  readonly crimeReference?: string | undefined;
  readonly outcome?: 'missing' | 'recorded' | undefined;
}

export interface SearchListQuery {
  readonly filter: SearchListFilter;
  readonly cursor: string | undefined;
  readonly limit: number;
}

/** @throws Refusal BAD_REQUEST */
export function parseSearchListQuery(query: unknown): SearchListQuery {
  const { cursor, limit, from, to, ...filter } = parse(searchListSchema, query);
  return { filter: { ...filter, from: instantOf(from), to: instantOf(to) }, cursor, limit };
}

/** A date is its first instant in UTC; instants in one form can be compared as text. */
function instantOf(text: string | undefined): string | undefined {
  return text === undefined ? undefined : new Date(text).toISOString();
}

/** @throws Refusal BAD_REQUEST */
export function parseOutcomeForm(body: unknown): OperatorOutcome {
  const form = parse(outcomeFormSchema, body);
  const notes = (form.notes ?? '').trim().replace(/\s+/g, ' ');
  return { rank: form.outcome === 'confirmed' ? form.rank : null, notes: isPlaceholder(notes) ? null : notes };
}

/** @throws Refusal BAD_REQUEST, PROCEEDINGS_NOT_STATED_ENDED */
export function parseRetentionEndForm(body: unknown): RetentionEndRequest {
  const { authority, reason, proceedingsEnded } = parse(retentionEndFormSchema, body);
  if (proceedingsEnded !== true) {
    throw new Refusal(
      'PROCEEDINGS_NOT_STATED_ENDED',
      'State proceedingsEnded=true: candidates, notes and the probe’s hash are kept until proceedings have ended.',
    );
  }
  return { authority, reason };
}

/** @throws Refusal IMAGE_EMPTY */
export function uploadedImage(bytes: Buffer | undefined): Buffer {
  if (bytes === undefined || bytes.length === 0) {
    throw new Refusal('IMAGE_EMPTY', 'The form needs an image in its field "image", and the image must not be empty.');
  }
  return bytes;
}

export function parse<T>(schema: z.ZodType<T>, given: unknown): T {
  // Multer leaves the body without a prototype, or undefined when there were no fields.
  const result = schema.safeParse({ ...(given as object | undefined) });
  if (result.success) return result.data;
  const issue = result.error.issues[0]!;
  const field = issue.path.join('.') || (issue.code === 'unrecognized_keys' ? issue.keys.join(', ') : '');
  throw new Refusal('BAD_REQUEST', `${field}: ${issue.message}`, { field });
}

function parseFace(text: string | undefined): FaceChoice | undefined {
  return text === undefined || text === '' ? undefined : parseFaceChoice(text);
}
