/**
 * The hash by which Kafka's Java clients and kafkajs choose a record's partition from its key. librdkafka clients hash
 * with CRC32 unless they are told `partitioner=murmur2_random`.
 *
 * Source of the formula: `org.apache.kafka.common.utils.Utils.murmur2`.
 */

const SEED = 0x9747b28c;
const MULTIPLIER = 0x5bd1e995;

/** @returns a signed 32-bit integer, as in Java */
export function murmur2(bytes: Uint8Array): number {
  const length = bytes.length;
  let hash = (SEED ^ length) | 0;
  const wholeWordsEnd = length & ~3;
  for (let i = 0; i < wholeWordsEnd; i += 4) {
    let word = bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24);
    word = Math.imul(word, MULTIPLIER);
    word ^= word >>> 24;
    word = Math.imul(word, MULTIPLIER);
    hash = Math.imul(hash, MULTIPLIER) ^ word;
  }
  const rest = length & 3;
  if (rest === 3) hash ^= bytes[wholeWordsEnd + 2]! << 16;
  if (rest >= 2) hash ^= bytes[wholeWordsEnd + 1]! << 8;
  if (rest >= 1) {
    hash ^= bytes[wholeWordsEnd]!;
    hash = Math.imul(hash, MULTIPLIER);
  }
  hash ^= hash >>> 13;
  hash = Math.imul(hash, MULTIPLIER);
  return hash ^ (hash >>> 15);
}

/**
 * The partition of a keyed record: what the Java and kafkajs default partitioners choose.
 *
 * @param key text is hashed as UTF-8
 * @param partitions the topic's partition count, at least 1
 */
export function partitionFor(key: string | Uint8Array, partitions: number): number {
  const bytes = typeof key === 'string' ? Buffer.from(key, 'utf8') : key;
  return (murmur2(bytes) & 0x7fffffff) % partitions;
}
