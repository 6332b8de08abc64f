/**
 * A process that was paused while its partition went to another one may wake and publish a template that is older than
 * what the other has published meanwhile. Shards that have read the newer one keep it, but compaction keeps what came
 * last: so whoever wrote late finds the newer one in the log, while it is there, and writes it again behind its own.
 */
import { templateSourceOffset } from '#contracts/template-record.js';
import { galleryTemplates } from '#contracts/topics.js';
import type { ImageId, ModelId, Offset } from '#domain/ids.js';
import type { KafkaClient } from '#kafka/kafka-client.js';
import type { KafkaRecord } from '#kafka/kafka-record.js';
import type { Publisher } from '#kafka/publisher.js';
import { readToEnd } from '#kafka/read-to-end.js';

export class LateTemplates {
  constructor(
    private readonly kafka: Pick<KafkaClient, 'logReader'>,
    private readonly publisher: Pick<Publisher, 'publish'>,
    private readonly modelId: ModelId,
  ) {}

  /**
   * Writes the newest template of the image again, when it is newer than what was just written. It reads the partition
   * for that, which takes a second for each 100 MB: this happens after a pause, and hardly ever.
   *
   * @param written the source offset of what was just written
   * @returns the source offset of what is the log's last word now
   */
  async putNewestBack(id: ImageId, partition: number, written: Offset): Promise<Offset> {
    const newest = await this.newestOf(id, partition);
    if (newest === undefined || newest.sourceOffset <= written) return written;
    const { value, headers } = newest.record;
    await this.publisher.publish({ topic: galleryTemplates(this.modelId), key: id, value, headers: { ...headers } });
    return newest.sourceOffset;
  }

  private async newestOf(
    id: ImageId,
    partition: number,
  ): Promise<{ readonly record: KafkaRecord; readonly sourceOffset: Offset } | undefined> {
    let newest: { readonly record: KafkaRecord; readonly sourceOffset: Offset } | undefined;
    const key = Buffer.from(id);
    await readToEnd(this.kafka, galleryTemplates(this.modelId), [partition], (record) => {
      if (record.value === null || record.key?.equals(key) !== true) return;
      const sourceOffset = templateSourceOffset(record.headers);
      if (sourceOffset === undefined || (newest !== undefined && sourceOffset < newest.sourceOffset)) return;
      newest = { record: { ...record, value: Buffer.from(record.value) }, sourceOffset };
    });
    return newest;
  }
}
