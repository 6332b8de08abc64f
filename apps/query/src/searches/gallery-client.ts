/**
 * Asks the gallery: one record to every index process, replies from the partition that this instance reads, merged by
 * the domain's rules. Ends with the first complete answer or at the deadline, and says what is missing.
 */
import { createHash, randomUUID } from 'node:crypto';
import { galleryQueryHeaders, K_MAX, parseGalleryReply, type GalleryReply } from '#contracts/gallery-query.js';
import { partitionFor } from '#contracts/murmur2.js';
import { encodeTemplate } from '#contracts/template-record.js';
import { GALLERY_QUERIES, GALLERY_REPLIES, REPLY_PARTITIONS } from '#contracts/topics.js';
import { isSuppressed, type Disposition } from '#domain/disposition.js';
import { describeError, Failure } from '#domain/errors.js';
import { Gather, type Gathered } from '#domain/gather.js';
import { TEMPLATE_PARTITIONS, type GalleryFilter, type SearchMode } from '#domain/gallery.js';
import type { ImageId, ModelId, SubjectId } from '#domain/ids.js';
import type { KafkaClient } from '#kafka/kafka-client.js';
import type { LogReader } from '#kafka/log-reader.js';
import type { Publisher } from '#kafka/publisher.js';
import type { Log } from '#platform/log.js';
import { notesOnSpan } from '#platform/spans.js';
import { QUERY_SOURCE } from '../query-source.js';

/** Asked on top of what is wanted: this process may know of dispositions that a shard has not read yet. */
const SPARE_CANDIDATES = 4;
/** Each time, at least one image is left out that a shard should have left out itself. */
const ASK_AGAIN_MAX = 3;
/** What is left of the deadline must be enough for an answer, or asking again would put nothing in the place of one. */
const ASK_AGAIN_WITHIN_MS_MIN = 200;
/** How long, after a complete answer, further replicas are waited for when they are to be counted. */
const REPLICA_GRACE_MS = 150;

export interface GalleryAnswer extends Gathered {
  readonly replies: readonly GalleryReply[];
}

interface Pending {
  readonly gather: Gather;
  readonly replies: GalleryReply[];
  readonly onReply: () => void;
  readonly note: ReturnType<typeof notesOnSpan>;
}

function templatePartition(id: ImageId): number {
  return partitionFor(Buffer.from(id), TEMPLATE_PARTITIONS);
}

export class GalleryClient {
  private readonly pending = new Map<string, Pending>();
  private readonly reader: LogReader;
  private readonly replyPartition: number;

  constructor(
    kafka: KafkaClient,
    private readonly publisher: Publisher,
    private readonly modelId: ModelId,
    instanceId: string,
    private readonly dispositionOf: (id: ImageId) => Disposition | undefined,
    private readonly log: Log,
    onFatal: (error: unknown) => void,
    /**
     * Whether a direction keeps it out of searches: of one about a subject, the disposition of an image that was enrolled
     * a moment ago may still have to be written.
     */
    private readonly isDirectedOut: (image: ImageId, subject: SubjectId) => boolean = () => false,
  ) {
    this.replyPartition = createHash('sha256').update(instanceId).digest().readUInt32BE(0) % REPLY_PARTITIONS;
    this.reader = kafka.logReader({
      topic: GALLERY_REPLIES,
      partitions: [this.replyPartition],
      from: 'end',
      onBatch: ({ records }) => {
        for (const record of records) this.receive(record.value);
        return Promise.resolve();
      },
      onFatal,
    });
  }

  start(): Promise<void> {
    return this.reader.start();
  }

  close(): Promise<void> {
    return this.reader.close();
  }

  /**
   * @param probe Float32Array of the model's dimension, of norm 1
   * @returns `incomplete` names the partitions, too, of images for which there was no time to ask for what they hide
   */
  async search(query: {
    readonly probe: Float32Array;
    readonly limit: number;
    readonly mode: SearchMode;
    readonly filter: GalleryFilter | undefined;
    readonly withinMs: number;
  }): Promise<GalleryAnswer> {
    const k = Math.min(query.limit + SPARE_CANDIDATES, K_MAX);
    const value = encodeTemplate(query.probe);
    const deadlineMs = Date.now() + query.withinMs;
    let answer = await this.ask({ ...query, k, value }, 0);
    const excluded = [...(query.filter?.excludeImageIds ?? [])];
    // A shard that has not read a disposition yet answers with the image, and so not with the subject's next best one.
    for (let again = 0; answer.rejected.length > 0 && again < ASK_AGAIN_MAX; again++) {
      excluded.push(...answer.rejected);
      const filter = { ...query.filter, excludeImageIds: excluded };
      const withinMs = deadlineMs - Date.now();
      if (withinMs < ASK_AGAIN_WITHIN_MS_MIN) break;
      const next = await this.ask({ ...query, filter, withinMs, k, value }, 0).catch((error: unknown) => {
        if (!(error instanceof Failure)) throw error;
        return undefined;
      });
      // The one that is there says more.
      if (next === undefined || next.missing.length > answer.missing.length) break;
      answer = next;
    }
    if (answer.rejected.length === 0) return answer;
    const hidden = new Set([...answer.incomplete, ...answer.rejected.map(templatePartition)]);
    return { ...answer, incomplete: [...hidden].sort((a, b) => a - b) };
  }

  /** Who answers, for what, and how far each has read. Waits a moment for the replicas that are not needed. */
  async coverage(withinMs: number): Promise<GalleryAnswer> {
    return this.ask({ k: 0, limit: 0, mode: 'auto', filter: undefined, value: null, withinMs }, REPLICA_GRACE_MS);
  }

  private async ask(
    query: {
      readonly k: number;
      readonly limit: number;
      readonly mode: SearchMode;
      readonly filter: GalleryFilter | undefined;
      readonly value: Buffer | null;
      readonly withinMs: number;
    },
    graceMs: number,
  ): Promise<GalleryAnswer> {
    const queryId = randomUUID();
    const gather = new Gather(TEMPLATE_PARTITIONS, templatePartition);
    const replies: GalleryReply[] = [];
    const answered = new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, query.withinMs);
      this.pending.set(queryId, {
        gather,
        replies,
        note: notesOnSpan(),
        onReply: () => {
          if (!gather.complete) return;
          clearTimeout(timer);
          if (graceMs === 0) resolve();
          else setTimeout(resolve, graceMs);
        },
      });
    });
    try {
      await this.publisher.publish(
        {
          topic: GALLERY_QUERIES,
          partition: 0,
          key: null,
          value: query.value,
          headers: galleryQueryHeaders(
            {
              queryId,
              modelId: this.modelId,
              k: query.k,
              mode: query.mode,
              ...(query.filter !== undefined && { filter: query.filter }),
              deadlineMs: Date.now() + query.withinMs,
              replyPartition: this.replyPartition,
            },
            QUERY_SOURCE,
          ),
        },
        query.withinMs,
      );
      await answered;
    } finally {
      this.pending.delete(queryId);
    }
    const merged = gather.result(
      query.limit,
      ({ imageId, subjectId, sourceOffset }) =>
        !isSuppressed(this.dispositionOf(imageId), sourceOffset) && !this.isDirectedOut(imageId, subjectId),
    );
    return { ...merged, replies };
  }

  /** Replies to other instances that share the partition, and late ones, are nobody's. */
  private receive(value: Buffer | null): void {
    try {
      const reply = parseGalleryReply(value);
      const pending = this.pending.get(reply.queryId);
      if (pending === undefined || reply.modelId !== this.modelId) return;
      pending.replies.push(reply);
      pending.gather.add(reply);
      pending.note?.('reply', {
        'custody.gallery.replica': reply.replicaId,
        'custody.gallery.engine_ms': reply.engineMs,
      });
      pending.onReply();
    } catch (error) {
      this.log.warn('reply-unreadable', { error: describeError(error) });
    }
  }
}
