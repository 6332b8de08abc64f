/** What data-protection staff fill in: who or what it is about, why, and what permits it. */
import { z } from 'zod';
import { Refusal } from '#domain/errors.js';
import { imageId, subjectId, type ImageId, type SubjectId } from '#domain/ids.js';
import { parse } from './search-forms.js';

export const whyFields = {
  /** Why, in words. */
  reason: z.string().trim().min(10).max(2000),
  /** What permits or demands it, for example `DPA 2018 s.47`. */
  authority: z.string().trim().min(3).max(200),
};

export const directionFormSchema = z.strictObject({
  imageId: z.string().optional(),
  subjectId: z.string().optional(),
  ...whyFields,
});

export const liftFormSchema = z.strictObject(whyFields);

const LIST_LIMIT_MAX = 200;
const LIST_LIMIT = 50;

export const directionListSchema = z.strictObject({
  imageId: z.string().optional(),
  subjectId: z.string().optional(),
  cursor: z.string().optional(),
  limit: z.coerce.number().int().min(1).max(LIST_LIMIT_MAX).default(LIST_LIMIT),
});

export interface Why {
  readonly reason: string;
  readonly authority: string;
}

export type DirectionRequest = Why & ({ readonly imageId: ImageId } | { readonly subjectId: SubjectId });

export interface DirectionList {
  readonly imageId?: ImageId;
  readonly subjectId?: SubjectId;
  readonly cursor?: string;
  readonly limit: number;
}

/** @throws Refusal BAD_REQUEST naming the field, BAD_IMAGE_ID, BAD_SUBJECT_ID */
export function parseDirectionForm(body: unknown): DirectionRequest {
  const { imageId: image, subjectId: subject, reason, authority } = parse(directionFormSchema, body);
  expectOneOf({ imageId: image, subjectId: subject });
  return image !== undefined
    ? { imageId: imageId(image), reason, authority }
    : { subjectId: subjectId(subject!), reason, authority };
}

/** @throws Refusal BAD_REQUEST naming the field */
export function parseLiftForm(fields: unknown): Why {
  return parse(liftFormSchema, fields);
}

/** @throws Refusal BAD_REQUEST naming the field, BAD_IMAGE_ID, BAD_SUBJECT_ID */
export function parseDirectionList(query: unknown): DirectionList {
  const { imageId: image, subjectId: subject, cursor, limit } = parse(directionListSchema, query);
  return {
    ...(image !== undefined && { imageId: imageId(image) }),
    ...(subject !== undefined && { subjectId: subjectId(subject) }),
    ...(cursor !== undefined && { cursor }),
    limit,
  };
}

/** @throws Refusal BAD_REQUEST unless exactly one of the fields is given */
export function expectOneOf(fields: Readonly<Record<string, unknown>>): void {
  if (Object.values(fields).filter((value) => value !== undefined).length === 1) return;
  const field = Object.keys(fields).join(', ');
  throw new Refusal('BAD_REQUEST', `Give exactly one of: ${field}.`, { field });
}
