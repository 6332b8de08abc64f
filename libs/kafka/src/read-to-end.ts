import type { KafkaClient } from './kafka-client.js';
import type { KafkaRecord } from './kafka-record.js';

/**
 * Hands over everything that these partitions hold now, in the order of each.
 *
 * @throws Failure TOPIC_MISSING; READER_STOPPED when the client is closed before
 */
export async function readToEnd(
  kafka: Pick<KafkaClient, 'logReader'>,
  topic: string,
  partitions: readonly number[],
  take: (record: KafkaRecord) => void,
): Promise<void> {
  let fatal: unknown;
  const reader = kafka.logReader({
    topic,
    partitions,
    from: 'beginning',
    onBatch: ({ records }) => {
      for (const record of records) take(record);
      return Promise.resolve();
    },
    onFatal: (error) => (fatal = error),
  });
  try {
    await reader.start();
    await reader.caughtUp();
  } catch (error) {
    throw fatal ?? error;
  } finally {
    await reader.close();
  }
}
