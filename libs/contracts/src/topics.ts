/**
 * Every topic with its settings: the one table that the services, the command line and the manifests read. Partition
 * counts of keyed topics are for ever, because a key's partition depends on them.
 */
import { TEMPLATE_PARTITIONS } from '#domain/gallery.js';
import type { ModelId } from '#domain/ids.js';

export const CUSTODY_IMAGES = 'custody.images.v1';
export const CUSTODY_DISPOSITIONS = 'custody.dispositions.v1';
export const CUSTODY_DIRECTIONS = 'custody.directions.v1';
export const CUSTODY_OUTCOMES = 'custody.outcomes.v1';
export const GALLERY_QUERIES = 'gallery.queries.v1';
export const GALLERY_REPLIES = 'gallery.replies.v1';
export const GALLERY_REPLICAS = 'gallery.replicas.v1';
export const GALLERY_GAPS = 'gallery.gaps.v1';
export const SEARCHES_REQUESTS = 'searches.requests.v1';
export const SEARCHES_COMMANDS = 'searches.commands.v1';
export const SEARCHES_EVENTS = 'searches.events.v1';
export const GOVERNANCE_DECISIONS = 'governance.decisions.v1';
export const AUDIT_LOG = 'audit.log.v1';
export const AUDIT_ENTRIES = 'audit.entries.v1';
export const AUDIT_CHECKPOINTS = 'audit.checkpoints.v1';

export function galleryTemplates(model: ModelId): string {
  return `gallery.templates.${model}.v1`;
}

/** The model whose gallery the topic holds; undefined for every other topic. */
export function generationOf(topic: string): ModelId | undefined {
  return /^gallery\.templates\.([0-9a-f]{16})\.v1$/.exec(topic)?.[1] as ModelId | undefined;
}

/** Of the members that build the gallery of this model: how far they are is what the group has committed. */
export function generationGroup(model: ModelId): string {
  return `custody-generation-${model}`;
}

export function deadLetters(topic: string): string {
  return `${topic}.dead-letters`;
}

const UNKEYED: readonly string[] = [GALLERY_QUERIES, GALLERY_REPLIES, AUDIT_LOG, AUDIT_CHECKPOINTS];

/** Whether a record's partition follows from its key, so that the number of partitions can never change. */
export function isKeyed(topic: string): boolean {
  return !UNKEYED.includes(topic);
}

/** What says whose clock a record's timestamp is. */
export const TIMESTAMP_TYPE = 'message.timestamp.type';
const ASSERTED: readonly string[] = [CUSTODY_IMAGES, SEARCHES_REQUESTS];

/**
 * Whether its records carry signed assertions, whose age is judged at the record's timestamp. That has to be the broker's:
 * with one of the producer's choosing, an assertion that was read once would be good for ever.
 */
export function isAsserted(topic: string): boolean {
  return ASSERTED.includes(topic);
}

/** Searches are spread over this many partitions, each with one owner among the query replicas. */
export const SEARCH_PARTITIONS = 12;
export const REPLY_PARTITIONS = 12;
export const AUDIT_ENTRY_PARTITIONS = 6;

/** The largest image accepted. A custody photograph has 0.1 to 3 MiB, a phone's picture up to about 8. */
export const IMAGE_SIZE_BYTES_MAX = 8 * 1024 * 1024;
/** The record batch's and the headers' share on top of an image. */
const RECORD_OVERHEAD_BYTES = 64 * 1024;

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
/** How long a compacted topic keeps the null that removes a key: whoever was away longer may never read it. */
const TOMBSTONES_KEPT_MS = 7 * DAY_MS;
/** Who was away so long reads its log from the beginning, which takes a while too: before the first null is gone. */
export const AWAY_MS_MAX = TOMBSTONES_KEPT_MS - DAY_MS;

/**
 * `local` destroys erased bytes within a minute, on a log of a sample's size. `production` follows what compaction
 * costs there: the cleaner rewrites a dirty partition whole.
 */
export type TopicProfile = 'local' | 'production';

export interface DesiredTopic {
  readonly name: string;
  readonly partitions: number;
  readonly replication: number;
  /** Kafka's own setting names; one that is not named is not looked at. */
  readonly config: Readonly<Record<string, string>>;
}

export function desiredTopics(options: {
  readonly modelId: ModelId;
  readonly profile: TopicProfile;
  readonly replication: number;
}): readonly DesiredTopic[] {
  const { replication } = options;
  const durability: Record<string, string> = {
    'min.insync.replicas': String(replication > 2 ? 2 : 1),
    'unclean.leader.election.enable': 'false',
  };
  const topic = (name: string, partitions: number, config: Record<string, string>): DesiredTopic => ({
    name,
    partitions,
    replication,
    config: { ...durability, ...config },
  });
  const keep = (ms: number): Record<string, string> => ({ 'cleanup.policy': 'delete', 'retention.ms': String(ms) });
  const forEver = keep(-1);

  const tombstones = { 'delete.retention.ms': String(TOMBSTONES_KEPT_MS) };
  const compaction: Record<string, string> =
    options.profile === 'local'
      ? {
          'segment.ms': '10000',
          // What is erased is destroyed half a minute later, and a partition that is written all the time is not
          // rewritten for every segment.
          'max.compaction.lag.ms': '20000',
          'min.cleanable.dirty.ratio': '0.5',
          'file.delete.delay.ms': '0',
        }
      : {
          'segment.ms': String(6 * HOUR_MS),
          'max.compaction.lag.ms': String(DAY_MS),
          'min.cleanable.dirty.ratio': '0.3',
          'file.delete.delay.ms': String(MINUTE_MS),
        };
  const compacted = { 'cleanup.policy': 'compact', ...compaction, ...tombstones };
  // Written by other systems: whatever their producers compress with, every reader here can read what is stored.
  const image = {
    'max.message.bytes': String(IMAGE_SIZE_BYTES_MAX + RECORD_OVERHEAD_BYTES),
    'compression.type': 'uncompressed',
  };

  // A probe's template lives about a minute: the segment rolls every ten seconds and goes a minute after its last record.
  const fleeting = {
    ...keep(MINUTE_MS),
    'segment.ms': '10000',
    'file.delete.delay.ms': '0',
    [TIMESTAMP_TYPE]: 'LogAppendTime',
  };

  const templates = galleryTemplates(options.modelId);
  return [
    topic(CUSTODY_IMAGES, TEMPLATE_PARTITIONS, {
      ...compacted,
      ...image,
      'cleanup.policy': 'compact,delete',
      'retention.ms': String(7 * DAY_MS),
      [TIMESTAMP_TYPE]: 'LogAppendTime',
    }),
    topic(CUSTODY_DISPOSITIONS, TEMPLATE_PARTITIONS, compacted),
    topic(CUSTODY_DIRECTIONS, 1, compacted),
    topic(CUSTODY_OUTCOMES, TEMPLATE_PARTITIONS, keep(28 * DAY_MS)),
    topic(templates, TEMPLATE_PARTITIONS, compacted),
    topic(GALLERY_QUERIES, 1, fleeting),
    topic(GALLERY_REPLIES, REPLY_PARTITIONS, fleeting),
    topic(GALLERY_REPLICAS, 1, compacted),
    topic(GALLERY_GAPS, 1, compacted),
    topic(SEARCHES_REQUESTS, SEARCH_PARTITIONS, {
      ...keep(HOUR_MS),
      ...image,
      'segment.ms': String(10 * MINUTE_MS),
      [TIMESTAMP_TYPE]: 'LogAppendTime',
    }),
    topic(SEARCHES_COMMANDS, SEARCH_PARTITIONS, { ...keep(7 * DAY_MS), [TIMESTAMP_TYPE]: 'LogAppendTime' }),
    topic(SEARCHES_EVENTS, SEARCH_PARTITIONS, compacted),
    // One partition: its order is the order in which decisions count.
    topic(GOVERNANCE_DECISIONS, 1, { ...forEver, [TIMESTAMP_TYPE]: 'LogAppendTime' }),
    topic(AUDIT_LOG, 1, { ...forEver, [TIMESTAMP_TYPE]: 'LogAppendTime' }),
    topic(AUDIT_ENTRIES, AUDIT_ENTRY_PARTITIONS, compacted),
    topic(AUDIT_CHECKPOINTS, 1, forEver),
    topic(deadLetters(CUSTODY_IMAGES), 1, keep(7 * DAY_MS)),
    topic(deadLetters(templates), 1, keep(28 * DAY_MS)),
    topic(deadLetters(SEARCHES_REQUESTS), 1, keep(DAY_MS)),
    topic(deadLetters(SEARCHES_COMMANDS), 1, keep(7 * DAY_MS)),
  ];
}

/** Those of {@link desiredTopics} that one model alone has. */
export function generationTopics(options: Parameters<typeof desiredTopics>[0]): readonly DesiredTopic[] {
  const templates = galleryTemplates(options.modelId);
  return desiredTopics(options).filter(({ name }) => name === templates || name === deadLetters(templates));
}
