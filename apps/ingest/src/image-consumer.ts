/**
 * Feeds the enrolment from `custody.images`: order per image, many images at once, one bad record never stops the next.
 */
import { deadLetterFor } from '#kafka/dead-letters.js';
import type { GroupBatch } from '#kafka/group-consumer.js';
import type { KafkaRecord } from '#kafka/kafka-record.js';
import type { Publisher } from '#kafka/publisher.js';
import { CodedError, describeError, Refusal } from '#domain/errors.js';
import { imageId } from '#domain/ids.js';
import type { Log } from '#platform/log.js';
import type { Enrolment } from './enrolment.js';

/** A failure of ours may pass: a full disk, a broker away. After so many tries the image is put aside, and said. */
const ATTEMPTS_MAX = 3;
const RETRY_AFTER_MS = [200, 2_000];

export class ImageConsumer {
  constructor(
    private readonly enrolment: Enrolment,
    private readonly publisher: Publisher,
    private readonly log: Log,
  ) {}

  /** Resolves when every record of the batch has its outcome; the offset is stored afterwards. */
  async handleBatch(batch: GroupBatch): Promise<void> {
    const lastOfKey = new Map<string, Promise<void>>();
    const all: Promise<void>[] = [];
    for (const record of batch.records) {
      const key = record.key?.toString('latin1') ?? '';
      const before = lastOfKey.get(key);
      const done =
        before === undefined ? this.handle(record, batch.signal) : before.then(() => this.handle(record, batch.signal));
      lastOfKey.set(key, done);
      all.push(done);
    }
    await Promise.all(all);
  }

  private async handle(record: KafkaRecord, signal: AbortSignal): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      // The partition is another member's now: what is not begun is that member's to do.
      if (signal.aborted) return;
      try {
        await this.enrolment.handle(record);
        return;
      } catch (error) {
        if (error instanceof Refusal) {
          await this.putAside(record, error.code, error.publicText, attempt);
          return;
        }
        this.log.warn('image-failed', {
          partition: record.partition,
          offset: record.offset,
          attempt,
          error: describeError(error),
        });
        if (attempt >= ATTEMPTS_MAX) {
          const code = error instanceof CodedError ? error.code : 'INTERNAL';
          await this.putAside(record, code, 'The image could not be processed here.', attempt);
          await this.reportFailed(record, code);
          return;
        }
        await new Promise((resolve) => setTimeout(resolve, RETRY_AFTER_MS[attempt - 1]));
      }
    }
  }

  private async putAside(record: KafkaRecord, code: string, detail: string, attempts: number): Promise<void> {
    await this.publisher.publish(deadLetterFor(record, { code, detail, attempts }));
    this.log.warn('dead-letter', { partition: record.partition, offset: record.offset, code });
  }

  private async reportFailed(record: KafkaRecord, code: string): Promise<void> {
    await this.enrolment.publishOutcome({
      outcome: 'failed',
      imageId: imageId(record.key!.toString('utf8')),
      at: new Date().toISOString(),
      source: { partition: record.partition, offset: record.offset },
      code,
      detail: 'The image could not be processed here; it was put aside and can be replayed.',
    });
  }
}
