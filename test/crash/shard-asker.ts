/** Asks every index process over Kafka, and hands on each worker's own reply, unmerged, with who gave it. */
import { randomUUID } from 'node:crypto';
import { galleryQueryHeaders, parseGalleryReply, type GalleryReply } from '#contracts/gallery-query.js';
import { encodeTemplate } from '#contracts/template-record.js';
import { GALLERY_QUERIES, GALLERY_REPLIES } from '#contracts/topics.js';
import type { ModelId } from '#domain/ids.js';
import type { KafkaClient } from '#kafka/kafka-client.js';
import type { LogReader } from '#kafka/log-reader.js';
import type { Publisher } from '#kafka/publisher.js';
import type { Question } from './answer-check.js';

const REPLY_PARTITION = 0;
/** Beyond it a process is silent. How quick it is, is not what is looked at here. */
const ANSWER_WITHIN_MS = 30_000;
const LOOK_AGAIN_MS = 50;

interface Open {
  readonly question: Question;
  readonly answered: Set<string>;
  readonly onReply: () => void;
}

export class ShardAsker {
  private readonly open = new Map<string, Open>();
  private readonly reader: LogReader;

  constructor(
    kafka: KafkaClient,
    private readonly publisher: Publisher,
    private readonly modelId: ModelId,
    private readonly onReply: (question: Question, reply: GalleryReply, receivedAtMs: number) => void,
    onFatal: (error: unknown) => void,
  ) {
    this.reader = kafka.logReader({
      topic: GALLERY_REPLIES,
      partitions: [REPLY_PARTITION],
      from: 'end',
      onBatch: ({ records }) => {
        for (const record of records) this.receive(parseGalleryReply(record.value));
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
   * @param awaited the workers whose replies are waited for, as long as they can come; asked again and again
   * @returns those that have not answered although they could have
   */
  async ask(
    what: Pick<Question, 'probe' | 'k' | 'mode' | 'force'>,
    awaited: () => readonly string[],
  ): Promise<readonly string[]> {
    const queryId = randomUUID();
    const sentAtMs = Date.now();
    const deadlineMs = sentAtMs + ANSWER_WITHIN_MS;
    const answered = new Set<string>();
    const late = (): readonly string[] => awaited().filter((worker) => !answered.has(worker));
    let done = (): void => undefined;
    const all = new Promise<void>((resolve) => (done = resolve));
    const question = { ...what, queryId, sentAtMs };
    this.open.set(queryId, { question, answered, onReply: () => late().length === 0 && done() });
    const timer = setInterval(() => {
      if (late().length === 0 || Date.now() > deadlineMs) done();
    }, LOOK_AGAIN_MS);
    try {
      await this.publisher.publish({
        topic: GALLERY_QUERIES,
        partition: 0,
        key: null,
        value: encodeTemplate(what.probe),
        headers: galleryQueryHeaders(
          {
            queryId,
            modelId: this.modelId,
            k: what.k,
            mode: what.mode,
            ...(what.force !== undefined && { filter: { force: what.force } }),
            deadlineMs,
            replyPartition: REPLY_PARTITION,
          },
          '/custody-face-search/query',
        ),
      });
      await all;
      return late();
    } finally {
      clearInterval(timer);
      this.open.delete(queryId);
    }
  }

  private receive(reply: GalleryReply): void {
    const open = this.open.get(reply.queryId);
    if (open === undefined) return;
    open.answered.add(reply.replicaId);
    this.onReply(open.question, reply, Date.now());
    open.onReply();
  }
}
