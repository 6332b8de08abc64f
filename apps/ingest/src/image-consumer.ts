/**
 * Feeds the enrolment from `custody.images`: order per image, many images at once, one bad record never stops the next.
 */
import { isCustodyReplay, parseCustodyReplay } from '#contracts/custody-replay.js';
import { isLogMarker } from '#contracts/log-marker.js';
import { pause } from '#kafka/backoff.js';
import { deadLetterFor } from '#kafka/dead-letters.js';
import type { GroupBatch } from '#kafka/group-consumer.js';
import type { KafkaRecord } from '#kafka/kafka-record.js';
import type { Publisher } from '#kafka/publisher.js';
import { CodedError, describeError, Refusal } from '#domain/errors.js';
import { imageId, type Offset } from '#domain/ids.js';
import type { Log } from '#platform/log.js';
import { inSpanOfRecord } from '#platform/spans.js';
import type { Enrolment } from './enrolment.js';
import { INGEST_SOURCE } from './image-erasure.js';
import { ATTEMPTS_MAX, inOrderPerKey, isOutsideTheImage, retryAfterMs } from './in-order.js';

export class ImageConsumer {
  constructor(
    private readonly enrolment: Enrolment,
    private readonly publisher: Publisher,
    private readonly log: Log,
    /** Of `custody.images`; undefined when the log has it no longer. */
    private readonly readAgain: (partition: number, at: Offset) => Promise<KafkaRecord | undefined>,
  ) {}

  /** Resolves when every record of the batch has its outcome; offsets are stored as far as every one before has its. */
  async handleBatch(batch: GroupBatch): Promise<void> {
    const { records, signal } = batch;
    const done = new Set<KafkaRecord>();
    let first = 0;
    await inOrderPerKey(records, imageOf, async (record) => {
      await this.handle(record, signal);
      if (signal.aborted) return;
      done.add(record);
      while (first < records.length && done.has(records[first]!)) first++;
      if (first > 0) batch.handledTo(records[first - 1]!.offset + 1);
    });
  }

  private async handle(record: KafkaRecord, signal: AbortSignal): Promise<void> {
    if (isLogMarker(record.headers)) return;
    if (!isCustodyReplay(record.headers)) return this.handleImage(record, signal);
    const source = await this.sourceOf(record, signal);
    if (source !== undefined) await this.handleImage(source, signal);
  }

  /** What somebody asks to be handled again, read from its own place: it counts as delivered once more. */
  private async sourceOf(replay: KafkaRecord, signal: AbortSignal): Promise<KafkaRecord | undefined> {
    const { partition } = replay;
    for (let attempt = 1; !signal.aborted; attempt++) {
      try {
        const { imageId: id, offset } = parseCustodyReplay(replay.value);
        const source = offset < replay.offset ? await this.readAgain(partition, offset) : undefined;
        // Not another image's, and no erasure: those are not put aside.
        if (source?.value && source.key?.toString('utf8') === id) return source;
        this.log.warn('replay-without-source', { partition, offset });
        return undefined;
      } catch (error) {
        this.log.warn('replay-failed', { partition, offset: replay.offset, attempt, error: describeError(error) });
        if (error instanceof Refusal) return undefined;
        await pause(retryAfterMs(attempt), signal);
      }
    }
    return undefined;
  }

  private async handleImage(record: KafkaRecord, signal: AbortSignal): Promise<void> {
    try {
      await inSpanOfRecord(record, () => this.handleToItsEnd(record, signal));
    } finally {
      this.enrolment.forget(record);
      // It has its outcome, or is another member's: nobody reads these bytes again.
      record.value?.fill(0);
    }
  }

  private async handleToItsEnd(record: KafkaRecord, signal: AbortSignal): Promise<void> {
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
        if (attempt >= ATTEMPTS_MAX && !isWaitedOut(record, error)) {
          const code = error instanceof CodedError ? error.code : 'INTERNAL';
          await this.putAside(record, code, 'The image could not be processed here.', attempt);
          await this.reportFailed(record, code);
          return;
        }
        await pause(retryAfterMs(attempt), signal);
      }
    }
  }

  private async putAside(record: KafkaRecord, code: string, detail: string, attempts: number): Promise<void> {
    await this.publisher.publish(deadLetterFor(record, { code, detail, attempts }, INGEST_SOURCE));
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

/** Records of one image are handled in their order; what asks for one again stands among them. */
function imageOf({ key, headers }: KafkaRecord): string {
  return isCustodyReplay(headers) ? (headers['ce_subject'] ?? '') : (key?.toString('latin1') ?? '');
}

/**
 * Whether it is tried until it succeeds or the partition is another member's. An erasure always is: it has been decided,
 * and nobody looks at a dead letter in time.
 */
function isWaitedOut(record: KafkaRecord, error: unknown): boolean {
  return record.value === null || isOutsideTheImage(error);
}
