/**
 * `gallery.queries.v1` and `gallery.replies.v1`: a probe's template goes to every index process, and each answers with
 * the candidates and the watermark of the template partitions that it holds.
 */
import { z } from 'zod';
import { Refusal } from '#domain/errors.js';
import type { ShardReply } from '#domain/gather.js';
import type { GalleryFilter, SearchMode } from '#domain/gallery.js';
import { modelId, type ModelId } from '#domain/ids.js';
import {
  cloudEventHeaders,
  expectCloudEvent,
  extension,
  JSON_CONTENT,
  requiredExtension,
  type Headers,
} from './cloud-events.js';
import { encodeJsonValue, parseJsonValue } from './json-value.js';
import {
  ageBandSchema,
  faceBoxSchema,
  galleryFilterSchema,
  imageIdSchema,
  modelIdSchema,
  offsetSchema,
  partitionSchema,
  sexSchema,
  subjectIdSchema,
} from './record-schemas.js';

export const GALLERY_QUERY_TYPE = 'gallery.query.v1';
export const GALLERY_REPLY_TYPE = 'gallery.reply.v1';

/** Subjects at most that one query may ask for. */
export const K_MAX = 200;

export interface GalleryQuery {
  readonly queryId: string;
  readonly modelId: ModelId;
  /** Subjects wanted, at most {@link K_MAX}; 0 asks for the coverage alone and carries no probe. */
  readonly k: number;
  readonly mode: SearchMode;
  readonly filter?: GalleryFilter;
  /** Milliseconds since 1970; an index that reads it later does not answer. */
  readonly deadlineMs: number;
  /** The partition of `gallery.replies` that the asking instance reads. */
  readonly replyPartition: number;
}

export function galleryQueryHeaders(query: GalleryQuery, source: string): Headers {
  return cloudEventHeaders({
    type: GALLERY_QUERY_TYPE,
    source,
    subject: query.queryId,
    contentType: 'application/octet-stream',
    extensions: {
      modelid: query.modelId,
      k: String(query.k),
      mode: query.mode,
      filter: query.filter === undefined ? undefined : JSON.stringify(query.filter),
      deadline: String(query.deadlineMs),
      replypartition: String(query.replyPartition),
    },
  });
}

/** @throws Refusal HEADER_MISSING, HEADER_UNKNOWN, RECORD_SCHEMA */
export function parseGalleryQuery(headers: Headers): GalleryQuery {
  expectCloudEvent(headers, GALLERY_QUERY_TYPE);
  const k = Number(requiredExtension(headers, 'k'));
  const mode = requiredExtension(headers, 'mode');
  const deadlineMs = Number(requiredExtension(headers, 'deadline'));
  const replyPartition = Number(requiredExtension(headers, 'replypartition'));
  const filter = extension(headers, 'filter');
  if (!Number.isInteger(k) || k < 0 || k > K_MAX) throw unknown('k');
  if (mode !== 'exact' && mode !== 'approximate' && mode !== 'auto') throw unknown('mode');
  if (!Number.isFinite(deadlineMs)) throw unknown('deadline');
  if (!Number.isInteger(replyPartition) || replyPartition < 0) throw unknown('replypartition');
  return {
    queryId: requiredExtension(headers, 'subject'),
    modelId: modelId(requiredExtension(headers, 'modelid')),
    k,
    mode,
    ...(filter !== undefined && { filter: parseJsonValue(galleryFilterSchema, Buffer.from(filter)) }),
    deadlineMs,
    replyPartition,
  };
}

function unknown(name: string): Refusal {
  return new Refusal('HEADER_UNKNOWN', `The header ce_${name} has a value that is not known.`, {
    header: `ce_${name}`,
  });
}

/** What one worker of an index process answers. */
export interface GalleryReply extends ShardReply {
  readonly queryId: string;
  readonly modelId: ModelId;
  /** How long the engine took, for the `gallery` stage's share. */
  readonly engineMs: number;
}

export const galleryReplySchema = z.object({
  queryId: z.string(),
  modelId: modelIdSchema,
  replicaId: z.string(),
  mode: z.enum(['exact', 'approximate']),
  engineMs: z.number(),
  coverage: z.array(
    z.object({
      partition: partitionSchema,
      watermark: offsetSchema,
      enrolled: z.number(),
      // Absent from an index of an earlier version, which counted none.
      unusable: z.number().default(0),
      behindMs: z.number(),
    }),
  ),
  candidates: z.array(
    z.object({
      imageId: imageIdSchema,
      subjectId: subjectIdSchema,
      force: z.string().optional(),
      custodyReference: z.string().optional(),
      capturedAt: z.string().optional(),
      sex: sexSchema.optional(),
      ageBand: ageBandSchema.optional(),
      faceBox: faceBoxSchema.optional(),
      embeddingNorm: z.number().optional(),
      score: z.number(),
      sourceOffset: offsetSchema,
    }),
  ),
});

export function galleryReplyHeaders(queryId: string, source: string): Headers {
  return cloudEventHeaders({ type: GALLERY_REPLY_TYPE, source, subject: queryId, contentType: JSON_CONTENT });
}

export function encodeGalleryReply(reply: GalleryReply): Buffer {
  return encodeJsonValue(galleryReplySchema, reply);
}

/** @throws Refusal RECORD_NOT_JSON, RECORD_SCHEMA */
export function parseGalleryReply(value: Buffer | null): GalleryReply {
  return parseJsonValue(galleryReplySchema, value);
}
