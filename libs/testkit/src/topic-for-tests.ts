/** A topic read whole, as somebody does who wants to know what is in it. */
import type { KafkaClient } from '#kafka/kafka-client.js';
import type { KafkaRecord } from '#kafka/kafka-record.js';

/** Every record that is in the topic now, in the order of each partition. */
export async function readTopic(kafka: KafkaClient, topic: string): Promise<KafkaRecord[]> {
  const ends = await kafka.topicAdmin().topicOffsets(topic);
  const records: KafkaRecord[] = [];
  let failed: unknown;
  const reader = kafka.logReader({
    topic,
    partitions: [...ends.keys()],
    from: 'beginning',
    onBatch: (batch) => {
      records.push(...batch.records);
      return Promise.resolve();
    },
    onFatal: (error) => (failed = error),
  });
  await reader.start();
  await reader.caughtUp().catch((error: unknown) => {
    throw failed ?? error;
  });
  await reader.close();
  return records;
}

/** The last record of each key, tombstones included. */
export function lastOfKey(records: readonly KafkaRecord[]): Map<string, KafkaRecord> {
  return new Map(records.map((record) => [record.key?.toString('utf8') ?? '', record]));
}
