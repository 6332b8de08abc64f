import type { Offset } from '#domain/ids.js';

/** A record as it was read. */
export interface KafkaRecord {
  readonly topic: string;
  readonly partition: number;
  /** Inclusive: the record's own. */
  readonly offset: Offset;
  readonly key: Buffer | null;
  /** null is a tombstone. */
  readonly value: Buffer | null;
  /** Values as UTF-8; of a repeated name the last value. */
  readonly headers: Readonly<Record<string, string>>;
  /** Milliseconds since 1970: the broker's clock on LogAppendTime topics, else the producer's. */
  readonly timestampMs: number;
}

/** Where a record was written. */
export interface RecordPosition {
  readonly partition: number;
  /** Inclusive: the record's own. */
  readonly offset: Offset;
}

/** An event name and fields; never a value or a key of a record. */
export interface KafkaLog {
  debug(event: string, fields: object): void;
  info(event: string, fields: object): void;
  warn(event: string, fields: object): void;
  error(event: string, fields: object): void;
}

/** The part of a kafkajs message that is read. */
export interface FetchedMessage {
  readonly offset: string;
  readonly timestamp: string;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers?: Record<string, Buffer | string | (Buffer | string)[] | undefined>;
}

/** A message as kafkajs decodes it, with what it knows of the batch around it. */
export interface RawMessage extends FetchedMessage {
  readonly isControlRecord?: boolean;
  /** Absent in the formats before Kafka 0.11. */
  readonly batchContext?: { readonly firstOffset: string; readonly lastOffsetDelta: number };
}

/**
 * Exclusive: past the last of these messages and past the gap behind it, because a batch keeps its last offset when
 * compaction removes its last records. kafkajs goes through such a gap offset by offset, a fetch each. 0 for none.
 */
export function endOfMessages(messages: readonly RawMessage[]): number {
  let end = 0;
  for (const { offset, batchContext } of messages) {
    const last = batchContext ? Number(batchContext.firstOffset) + batchContext.lastOffsetDelta : Number(offset);
    if (last >= end) end = last + 1;
  }
  return end;
}

export function recordFrom(topic: string, partition: number, message: FetchedMessage): KafkaRecord {
  const headers: Record<string, string> = {};
  for (const name in message.headers) {
    const given = message.headers[name];
    const last = Array.isArray(given) ? given[given.length - 1] : given;
    if (last !== undefined && last !== null) headers[name] = typeof last === 'string' ? last : last.toString('utf8');
  }
  return {
    topic,
    partition,
    offset: Number(message.offset) as Offset,
    key: message.key,
    value: message.value,
    headers,
    timestampMs: Number(message.timestamp),
  };
}
