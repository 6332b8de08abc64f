/**
 * What could not be handled goes to `<topic>.dead-letters` as a reference to its source, with the cause: never the
 * value, which may be an image or a template and would outlive its erasure there. A replay reads the source again.
 */
import { deadLetterHeaders, encodeDeadLetter, type DeadLetter } from '#contracts/dead-letter-record.js';
import type { OutgoingRecord } from '#contracts/outgoing-record.js';
import { deadLetters } from '#contracts/topics.js';
import type { KafkaRecord } from './kafka-record.js';

export interface DeadLetterCause {
  /** Of the Refusal or Failure. */
  readonly code: string;
  /** Safe to show: never a face, a name or a key's content. */
  readonly detail: string;
  readonly attempts: number;
}

const SYSTEM = '/custody-face-search';
const DETAIL_CHARACTERS_MAX = 500;
/** Eight times a valid one's. A key may be as large as an image, and its letter must still be one that can be written. */
const KEY_BYTES_MAX = 1024;

/** @param source which service says so */
export function deadLetterFor(
  record: Pick<KafkaRecord, 'topic' | 'partition' | 'offset' | 'key'>,
  cause: DeadLetterCause,
  source: string = SYSTEM,
  now: Date = new Date(),
): OutgoingRecord {
  const key = record.key?.subarray(0, KEY_BYTES_MAX) ?? null;
  const letter: DeadLetter = {
    topic: record.topic,
    partition: record.partition,
    offset: record.offset,
    key: key?.toString('utf8') ?? null,
    code: cause.code,
    detail: cause.detail.slice(0, DETAIL_CHARACTERS_MAX),
    attempts: cause.attempts,
    at: now.toISOString(),
  };
  return {
    topic: deadLetters(record.topic),
    key,
    value: encodeDeadLetter(letter),
    headers: deadLetterHeaders(letter, source, now),
  };
}
