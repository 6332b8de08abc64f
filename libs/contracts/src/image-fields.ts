/** The metadata of a custody image under the names of the HTTP and command line contract. */
import { z } from 'zod';
import { Refusal } from '#domain/errors.js';
import { parseFaceChoice } from '#domain/face.js';
import { subjectId } from '#domain/ids.js';
import { optional, type CustodyImage } from './custody-image.js';
import { ageBandSchema, dateOrInstantSchema, sexSchema } from './record-schemas.js';

const text = z.string().min(1).max(256).optional();

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
