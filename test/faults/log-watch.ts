/** Reads the logs as they grow, for the oracle and for what is compared with it. */
import { parseOutcome } from '#contracts/outcome-record.js';
import { templateSourceOffset } from '#contracts/template-record.js';
import { CUSTODY_IMAGES, CUSTODY_OUTCOMES, deadLetters, galleryTemplates } from '#contracts/topics.js';
import type { ModelId } from '#domain/ids.js';
import type { KafkaClient } from '#kafka/kafka-client.js';
import type { KafkaRecord } from '#kafka/kafka-record.js';
import type { LogReader } from '#kafka/log-reader.js';
import type { Expected, ImageOracle } from './image-oracle.js';

const LOOK_AGAIN_MS = 100;

export class LogWatch {
  private readonly readers = new Map<string, LogReader>();
  /** By image, what the log of templates says last. */
  private readonly lastTemplates = new Map<string, Expected | undefined>();
  /** Templates that came behind a newer one of the same image, and were put right. */
  lateTemplates = 0;
  deadLetters = 0;

  constructor(
    private readonly kafka: KafkaClient,
    modelId: ModelId,
    oracle: ImageOracle,
    onFatal: (error: unknown) => void,
  ) {
    const follow = (topic: string, partitions: number, take: (record: KafkaRecord) => void): void => {
      const reader = kafka.logReader({
        topic,
        partitions: Array.from({ length: partitions }, (_, partition) => partition),
        from: 'beginning',
        onBatch: ({ records }) => {
          for (const record of records) take(record);
          return Promise.resolve();
        },
        onFatal,
      });
      this.readers.set(topic, reader);
    };
    follow(CUSTODY_IMAGES, 24, (record) => oracle.recordLogged(record));
    follow(CUSTODY_OUTCOMES, 24, ({ value }) => {
      const outcome = parseOutcome(value);
      const { partition, offset } = outcome.source;
      const code = 'code' in outcome ? { code: outcome.code } : {};
      oracle.outcomeRead(`${partition}/${offset}`, { outcome: outcome.outcome, ...code });
    });
    follow(galleryTemplates(modelId), 24, ({ key, value, headers }) => {
      const id = key!.toString('utf8');
      const offset = value === null ? undefined : templateSourceOffset(headers);
      if (offset !== undefined && offset < (this.lastTemplates.get(id)?.offset ?? 0)) this.lateTemplates++;
      this.lastTemplates.set(id, offset === undefined ? undefined : { offset });
    });
    follow(deadLetters(CUSTODY_IMAGES), 1, () => this.deadLetters++);
  }

  async start(): Promise<void> {
    await Promise.all([...this.readers.values()].map((reader) => reader.start()));
  }

  async close(): Promise<void> {
    await Promise.all([...this.readers.values()].map((reader) => reader.close()));
  }

  lastTemplateOf(imageId: string): Expected | undefined {
    return this.lastTemplates.get(imageId);
  }

  /** Resolves when everything has been read that is in the logs now. */
  async readToEnd(): Promise<void> {
    for (const [topic, reader] of this.readers) {
      const ends = await this.kafka.topicAdmin().topicOffsets(topic);
      const behind = (): boolean => [...ends].some(([p, { high }]) => reader.progress(p).nextOffset < high);
      while (behind()) await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
    }
  }
}
