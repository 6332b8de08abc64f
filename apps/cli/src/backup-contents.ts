/** What a backup holds, in which order, and what it leaves out because it can be had again or must not be kept. */
import { z } from 'zod';
import {
  AUDIT_CHECKPOINTS,
  AUDIT_ENTRIES,
  AUDIT_LOG,
  CUSTODY_DIRECTIONS,
  CUSTODY_DISPOSITIONS,
  CUSTODY_IMAGES,
  CUSTODY_OUTCOMES,
  GALLERY_GAPS,
  generationOf,
  GOVERNANCE_DECISIONS,
  SEARCHES_EVENTS,
} from '#contracts/topics.js';
import type { RestoredRecord } from '#kafka/log-restore.js';
import type { Offset } from '#domain/ids.js';
import { IMAGE_OBJECTS, type BackupManifest } from './backup-manifest.js';
import type { Frame } from './backup-segment.js';

/** How records of theirs name the two commands. */
export const BACKUP_SOURCE = '/custody-face-search/backup';
export const RESTORE_SOURCE = '/custody-face-search/restore';

/** The group whose offsets say which images have become templates. */
export const INGEST_GROUP = 'custody-ingest';

/** What decides over everything else: who is erased or restricted, what may be searched and how. Small, so often copied. */
export const DECISIONS: readonly string[] = [GOVERNANCE_DECISIONS, CUSTODY_DIRECTIONS, CUSTODY_DISPOSITIONS];

/**
 * The order makes a copy of a running system whole: what follows from a record is read before it, so that whatever lies
 * between two readings is had again rather than missing. Images that are not handled yet come after the templates of
 * those that are; the decisions after what they decide about; a leaf of the audit before its entry, and both after what
 * they put on record.
 *
 * Left out: images that were handled (they lie sealed in the image store, those that were refused with whoever sent
 * them), queries and replies (a minute), requests with their probes (an hour: whoever sent one sends it again), commands
 * (their effects are events), replicas (they report again), dead letters (they refer to images that are left out).
 *
 * @param topics those that there are
 */
export function streamsOf(kind: BackupManifest['kind'], topics: readonly string[]): readonly string[] {
  const galleries = topics.filter((name) => generationOf(name) !== undefined).toSorted();
  const everything = [...galleries, GALLERY_GAPS, CUSTODY_OUTCOMES, IMAGE_OBJECTS, CUSTODY_IMAGES, SEARCHES_EVENTS];
  const audit = [AUDIT_CHECKPOINTS, AUDIT_LOG, AUDIT_ENTRIES];
  const wanted = kind === 'decisions' ? DECISIONS : [...everything, ...DECISIONS, ...audit];
  return wanted.filter((name) => name === IMAGE_OBJECTS || topics.includes(name));
}

/** When the first of its decisions were fixed: it holds all that were taken before. ISO 8601, so compared as text. */
export function cutOf({ streams, startedAt }: Pick<BackupManifest, 'streams' | 'startedAt'>): string {
  const cuts = streams.filter(({ name }) => DECISIONS.includes(name)).map(({ cutAt }) => cutAt);
  return cuts.toSorted()[0] ?? startedAt;
}

/** By the clocks of those who made them, which may be wrong, and by the logs, which only grow. */
export function isNewer(decisions: BackupManifest, backup: BackupManifest): boolean {
  const endsIn = ({ streams }: BackupManifest, topic: string): Readonly<Record<string, number>> =>
    streams.find(({ name }) => name === topic)?.ends ?? {};
  const reaches = (topic: string): boolean => {
    const reached = endsIn(decisions, topic);
    return Object.entries(endsIn(backup, topic)).every(([partition, end]) => (reached[partition] ?? 0) >= end);
  };
  return (
    decisions.clusterId === backup.clusterId &&
    cutOf(decisions) > cutOf(backup) &&
    DECISIONS.every((one) => reaches(one))
  );
}

/**
 * From when on decisions are lost when a backup is restored. Those that ingest was asked for by a null on
 * `custody.images` are in no log of decisions until it has handled that; of the backup's own, it comes back.
 *
 * @param decisions a newer backup of the decisions, where there is one
 * @returns ISO 8601
 */
export function lostSince(backup: BackupManifest, decisions: BackupManifest | undefined): string {
  const images = backup.streams.find(({ name }) => name === CUSTODY_IMAGES)?.cutAt;
  const unhandled = decisions === undefined ? images : decisions.oldestUnhandledAt;
  const cut = cutOf(decisions ?? backup);
  return unhandled !== undefined && unhandled !== null && unhandled < cut ? unhandled : cut;
}

const recordHead = z.object({
  partition: z.number().int().nonnegative(),
  offset: z.number().int().nonnegative(),
  timestampMs: z.number(),
  /** Base64. */
  key: z.string().nullable(),
  headers: z.record(z.string(), z.string()),
  isTombstone: z.boolean(),
});
const objectHead = z.object({ name: z.string() });

export interface BackedUpRecord extends RestoredRecord {
  readonly partition: number;
  /** Where it stood. Inclusive. */
  readonly offset: Offset;
}

export function recordFrame({ partition, offset, timestampMs, key, headers, value }: BackedUpRecord): Frame {
  const head: z.infer<typeof recordHead> = {
    partition,
    offset,
    timestampMs,
    key: key === null ? null : key.toString('base64'),
    headers: { ...headers },
    isTombstone: value === null,
  };
  return { head, body: value ?? Buffer.alloc(0) };
}

export function recordOf({ head, body }: Frame): BackedUpRecord {
  const { key, isTombstone, offset, ...rest } = recordHead.parse(head);
  return {
    ...rest,
    offset: offset as Offset,
    key: key === null ? null : Buffer.from(key, 'base64'),
    value: isTombstone ? null : body,
  };
}

export function objectFrame(name: string, sealed: Buffer): Frame {
  return { head: { name } satisfies z.infer<typeof objectHead>, body: sealed };
}

export function objectOf({ head, body }: Frame): { readonly name: string; readonly sealed: Buffer } {
  return { ...objectHead.parse(head), sealed: body };
}
