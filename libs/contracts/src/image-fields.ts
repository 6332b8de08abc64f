/** The metadata of a custody image under the names of the HTTP and command line contract. */
import { z } from 'zod';
import { Refusal } from '#domain/errors.js';
import { parseFaceChoice } from '#domain/face.js';
import { subjectId, type Offset } from '#domain/ids.js';
import { optional, type CustodyImage } from './custody-image.js';
import { whyFields, type Why } from './direction-forms.js';
import { ageBandSchema, dateOrInstantSchema, offsetSchema, sexSchema } from './record-schemas.js';
import { parse } from './search-forms.js';

const text = z.string().min(1).max(256).optional();
const removable = <T extends z.ZodType>(schema: T): z.ZodOptional<z.ZodNullable<T>> => schema.nullable().optional();

export const imageFieldsSchema = z.strictObject({
  subjectId: z.string(),
  force: text,
  custodyReference: text,
  capturedAt: dateOrInstantSchema.optional(),
  lawfulBasis: text,
  reviewDue: dateOrInstantSchema.optional(),
  sex: sexSchema.optional(),
  ageBand: ageBandSchema.optional(),
  face: z.string().optional(),
});

/** @throws Refusal BAD_METADATA naming the field, BAD_SUBJECT_ID, BAD_FACE_CHOICE */
export function parseImageFields(fields: Readonly<Record<string, unknown>>): Omit<CustodyImage, 'imageId'> {
  const given = Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== ''));
  const parsed = imageFieldsSchema.safeParse(given);
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    const field = issue.path.join('.') || (issue.code === 'unrecognized_keys' ? issue.keys.join(', ') : '');
    throw new Refusal('BAD_METADATA', `${field}: ${issue.message}`, { field });
  }
  const { subjectId: subject, face, ...rest } = parsed.data;
  return {
    ...(Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== undefined)) as Omit<
      CustodyImage,
      'imageId' | 'subjectId' | 'face'
    >),
    subjectId: subjectId(subject),
    ...optional('face', face === undefined ? undefined : parseFaceChoice(face)),
  };
}

const removableText = removable(z.string().min(1).max(256));

/** What may be corrected of an image that is held; null removes. The face and the pixels are another image. */
export const correctionSchema = z.strictObject({
  subjectId: z.string().optional(),
  force: removableText,
  custodyReference: removableText,
  capturedAt: removable(dateOrInstantSchema),
  lawfulBasis: removableText,
  reviewDue: removable(dateOrInstantSchema),
  sex: removable(sexSchema),
  ageBand: removable(ageBandSchema),
  /** The held image's `source.offset` as the caller knows it: one who knows less is told, and overwrites nothing. */
  expectedSourceOffset: offsetSchema.optional(),
  ...whyFields,
});

export type CorrectedFields = {
  readonly [Field in Exclude<keyof CustodyImage, 'imageId' | 'face' | 'correctionOf' | 'photographFrom'>]?:
    CustodyImage[Field] | null;
};

export interface Correction extends Why {
  /** At least one. */
  readonly fields: CorrectedFields;
  readonly expectedSourceOffset?: Offset;
}

/** @throws Refusal BAD_REQUEST naming the field, BAD_SUBJECT_ID */
export function parseCorrection(body: unknown): Correction {
  const { reason, authority, expectedSourceOffset, ...rest } = parse(correctionSchema, body);
  const fields = Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== undefined)) as CorrectedFields;
  if (Object.keys(fields).length === 0) {
    throw new Refusal('BAD_REQUEST', 'Name at least one field that is to be corrected.');
  }
  if (typeof fields.subjectId === 'string') subjectId(fields.subjectId);
  return { fields, reason, authority, ...optional('expectedSourceOffset', expectedSourceOffset) };
}
