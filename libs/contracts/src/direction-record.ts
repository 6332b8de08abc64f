/**
 * `custody.directions.v1`: restrictions, retirements, evidence holds, open searches, erasures and their receipts, and
 * what of each is destroyed. One
 * partition, keyed by the directionId, the last record of a key counts; a null ends the direction.
 */
import { z } from 'zod';
import { CASE_OUTCOMES } from '#domain/case-outcome.js';
import type { Direction } from '#domain/direction.js';
import { ROLES } from '#domain/identity.js';
import { cloudEventHeaders, JSON_CONTENT, type Headers } from './cloud-events.js';
import { encodeJsonValue, parseJsonValue } from './json-value.js';
import { imageIdSchema, instantSchema, offsetSchema, placeSchema, subjectIdSchema } from './record-schemas.js';
import { CUSTODY_DIRECTIONS } from './topics.js';

export const DIRECTION_TYPE = 'custody.direction.v1';

const base = {
  directionId: z.string().min(1),
  target: z.object({ subjectId: subjectIdSchema.optional(), imageIds: z.array(imageIdSchema) }),
  authority: z.string(),
  reason: z.string(),
  by: z.string(),
  role: z.enum([...ROLES, 'system']),
  system: z.string().optional(),
  at: instantSchema,
  requestSha256: z.string().optional(),
};

export const heldBySchema = z.array(
  z.object({ directionId: z.string(), kind: z.enum(['evidence-hold', 'open-search']) }),
);

const erasedImage = z.object({
  imageId: imageIdSchema,
  outcome: z.enum(['erase', 'restricted-instead']),
  source: placeSchema.optional(),
  disposition: placeSchema.optional(),
  heldBy: heldBySchema.optional(),
  restrictionId: z.string().optional(),
});

export const directionSchema = z.discriminatedUnion('kind', [
  z.object({
    ...base,
    kind: z.literal('restriction'),
    insteadOf: z.string().optional(),
    heldBy: heldBySchema.optional(),
  }),
  z.object({ ...base, kind: z.literal('retirement') }),
  z.object({ ...base, kind: z.literal('evidence-hold') }),
  z.object({ ...base, kind: z.literal('open-search') }),
  z.object({ ...base, kind: z.literal('subject-images') }),
  z.object({
    ...base,
    kind: z.literal('erasure'),
    state: z.enum(['awaiting-approval', 'decided']),
    approvedBy: z.string().optional(),
    approvedAt: instantSchema.optional(),
    images: z.array(erasedImage).optional(),
  }),
  z.object({
    ...base,
    kind: z.literal('erasure-receipt'),
    erasureId: z.string(),
    source: placeSchema,
    disposition: placeSchema,
    tombstone: placeSchema,
    imageStoreEmptiedAt: instantSchema,
  }),
  z.object({
    ...base,
    kind: z.literal('erasure-destruction'),
    through: offsetSchema,
    erasedAt: instantSchema,
    stores: z.array(z.object({ store: z.string(), at: instantSchema.nullable(), marker: offsetSchema.optional() })),
    completedAt: instantSchema.optional(),
  }),
  z.object({
    ...base,
    kind: z.literal('disposal'),
    custodyReference: z.string().optional(),
    force: z.string().optional(),
    outcome: z.enum(CASE_OUTCOMES),
    outcomeOn: z.iso.date(),
  }),
  z.object({ ...base, kind: z.literal('review'), retainUntil: z.iso.date() }),
]);

function directionHeaders(id: string, source: string): Headers {
  return cloudEventHeaders({ type: DIRECTION_TYPE, source, subject: id, contentType: JSON_CONTENT });
}

function encodeDirection(direction: Direction): Buffer {
  return encodeJsonValue(directionSchema, direction);
}

/** @throws Refusal RECORD_NOT_JSON, RECORD_SCHEMA */
export function parseDirection(value: Buffer): Direction {
  return parseJsonValue(directionSchema, value);
}

interface DirectionRecord {
  readonly topic: string;
  readonly key: string;
  readonly value: Buffer | null;
  readonly headers: Headers;
}

/** The record that puts a direction in force, or replaces the one of the same id. @param source which service says so */
export function directionRecord(direction: Direction, source: string): DirectionRecord {
  const { directionId } = direction;
  const value = encodeDirection(direction);
  return { topic: CUSTODY_DIRECTIONS, key: directionId, value, headers: directionHeaders(directionId, source) };
}

/** The record that ends a direction. */
export function directionEnd(directionId: string, source: string): DirectionRecord {
  return { topic: CUSTODY_DIRECTIONS, key: directionId, value: null, headers: directionHeaders(directionId, source) };
}
