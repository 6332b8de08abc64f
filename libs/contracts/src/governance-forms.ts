/** The HTTP forms of decisions about searching as such. */
import { z } from 'zod';
import { Refusal } from '#domain/errors.js';
import { SEARCH_KINDS } from '#domain/governance.js';
import type { ModelId } from '#domain/ids.js';
import type { SearchKind } from '#domain/search-answer.js';
import type { ThresholdContents } from '#domain/threshold.js';
import { modelIdSchema } from './record-schemas.js';
import { parse } from './search-forms.js';
import { thresholdContentsSchema } from './threshold-schemas.js';

/** Why, in words that somebody can check later. */
const reason = z.string().trim().min(10).max(2000);
/** What permits or demands it: an order, a policy, a law. */
const authority = z.string().trim().min(3).max(200);

export const reasonFormSchema = z.strictObject({ reason });
export const authorisedFormSchema = z.strictObject({ reason, authority });
export const overrideFormSchema = z.strictObject({ reason, authority, modelId: modelIdSchema });
export const gallerySwitchFormSchema = z.strictObject({
  to: modelIdSchema,
  reason,
  acceptMissing: z
    .number()
    .int()
    .nonnegative()
    .default(0)
    .describe('How many images the gallery may lack that the one in force has'),
});
export const galleryRetirementFormSchema = z.strictObject({ modelId: modelIdSchema, reason });
export const lackingPageSchema = z.strictObject({
  cursor: z.string().max(128).optional(),
  limit: z.coerce.number().int().min(1).max(500).default(100),
});
export const thresholdsFormSchema = thresholdContentsSchema.extend({ reason });

/** @throws Refusal BAD_REQUEST naming the field */
export function parseReasonForm(body: unknown): { reason: string } {
  return parse(reasonFormSchema, body);
}

/** @throws Refusal BAD_REQUEST naming the field */
export function parseAuthorisedForm(body: unknown): { reason: string; authority: string } {
  return parse(authorisedFormSchema, body);
}

/** @throws Refusal BAD_REQUEST naming the field */
export function parseOverrideForm(body: unknown): { reason: string; authority: string; modelId: ModelId } {
  return parse(overrideFormSchema, body);
}

/** @throws Refusal BAD_REQUEST naming the field */
export function parseGallerySwitchForm(body: unknown): { to: ModelId; reason: string; acceptMissing: number } {
  return parse(gallerySwitchFormSchema, body);
}

/** @throws Refusal BAD_REQUEST naming the field */
export function parseGalleryRetirementForm(body: unknown): { modelId: ModelId; reason: string } {
  return parse(galleryRetirementFormSchema, body);
}

/** @throws Refusal BAD_REQUEST naming the field */
export function parseLackingPage(query: unknown): { cursor?: string | undefined; limit: number } {
  return parse(lackingPageSchema, query);
}

/** @throws Refusal BAD_REQUEST naming the field; the figures are checked by the domain */
export function parseThresholdsForm(body: unknown): { reason: string; thresholds: ThresholdContents } {
  const { reason: why, ...thresholds } = parse(thresholdsFormSchema, body);
  return { reason: why, thresholds };
}

/** @throws Refusal SEARCH_KIND_UNKNOWN */
export function parseSearchKind(text: string): SearchKind {
  const kind = SEARCH_KINDS.find((known) => known === text);
  if (kind === undefined) throw new Refusal('SEARCH_KIND_UNKNOWN', `A kind of search is ${SEARCH_KINDS.join(' or ')}.`);
  return kind;
}

/** @throws Refusal THRESHOLDS_NOT_FOUND for what can be no version */
export function parseThresholdVersion(text: string): number {
  const version = Number(text);
  if (/^\d{1,9}$/.test(text) && version > 0) return version;
  throw new Refusal('THRESHOLDS_NOT_FOUND', 'A version is a whole number from 1.');
}
