/** The template topic as it is written, by whoever: told to the oracle, and waited for as far as a reply has read. */
import { parseTemplateRecord } from '#contracts/template-record.js';
import { galleryTemplates } from '#contracts/topics.js';
import { TEMPLATE_PARTITIONS } from '#domain/gallery.js';
import type { ModelId } from '#domain/ids.js';
import type { KafkaClient } from '#kafka/kafka-client.js';
import type { LogReader } from '#kafka/log-reader.js';
import type { GalleryOracle } from './gallery-oracle.js';

export class LogView {
  private readonly reader: LogReader;
  private waiting: (() => void)[] = [];

  constructor(kafka: KafkaClient, modelId: ModelId, oracle: GalleryOracle, onFatal: (error: unknown) => void) {
    this.reader = kafka.logReader({
      topic: galleryTemplates(modelId),
      partitions: Array.from({ length: TEMPLATE_PARTITIONS }, (_, partition) => partition),
      from: 'beginning',
      onBatch: ({ records }) => {
        for (const { key, value, headers, partition, offset: logOffset } of records) {
          const imageId = key!.toString('latin1');
          const sourceOffset = value === null ? undefined : parseTemplateRecord(key, headers).source.sourceOffset;
          oracle.recordWritten({ imageId, partition, logOffset, sourceOffset });
        }
        // The batch counts as read when this has resolved.
        setImmediate(() => this.look());
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

  /** @param watermarks by partition, exclusive */
  async readTo(watermarks: ReadonlyMap<number, number>): Promise<void> {
    const behind = (): boolean => [...watermarks].some(([p, to]) => this.reader.progress(p).nextOffset < to);
    while (behind()) await new Promise<void>((resolve) => this.waiting.push(resolve));
  }

  private look(): void {
    for (const resolve of this.waiting.splice(0)) resolve();
  }
}
