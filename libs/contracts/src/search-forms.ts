/** The HTTP forms of the searches: what a multipart form, a JSON body or a query string may hold. */
import { z } from 'zod';
import { Refusal } from '#domain/errors.js';
import { parseFaceChoice, type FaceChoice } from '#domain/face.js';
import { parseOperatorSearch, type OperatorSearchRequest } from '#domain/operator-search.js';
import { parseRetrospectiveSearch, type RetrospectiveSearchRequest } from '#domain/retrospective-search.js';
import type { SearchKind } from '#domain/search-answer.js';
import { parseJsonValue } from './json-value.js';
import { galleryFilterSchema } from './record-schemas.js';

const text = z.string().optional();

export const operatorFormSchema = z.strictObject({
  grounds: text,
  justification: text,
  identityUnconfirmed: text,
  face: text,
  deviceId: z.string().min(1).max(128).optional(),
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
  cursor: z.string().max(512).optional(),
  limit: z.coerce.number().int().default(50),
});

export const chooseFaceSchema = z.strictObject({
  face: z.union([z.number().int().nonnegative(), z.string()]),
  expectedVersion: z.number().int().positive(),
});

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

/** @throws Refusal BAD_REQUEST, BAD_FACE_CHOICE */
export function parseChooseFace(body: unknown): { face: FaceChoice; expectedVersion: number } {
  const { face, expectedVersion } = parse(chooseFaceSchema, body);
  return { face: parseFaceChoice(String(face)), expectedVersion };
}

/** @throws Refusal BAD_REQUEST */
export function parseSearchListQuery(query: unknown): {
  kind: SearchKind | undefined;
  state: string | undefined;
  cursor: string | undefined;
  limit: number;
} {
  const { kind, state, cursor, limit } = parse(searchListSchema, query);
  return { kind, state, cursor, limit };
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
