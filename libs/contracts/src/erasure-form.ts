import { z } from 'zod';
import { imageId, type ImageId } from '#domain/ids.js';
import { parse } from './search-forms.js';

export const erasureFormSchema = z.strictObject({
  imageId: z.string(),
  /** Why, in words. */
  reason: z.string().trim().min(10).max(2000),
  /** What permits or demands it, for example `DPA 2018 s.47`. */
  authority: z.string().trim().min(3).max(200),
});

export interface ErasureRequest {
  readonly imageId: ImageId;
  readonly reason: string;
  readonly authority: string;
}

/** @throws Refusal BAD_REQUEST naming the field, BAD_IMAGE_ID */
export function parseErasureForm(body: unknown): ErasureRequest {
  const { imageId: id, reason, authority } = parse(erasureFormSchema, body);
  return { imageId: imageId(id), reason, authority };
}
