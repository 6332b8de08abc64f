/** `custody.dispositions.v1`: what may not be searched, and what is erased for ever. A null makes an image active again. */
import { z } from 'zod';
import type { Disposition } from '#domain/disposition.js';
import type { ImageId } from '#domain/ids.js';
import { cloudEventHeaders, JSON_CONTENT, type Headers } from './cloud-events.js';
import { encodeJsonValue, parseJsonValue } from './json-value.js';
import type { OutgoingRecord } from './outgoing-record.js';
import { imageIdSchema, instantSchema, offsetSchema } from './record-schemas.js';
import { CUSTODY_DISPOSITIONS } from './topics.js';

export const DISPOSITION_TYPE = 'custody.disposition.v1';

export const dispositionSchema = z.object({
  imageId: imageIdSchema,
  kind: z.enum(['restricted', 'retired', 'erased']),
  since: instantSchema,
  authority: z.string(),
  reason: z.string(),
  sourceOffset: offsetSchema,
  erasedThrough: offsetSchema.optional(),
  erasedSince: instantSchema.optional(),
  directionId: z.string().optional(),
  lifts: z.string().optional(),
});

export function dispositionHeaders(id: string, source: string): Headers {
  return cloudEventHeaders({ type: DISPOSITION_TYPE, source, subject: id, contentType: JSON_CONTENT });
}

export function encodeDisposition(disposition: Disposition): Buffer {
  return encodeJsonValue(dispositionSchema, disposition);
}

/** @param disposition null makes the image active again @param source which service says so */
export function dispositionRecord(id: ImageId, disposition: Disposition | null, source: string): OutgoingRecord {
  const value = disposition === null ? null : encodeDisposition(disposition);
  return { topic: CUSTODY_DISPOSITIONS, key: id, value, headers: dispositionHeaders(id, source) };
}

/** @throws Refusal RECORD_NOT_JSON, RECORD_SCHEMA */
export function parseDisposition(value: Buffer): Disposition {
  return parseJsonValue(dispositionSchema, value);
}
