import { context, ROOT_CONTEXT, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { partitionFor } from '#contracts/murmur2.js';
import type { Offset } from '#domain/ids.js';
import { clientForTests, createTopic, uniqueTopic } from '#testkit/kafka-test-helpers.js';
import { RestartableBroker } from '#testkit/restartable-broker.js';
import type { KafkaClient } from './kafka-client.js';
import type { KafkaRecord } from './kafka-record.js';
import { pause } from './backoff.js';

let client: KafkaClient;
beforeAll(() => {
  client = clientForTests();
});
afterAll(() => client.close());

async function readAll(from: KafkaClient, topic: string, partitions: number): Promise<KafkaRecord[]> {
  const records: KafkaRecord[] = [];
  const reader = from.logReader({
    topic,
    partitions: Array.from({ length: partitions }, (_, partition) => partition),
    from: 'beginning',
    onBatch: async (batch) => void records.push(...batch.records),
    onFatal: (error) => {
      throw error;
    },
  });
  await reader.caughtUp();
  await reader.close();
  return records;
}

describe('publisher', () => {
  it('says of a record in which trace it was sent, and of another nothing', async () => {
    const topic = await createTopic(client, 'traced');
    const publisher = client.publisher();
    const span = { traceId: '0af7651916cd43dd8448eb211c80319c', spanId: 'b7ad6b7169203331', traceFlags: 1 };
    context.setGlobalContextManager(new AsyncLocalStorageContextManager());
    await context.with(trace.setSpanContext(ROOT_CONTEXT, span), () =>
      publisher.publish({ topic, key: 'a', value: null, headers: { ce_id: '1' } }),
    );
    context.disable();
    await publisher.publish({ topic, key: 'b', value: null, headers: { ce_id: '2' } });
    await publisher.close();
    expect((await readAll(client, topic, 1)).map(({ headers }) => headers)).toEqual([
      { ce_id: '1', traceparent: `00-${span.traceId}-${span.spanId}-01` },
      { ce_id: '2' },
    ]);
  });

  it('writes keys, values, headers and tombstones as given, to the partition of the key, and says where', async () => {
    const topic = await createTopic(client, 'publish', 3);
    const publisher = client.publisher();
    const image = Buffer.from([0, 255, 128, 7]);
    const [first, second] = await publisher.publishAll([
      { topic, key: 'image-1', value: image, headers: { ce_id: 'ä' } },
      { topic, key: 'image-1', value: null },
    ]);
    const partition = partitionFor('image-1', 3);
    expect([first, second]).toEqual([
      { partition, offset: 0 },
      { partition, offset: 1 },
    ]);
    const records = await readAll(client, topic, 3);
    expect(records.map(({ key, value, headers }) => ({ key: key?.toString(), value, headers }))).toEqual([
      { key: 'image-1', value: image, headers: { ce_id: 'ä' } },
      { key: 'image-1', value: null, headers: {} },
    ]);
    expect(Math.abs(records[0]!.timestampMs - Date.now())).toBeLessThan(60_000);
  });

  it('keeps the order of each partition over thousands of records published without waiting', async () => {
    const topic = await createTopic(client, 'order', 4);
    const publisher = client.publisher();
    const positions = [];
    for (let i = 0; i < 5000; i++) {
      positions.push(publisher.publish({ topic, key: `key-${i % 17}`, value: String(i) }));
      if (i % 500 === 0) await pause(1);
    }
    await Promise.all(positions);
    const lastOfKey = new Map<string, number>();
    const records = await readAll(client, topic, 4);
    expect(records).toHaveLength(5000);
    for (const { key, value } of records) {
      const sequence = Number(value);
      expect(sequence).toBeGreaterThan(lastOfKey.get(key!.toString()) ?? -1);
      lastOfKey.set(key!.toString(), sequence);
    }
  });

  it('splits what is published at once so that no batch is larger than a broker takes', async () => {
    const topic = await createTopic(client, 'bytes', 1, { 'max.message.bytes': '1048588' });
    const value = Buffer.alloc(100_000, 1);
    const records = Array.from({ length: 100 }, () => ({ topic, key: null, value }));
    const positions = await client.publisher().publishAll(records);
    expect(positions.map(({ offset }) => offset)).toEqual(Array.from({ length: 100 }, (_, i) => i));
  });

  it('refuses a record that is too large for its topic, and writes its neighbours once', async () => {
    const topic = await createTopic(client, 'too-large', 2, { 'max.message.bytes': '10000' });
    const other = await createTopic(client, 'neighbour', 1);
    const publisher = client.publisher();
    const results = await Promise.allSettled([
      ...Array.from({ length: 20 }, (_, i) =>
        publisher.publish({ topic, key: null, partition: i % 2, value: i === 7 ? Buffer.alloc(20_000) : String(i) }),
      ),
      publisher.publish({ topic: other, key: null, value: 'other' }),
    ]);
    const refused = results.flatMap((result, i) => (result.status === 'rejected' ? [[i, result.reason.code]] : []));
    expect(refused).toEqual([[7, 'RECORD_TOO_LARGE']]);
    const written = (await readAll(client, topic, 2)).map(({ value }) => Number(value));
    expect(written.toSorted((a, b) => a - b)).toEqual([...Array(20).keys()].filter((i) => i !== 7));
    expect(await readAll(client, other, 1)).toHaveLength(1);
  });

  it('refuses a record above its own limit without asking a broker', async () => {
    const publisher = client.publisher({ maxRecordBytes: 1000 });
    await expect(publisher.publish({ topic: 'any', key: null, value: Buffer.alloc(1001) })).rejects.toMatchObject({
      code: 'RECORD_TOO_LARGE',
      retryable: false,
    });
  });

  it('refuses a record without a key on a compacted topic, and writes its neighbours', async () => {
    const topic = await createTopic(client, 'keyless', 1, { 'cleanup.policy': 'compact' });
    const publisher = client.publisher();
    const results = await Promise.allSettled([
      publisher.publish({ topic, key: 'a', value: '1' }),
      publisher.publish({ topic, key: null, value: '2' }),
      publisher.publish({ topic, key: 'c', value: '3' }),
    ]);
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    expect((results[1] as PromiseRejectedResult).reason).toMatchObject({ code: 'RECORD_INVALID' });
  });

  it('does not let a topic that does not exist hold up the others', async () => {
    const topic = await createTopic(client, 'exists', 1);
    const publisher = client.publisher();
    const missing = publisher.publish({ topic: uniqueTopic('missing'), key: null, value: 'x' }, 3_000);
    const missingResult = expect(missing).rejects.toMatchObject({ code: 'KAFKA_UNAVAILABLE' });
    const startedMs = Date.now();
    await publisher.publish({ topic, key: null, value: 'y' });
    expect(Date.now() - startedMs).toBeLessThan(2_500);
    await missingResult;
  });

  it('rejects what does not fit into its queue with PUBLISHER_FULL, and accepts again later', async () => {
    const topic = await createTopic(client, 'full', 1);
    const publisher = client.publisher({ maxQueueBytes: 10_000 });
    const first = publisher.publish({ topic, key: null, value: Buffer.alloc(9_000) });
    await expect(publisher.publish({ topic, key: null, value: Buffer.alloc(9_000) })).rejects.toMatchObject({
      code: 'PUBLISHER_FULL',
      retryable: true,
    });
    await first;
    expect(publisher.pendingBytes).toBe(0);
    await publisher.publish({ topic, key: null, value: Buffer.alloc(9_000) });
  });

  it('writes what it has accepted before it closes, and refuses afterwards', async () => {
    const topic = await createTopic(client, 'close', 1);
    const own = clientForTests();
    const publisher = own.publisher();
    const accepted = publisher.publish({ topic, key: null, value: 'last' });
    await own.close();
    expect((await accepted).offset).toBe(0);
    await expect(publisher.publish({ topic, key: null, value: 'late' })).rejects.toMatchObject({
      code: 'PUBLISHER_CLOSED',
    });
  });
});

describe('publisher and log reader in an outage', () => {
  it('lose nothing and keep the order when the broker is killed and comes back, and reject at a deadline', async () => {
    const broker = await RestartableBroker.start();
    const own = clientForTests(broker.brokers);
    try {
      const topic = await createTopic(own, 'outage', 2);
      const seen: number[][] = [[], []];
      const reader = own.logReader({
        topic,
        partitions: [0, 1],
        from: new Map([[0, 0 as Offset]]),
        onBatch: async ({ partition, records }) =>
          void seen[partition]!.push(...records.map(({ value }) => Number(value))),
        onFatal: (error) => {
          throw error;
        },
      });
      await reader.start();
      const publisher = own.publisher();
      const acknowledged: Promise<unknown>[] = [];
      let published = 0;
      const publishSome = async (count: number) => {
        for (let i = 0; i < count; i++, published++) {
          acknowledged.push(
            publisher.publish({ topic, key: null, partition: published % 2, value: String(published) }),
          );
          if (i % 5 === 0) await pause(5);
        }
      };
      await publishSome(500);
      const killed = broker.kill9();
      await publishSome(300);
      await killed;
      await expect(publisher.publish({ topic, key: 'http', value: 'x' }, 500)).rejects.toMatchObject({
        code: 'KAFKA_UNAVAILABLE',
        retryable: true,
      });
      await pause(2_000);
      const restarted = broker.start();
      await publishSome(300);
      await restarted;
      await Promise.all(acknowledged);
      await pause(1_500);
      await reader.close();
      for (const partition of [0, 1]) {
        // A write whose acknowledgement was lost with the broker is written again, as a run; what counts is that the
        // first appearances are complete and in order.
        const first = [...new Set(seen[partition])];
        expect(first).toEqual(Array.from({ length: published / 2 }, (_, i) => i * 2 + partition));
      }
    } finally {
      await own.close();
      await broker.dispose();
    }
  }, 120_000);
});
