/** `custody.outcomes.v1`: what became of each record on `custody.images.v1`. */
import { z } from 'zod';
import type { ImageOutcome } from '#domain/image-outcome.js';
import { cloudEventHeaders, JSON_CONTENT, type Headers } from './cloud-events.js';
import { heldBySchema } from './direction-record.js';
import { encodeJsonValue, parseJsonValue } from './json-value.js';
import {
  detectedFaceSchema,
  faceBoxSchema,
  imageIdSchema,
  instantSchema,
  modelIdSchema,
  placeSchema,
  rotationSchema,
  uprightPictureSchema,
} from './record-schemas.js';

export const OUTCOME_TYPE = 'custody.outcome.v1';

const base = { imageId: imageIdSchema, at: instantSchema, source: placeSchema };

export const outcomeSchema = z.discriminatedUnion('outcome', [
  z.object({
    ...base,
    outcome: z.literal('enrolled'),
    modelId: modelIdSchema,
    template: placeSchema,
    faceBox: faceBoxSchema,
    facesFound: z.number().int(),
    embeddingNorm: z.number(),
    warnings: z.array(z.string()),
    advice: z.array(z.string()).optional(),
    rotation: rotationSchema.optional(),
  }),
  z.object({
    ...base,
    outcome: z.literal('refused'),
    code: z.string(),
    detail: z.string(),
    faces: z.array(detectedFaceSchema).optional(),
    picture: uprightPictureSchema.optional(),
    reasons: z.array(z.string()).optional(),
  }),
  z.object({ ...base, outcome: z.literal('failed'), code: z.string(), detail: z.string() }),
  z.object({ ...base, outcome: z.literal('superseded'), by: z.enum(['later-image', 'erasure']) }),
  z.object({
    ...base,
    outcome: z.literal('erased'),
    authority: z.string(),
    reason: z.string(),
    disposition: placeSchema,
  }),
  z.object({
    ...base,
    outcome: z.literal('restricted'),
    authority: z.string(),
    reason: z.string(),
    heldBy: heldBySchema,
    restrictionId: z.string(),
  }),
]);

export function outcomeHeaders(outcome: ImageOutcome, source: string): Headers {
  return cloudEventHeaders({ type: OUTCOME_TYPE, source, subject: outcome.imageId, contentType: JSON_CONTENT });
}

export function encodeOutcome(outcome: ImageOutcome): Buffer {
  return encodeJsonValue(outcomeSchema, outcome);
}

/** @throws Refusal RECORD_NOT_JSON, RECORD_SCHEMA */
export function parseOutcome(value: Buffer | null): ImageOutcome {
  return parseJsonValue(outcomeSchema, value);
}
