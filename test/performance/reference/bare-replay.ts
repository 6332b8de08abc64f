/** Reads a topic from its beginning to its end with kafkajs alone and nothing done with the records: records a second. */
import { randomUUID } from 'node:crypto';
import kafkajs from 'kafkajs';
import { obey } from '../load-process.js';

/** As much a fetch and a partition as the reader that it is compared with. */
const BYTES_PER_PARTITION_MAX = 1024 * 1024;
const FETCH_BYTES_MAX = 10 * 1024 * 1024;

const brokers = (process.env as Record<'KAFKA_BROKERS', string>).KAFKA_BROKERS.split(',');
const kafka = new kafkajs.Kafka({ brokers, clientId: 'bench-bare-replay', logLevel: kafkajs.logLevel.NOTHING });

/** From the first fetch on: how long a group takes to form is not what is compared. */
async function replay({ topic, records }: { topic: string; records: number }): Promise<number> {
  const consumer = kafka.consumer({
    groupId: `bare-${randomUUID()}`,
    maxBytesPerPartition: BYTES_PER_PARTITION_MAX,
    maxBytes: FETCH_BYTES_MAX,
  });
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  let startedMs: number | undefined;
  let read = 0;
  const all = Promise.withResolvers<void>();
  consumer.on(consumer.events.FETCH_START, () => (startedMs ??= performance.now()));
  await consumer.run({
    autoCommit: false,
    eachBatchAutoResolve: false,
    eachBatch: ({ batch, resolveOffset }) => {
      read += batch.messages.length;
      resolveOffset(batch.lastOffset());
      if (read >= records) all.resolve();
      return Promise.resolve();
    },
  });
  await all.promise;
  const seconds = (performance.now() - startedMs!) / 1000;
  await consumer.disconnect();
  return read / seconds;
}

obey(replay);
