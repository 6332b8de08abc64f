/**
 * Feeds the enrolment from `custody.images`: order per image, many images at once, one bad record never stops the next.
 */
import { pause } from '#kafka/backoff.js';
import { deadLetterFor } from '#kafka/dead-letters.js';
import type { GroupBatch } from '#kafka/group-consumer.js';
import type { KafkaRecord } from '#kafka/kafka-record.js';
import type { Publisher } from '#kafka/publisher.js';
import { CodedError, describeError, Refusal } from '#domain/errors.js';
import { imageId } from '#domain/ids.js';
import type { Log } from '#platform/log.js';
import type { Enrolment } from './enrolment.js';

/** A failure of ours that would stay: after so many tries the image is put aside, and said. */
const ATTEMPTS_MAX = 3;
const RETRY_AFTER_MS_MIN = 200;
/** What is waited out, such as a full disk, is noticed to be over so soon. */
const RETRY_AFTER_MS_MAX = 10_000;
/** Named retryable for a caller who waits, but the image may be the cause, and would hold up its partition for ever. */
const MAY_BE_THE_IMAGE = new Set(['IMAGE_DECODE_TIMEOUT', 'FACE_PROCESS_LOST']);

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
    try {
      await this.handleToItsEnd(record, signal);
    } finally {
      this.enrolment.forget(record);
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

/**
 * Whether it is tried until it succeeds or the partition is another member's. An erasure always is: it has been decided,
 * and nobody looks at a dead letter in time. An image is when the cause is outside it, as a full disk is.
 */
function isWaitedOut(record: KafkaRecord, error: unknown): boolean {
  if (record.value === null) return true;
  if (error instanceof CodedError) return error.retryable && !MAY_BE_THE_IMAGE.has(error.code);
  return isSystemError(error);
}

/** Of the operating system (ENOSPC, EIO, EMFILE and so on), which says what it was doing. */
function isSystemError(error: unknown): boolean {
  return error instanceof Error && 'code' in error && 'syscall' in error;
}

/** Exponential, capped. @param attempt 1 for the delay before the first retry */
function retryAfterMs(attempt: number): number {
  return Math.min(RETRY_AFTER_MS_MAX, RETRY_AFTER_MS_MIN * 2 ** Math.min(attempt - 1, 16));
}
