/** How the records of a batch are worked through: many images at once, those of one image one after the other. */
import { CodedError } from '#domain/errors.js';
import type { KafkaRecord } from '#kafka/kafka-record.js';

/** A failure of ours that would stay: after so many tries the image is given up, and said. */
export const ATTEMPTS_MAX = 3;
const RETRY_AFTER_MS_MIN = 200;
/** What is waited out, such as a full disk, is noticed to be over so soon. */
const RETRY_AFTER_MS_MAX = 10_000;
/** Named retryable for a caller who waits, but the image may be the cause, and would hold up its partition for ever. */
const MAY_BE_THE_IMAGE = new Set(['IMAGE_DECODE_TIMEOUT', 'FACE_PROCESS_LOST']);

/** Not retryable for a caller, who must tell somebody; but no image's fault, and over when that somebody has acted. */
const NEVER_THE_IMAGE = new Set(['KAFKA_NOT_AUTHORISED', 'TOPIC_MISSING']);

/** Resolves when every record is handled. @param keyOf records that it gives one key go one after the other */
export async function inOrderPerKey(
  records: readonly KafkaRecord[],
  keyOf: (record: KafkaRecord) => string,
  handle: (record: KafkaRecord) => Promise<void>,
): Promise<void> {
  const lastOfKey = new Map<string, Promise<void>>();
  const all: Promise<void>[] = [];
  for (const record of records) {
    const key = keyOf(record);
    const before = lastOfKey.get(key);
    const done = before === undefined ? handle(record) : before.then(() => handle(record));
    lastOfKey.set(key, done);
    all.push(done);
  }
  await Promise.all(all);
}

/** Whether the cause is outside the image, as a full disk is: then it is tried until it succeeds. */
export function isOutsideTheImage(error: unknown): boolean {
  if (error instanceof CodedError) {
    return NEVER_THE_IMAGE.has(error.code) || (error.retryable && !MAY_BE_THE_IMAGE.has(error.code));
  }
  return isSystemError(error);
}

/** Of the operating system (ENOSPC, EIO, EMFILE and so on), which says what it was doing. */
function isSystemError(error: unknown): boolean {
  return error instanceof Error && 'code' in error && 'syscall' in error;
}

/** Exponential, capped. @param attempt 1 for the delay before the first retry */
export function retryAfterMs(attempt: number): number {
  return Math.min(RETRY_AFTER_MS_MAX, RETRY_AFTER_MS_MIN * 2 ** Math.min(attempt - 1, 16));
}
