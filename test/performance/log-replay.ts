/** Reads the templates' topic from its beginning to its end as an index does, in a process of its own: records a second. */
import { templateChangeOf } from '../../apps/index/src/template-changes.js';
import type { ModelId } from '#domain/ids.js';
import { KafkaClient } from '#kafka/kafka-client.js';
import { createLog } from '#platform/log.js';
import { obey } from './load-process.js';

const environment = process.env as Record<'KAFKA_BROKERS' | 'MODEL_ID' | 'DIMENSION', string>;
const kafka = new KafkaClient({
  brokers: environment.KAFKA_BROKERS.split(','),
  clientId: 'bench-replay',
  log: createLog('log-replay', 'error'),
});

/** @param parsed whether each record is also made into what a shard applies */
async function replay(order: { topic: string; partitions: number; parsed: boolean }): Promise<number> {
  let read = 0;
  const reader = kafka.logReader({
    topic: order.topic,
    partitions: Array.from({ length: order.partitions }, (_, partition) => partition),
    from: 'beginning',
    onBatch: ({ records }) => {
      read += records.length;
      if (order.parsed) {
        for (const record of records) {
          const change = templateChangeOf(record, environment.MODEL_ID as ModelId, Number(environment.DIMENSION));
          if (change.kind !== 'template') throw new Error('a record is not a template');
        }
      }
      return Promise.resolve();
    },
    onFatal: (error) => {
      throw error;
    },
  });
  await reader.start();
  const startedMs = performance.now();
  await reader.caughtUp();
  const seconds = (performance.now() - startedMs) / 1000;
  await reader.close();
  return read / seconds;
}

obey(replay);
