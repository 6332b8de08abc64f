/** Answers gallery queries: each worker's candidates and watermark go to the partition that the asking instance reads. */
import { decodeTemplate } from '#contracts/template-record.js';
import {
  encodeGalleryReply,
  galleryReplyHeaders,
  parseGalleryQuery,
  type GalleryQuery,
} from '#contracts/gallery-query.js';
import { GALLERY_QUERIES, GALLERY_REPLIES } from '#contracts/topics.js';
import { describeError, Failure } from '#domain/errors.js';
import type { KafkaClient } from '#kafka/kafka-client.js';
import type { KafkaRecord } from '#kafka/kafka-record.js';
import type { LogReader } from '#kafka/log-reader.js';
import type { Publisher } from '#kafka/publisher.js';
import type { Log } from '#platform/log.js';
import type { IndexMetrics } from '#platform/metrics.js';
import { beginSpan, inSpanOfTracedRecord } from '#platform/spans.js';
import { INDEX_SOURCE, type GalleryReplica } from './gallery-replica.js';

export class QueryResponder {
  private readonly reader: LogReader;

  constructor(
    kafka: KafkaClient,
    private readonly publisher: Publisher,
    private readonly replica: GalleryReplica,
    private readonly options: { readonly modelId: string; readonly dimension: number; readonly replicaId: string },
    private readonly metrics: IndexMetrics,
    private readonly log: Log,
    onFatal: (error: unknown) => void,
  ) {
    this.reader = kafka.logReader({
      topic: GALLERY_QUERIES,
      partitions: [0],
      from: 'end',
      // Not awaited as a whole: a slow query must not hold up the next one.
      onBatch: ({ records }) => {
        for (const record of records) void inSpanOfTracedRecord(record, this.answer);
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

  private readonly answer = async (record: KafkaRecord): Promise<void> => {
    try {
      const query = parseGalleryQuery(record.headers);
      // Another model's queries are for the processes that hold its gallery.
      if (query.modelId !== this.options.modelId) return;
      if (Date.now() > query.deadlineMs) {
        this.metrics.galleryQueriesExpiredTotal.inc();
        return;
      }
      await Promise.all(this.replies(query, record.value));
    } catch (error) {
      if (error instanceof Failure && error.code === 'QUERY_EXPIRED') {
        this.metrics.galleryQueriesExpiredTotal.inc();
        return;
      }
      this.log.error('query-not-answered', { offset: record.offset, error: describeError(error) });
    }
  };

  private replies(query: GalleryQuery, value: Buffer | null): Promise<unknown>[] {
    const probe = query.k === 0 || value === null ? undefined : decodeTemplate(value, this.options.dimension);
    const { k, mode, filter, deadlineMs } = query;
    const answers = this.replica.search({ probe, k, mode, filter, deadlineMs });
    return answers.map(async (pending, worker) => {
      const span = beginSpan('search shard');
      const answer = await pending.finally(() => span?.end());
      if (probe !== undefined) {
        this.metrics.galleryQueryDurationSeconds.observe({ mode: answer.mode }, answer.durationMs / 1000);
      }
      await this.publisher.publish(
        {
          topic: GALLERY_REPLIES,
          partition: query.replyPartition,
          key: null,
          value: encodeGalleryReply({
            queryId: query.queryId,
            modelId: query.modelId,
            replicaId: `${this.options.replicaId}/${worker}`,
            mode: answer.mode,
            engineMs: answer.durationMs,
            coverage: answer.coverage,
            candidates: answer.candidates,
          }),
          headers: galleryReplyHeaders(query.queryId, INDEX_SOURCE),
        },
        Math.max(1, query.deadlineMs - Date.now()),
      );
    });
  }
}
