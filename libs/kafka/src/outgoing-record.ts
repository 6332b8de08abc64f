import { randomInt } from 'node:crypto';
import { partitionFor } from '#contracts/murmur2.js';
import type { OutgoingRecord } from '#contracts/outgoing-record.js';
import { Failure, Refusal } from '#domain/errors.js';

/** Lengths, deltas and the queue's own entry. */
const RECORD_OVERHEAD_BYTES = 100;

/** Records without a key or partition go to one random partition per request, as the Java client does. */
export function choosePartition(record: OutgoingRecord, partitions: number, sticky: Map<string, number>): number {
  if (record.partition !== undefined) return record.partition;
  if (record.key !== null) return partitionFor(record.key, partitions);
  const chosen = sticky.get(record.topic) ?? randomInt(partitions);
  sticky.set(record.topic, chosen);
  return chosen;
}

/** Of the record in a batch, roughly from above. */
export function sizeOf(record: OutgoingRecord): number {
  let bytes = RECORD_OVERHEAD_BYTES + byteLength(record.key) + byteLength(record.value);
  for (const name in record.headers) bytes += byteLength(name) + byteLength(record.headers[name]!) + 2;
  return bytes;
}

function byteLength(value: string | Buffer | null): number {
  if (value === null) return 0;
  return typeof value === 'string' ? Buffer.byteLength(value) : value.length;
}

export function tooLarge(bytes: number): Refusal {
  return new Refusal('RECORD_TOO_LARGE', `A record of ${bytes} bytes is larger than the topic takes.`, { bytes });
}

export function invalidRecord(topic: string): Refusal {
  return new Refusal('RECORD_INVALID', `Kafka refused the record; ${topic} may need a key on each record.`);
}

export function shuttingDown(): Failure {
  return new Failure('PUBLISHER_CLOSED', 'The service is shutting down.', true);
}

export function notAuthorised(topic: string): Failure {
  return new Failure('KAFKA_NOT_AUTHORISED', `This service may not write to ${topic}.`, false);
}
