import { setImmediate as nextTurn } from 'node:timers/promises';
import type { KafkaClient } from './kafka-client.js';
import type { KafkaRecord } from './kafka-record.js';

/** Records between which others have their turn: a few milliseconds. */
const SLICE_RECORDS = 250;

/**
 * Hands over everything that these partitions hold now, in the order of each, and lets others have their turn between.
 * Waits for the topic where it is not there yet.
 *
 * @throws Failure READER_STOPPED when the client is closed before
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
    onBatch: async ({ records }) => {
      for (const [i, record] of records.entries()) {
        take(record);
        if (i % SLICE_RECORDS === SLICE_RECORDS - 1) await nextTurn();
      }
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
