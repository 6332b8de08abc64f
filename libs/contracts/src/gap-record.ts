/**
 * `gallery.gaps.v1`: the images that the gallery of a model lacks, see {@link GenerationGap}. Keyed
 * `<modelId>/<imageId>`; a null says that it lacks the image no longer, because it was built after all, or erased.
 */
import { z } from 'zod';
import type { GenerationGap } from '#domain/generation-gap.js';
import type { ImageId, ModelId } from '#domain/ids.js';
import { cloudEventHeaders, JSON_CONTENT } from './cloud-events.js';
import { encodeJsonValue, parseJsonValue } from './json-value.js';
import type { OutgoingRecord } from './outgoing-record.js';
import { imageIdSchema, instantSchema, modelIdSchema, offsetSchema, subjectIdSchema } from './record-schemas.js';
import { GALLERY_GAPS } from './topics.js';

export const GAP_TYPE = 'gallery.gap.v1';

export const gapSchema = z.object({
  modelId: modelIdSchema,
  imageId: imageIdSchema,
  subjectId: subjectIdSchema,
  sourceOffset: offsetSchema,
  code: z.string(),
  detail: z.string(),
  at: instantSchema,
});

function gapKey(model: ModelId, id: ImageId): string {
  return `${model}/${id}`;
}

/** @param source which service says so */
export function gapRecord(gap: GenerationGap, source: string): OutgoingRecord {
  return record(gapKey(gap.modelId, gap.imageId), encodeJsonValue(gapSchema, gap), source);
}

export function gapClosed(model: ModelId, id: ImageId, source: string): OutgoingRecord {
  return record(gapKey(model, id), null, source);
}

function record(key: string, value: Buffer | null, source: string): OutgoingRecord {
  const headers = cloudEventHeaders({ type: GAP_TYPE, source, subject: key, contentType: JSON_CONTENT });
  return { topic: GALLERY_GAPS, key, value, headers };
}

/** @throws Refusal RECORD_NOT_JSON, RECORD_SCHEMA */
export function parseGap(value: Buffer): GenerationGap {
  return parseJsonValue(gapSchema, value);
}

/** The model and the image of a record's key; undefined for what is no such key. */
export function parseGapKey(key: string): { readonly modelId: ModelId; readonly imageId: ImageId } | undefined {
  const [, modelId, imageId] = /^([0-9a-f]{16})\/([\x21-\x7e]{1,128})$/.exec(key) ?? [];
  if (modelId === undefined || imageId === undefined) return undefined;
  return { modelId: modelId as ModelId, imageId: imageId as ImageId };
}
