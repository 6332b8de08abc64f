import { z } from 'zod';
import { Refusal } from '#domain/errors.js';
import { imageId, subjectId, type ImageId, type SubjectId } from '#domain/ids.js';
import { expectOneOf, whyFields, type Why } from './direction-forms.js';
import { parse } from './search-forms.js';

/** One record on `custody.directions` says what became of each, and must stay well below a megabyte. */
export const ERASED_IMAGES_MAX = 1000;

export const erasureFormSchema = z.strictObject({
  imageId: z.string().optional(),
  imageIds: z.array(z.string()).min(1).optional(),
  subjectId: z.string().optional(),
  ...whyFields,
});

export const approvalFormSchema = z.strictObject({
  /** Why the second person agrees, in words. */
  reason: whyFields.reason,
});

export type ErasureRequest = Why & ({ readonly imageIds: readonly ImageId[] } | { readonly subjectId: SubjectId });

/** @throws Refusal BAD_REQUEST naming the field, BAD_IMAGE_ID, BAD_SUBJECT_ID, TOO_MANY_IMAGES */
export function parseErasureForm(body: unknown): ErasureRequest {
  const { imageId: one, imageIds: several, subjectId: subject, reason, authority } = parse(erasureFormSchema, body);
  expectOneOf({ imageId: one, imageIds: several, subjectId: subject });
  if (subject !== undefined) return { subjectId: subjectId(subject), reason, authority };
  const imageIds = [...new Set(several ?? [one!])].map(imageId);
  expectErasable(imageIds.length);
  return { imageIds, reason, authority };
}

/** @throws Refusal BAD_REQUEST naming the field */
export function parseApprovalForm(body: unknown): { readonly reason: string } {
  return parse(approvalFormSchema, body);
}

/** @throws Refusal TOO_MANY_IMAGES */
export function expectErasable(images: number): void {
  if (images <= ERASED_IMAGES_MAX) return;
  throw new Refusal('TOO_MANY_IMAGES', `An erasure covers at most ${ERASED_IMAGES_MAX} images; this is ${images}.`);
}
