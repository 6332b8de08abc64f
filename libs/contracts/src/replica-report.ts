/**
 * `gallery.replicas.v1`: each index process says here, every few seconds, what it holds and how far it has destroyed what
 * was erased. One partition, compacted, keyed by model, shard and replica; a null retires the replica: its memory has
 * ended and its snapshots were deleted.
 */
import { z } from 'zod';
import { replicaKey, type ReplicaReport } from '#domain/replica-report.js';
import { cloudEventHeaders, JSON_CONTENT, type Headers } from './cloud-events.js';
import { encodeJsonValue, parseJsonValue } from './json-value.js';
import type { OutgoingRecord } from './outgoing-record.js';
import { instantSchema, modelIdSchema, offsetSchema, partitionSchema } from './record-schemas.js';
import { GALLERY_REPLICAS } from './topics.js';

export const REPLICA_REPORT_TYPE = 'gallery.replica.v1';

export const replicaReportSchema = z.object({
  replicaId: z.string().min(1),
  modelId: modelIdSchema,
  layout: z.object({
    shards: z.number().int().positive(),
    shard: z.number().int().nonnegative(),
    workers: z.number().int().positive(),
  }),
  state: z.enum(['replaying', 'serving', 'stopped']),
  startedAt: instantSchema,
  reportedAt: instantSchema,
  destroyedThrough: z.record(z.string().regex(/^\d+$/), offsetSchema),
  snapshot: z
    .object({
      at: instantSchema,
      templates: z.number().int().nonnegative(),
      sizeBytes: z.number().int().nonnegative(),
    })
    .nullable(),
  snapshotProblem: z.string().nullable(),
  partitions: z.array(
    z.object({
      partition: partitionSchema,
      watermark: offsetSchema,
      enrolled: z.number().int().nonnegative(),
      unusable: z.number().int().nonnegative(),
      digest: z.string(),
    }),
  ),
});

function replicaReportHeaders(key: string, source: string): Headers {
  return cloudEventHeaders({ type: REPLICA_REPORT_TYPE, source, subject: key, contentType: JSON_CONTENT });
}

/** @param source which service says so */
export function replicaReportRecord(report: ReplicaReport, source: string): OutgoingRecord {
  const key = replicaKey(report);
  const value = encodeJsonValue(replicaReportSchema, report);
  return { topic: GALLERY_REPLICAS, key, value, headers: replicaReportHeaders(key, source) };
}

/** The record that takes a replica off the record. @param key see `replicaKey` */
export function replicaRetirement(key: string, source: string): OutgoingRecord {
  return { topic: GALLERY_REPLICAS, key, value: null, headers: replicaReportHeaders(key, source) };
}

/** @throws Refusal RECORD_NOT_JSON, RECORD_SCHEMA */
export function parseReplicaReport(value: Buffer): ReplicaReport {
  return parseJsonValue(replicaReportSchema, value);
}
