import { getEventListeners } from 'node:events';
import kafkajs, { type Consumer } from 'kafkajs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  brokersForTests,
  clientForTests,
  createTopic,
  eventually,
  silentLog,
  uniqueTopic,
} from '#testkit/kafka-test-helpers.js';
import { RestartableBroker } from '#testkit/restartable-broker.js';
import { pause } from './backoff.js';
import { freePort } from './free-port.js';
import type { GroupBatch, GroupConsumer, GroupConsumerOptions } from './group-consumer.js';
import type { KafkaClient } from './kafka-client.js';

let client: KafkaClient;
beforeAll(() => {
  client = clientForTests();
});
afterAll(() => client.close());

type Given = Partial<GroupConsumerOptions> & Pick<GroupConsumerOptions, 'groupId' | 'topics'>;

function consume(
  given: Given,
  of: KafkaClient = client,
): { consumer: GroupConsumer; values: string[]; fatal: unknown[] } {
  const values: string[] = [];
  const fatal: unknown[] = [];
  const consumer = of.groupConsumer({
    sessionTimeoutMs: 2_000,
    onBatch: async ({ records }) => void values.push(...records.map(({ value }) => String(value))),
    onFatal: (error) => void fatal.push(error),
    ...given,
  });
  consumer.start();
  return { consumer, values, fatal };
}

function numbered(topic: string, from: number, to: number) {
  return Array.from({ length: to - from }, (_, i) => ({ topic, key: `key-${from + i}`, value: String(from + i) }));
}

const sorted = (values: readonly string[]) => [...new Set(values)].map(Number).sort((a, b) => a - b);
const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);

describe('group consumer', () => {
  it('goes on after the last handled record when it is started again', async () => {
    const topic = await createTopic(client, 'again', 2);
    const groupId = uniqueTopic('group');
    const publisher = client.publisher();
    await publisher.publishAll(numbered(topic, 0, 50));
    const first = consume({ groupId, topics: [topic] });
    await eventually(() => expect(first.values).toHaveLength(50));
    expect([...first.consumer.lagRecords().values()]).toEqual([0, 0]);
    await first.consumer.close();
    await publisher.publishAll(numbered(topic, 50, 80));
    const second = consume({ groupId, topics: [topic] });
    await eventually(() => expect(second.values).toHaveLength(30));
    await pause(300);
    expect(sorted(second.values)).toEqual(range(50, 80));
    await second.consumer.close();
  });

  it('shares the partitions with a second member, and takes them all over when that leaves', async () => {
    const topic = await createTopic(client, 'share', 4);
    const groupId = uniqueTopic('group');
    const assigned: number[][] = [[], []];
    const member = (index: number) =>
      consume({ groupId, topics: [topic], onAssigned: (assignment) => void assigned[index]!.push(assignment.length) });
    const first = member(0);
    await eventually(() => expect(assigned[0]!.at(-1)).toBe(4));
    const second = member(1);
    await eventually(() => expect([assigned[0]!.at(-1), assigned[1]!.at(-1)]).toEqual([2, 2]));
    const publisher = client.publisher();
    await publisher.publishAll(numbered(topic, 0, 40));
    await eventually(() => expect(sorted([...first.values, ...second.values])).toEqual(range(0, 40)));
    const leftMs = Date.now();
    await second.consumer.close();
    await eventually(() => expect(assigned[0]!.at(-1)).toBe(4));
    expect(Date.now() - leftMs).toBeLessThan(10_000);
    await publisher.publishAll(numbered(topic, 40, 80));
    await eventually(() => expect(sorted([...first.values, ...second.values])).toEqual(range(0, 80)));
    await first.consumer.close();
  });

  it('stores nothing for a handler that ends after its partition was taken away', async () => {
    const topic = await createTopic(client, 'fence', 1);
    const groupId = uniqueTopic('group');
    await client.publisher().publishAll(numbered(topic, 0, 5));
    const held: GroupBatch[] = [];
    let release!: () => void;
    const released = new Promise<void>((resolve) => (release = resolve));
    const revokedGenerations: number[] = [];
    const slow = consume({
      groupId,
      topics: [topic],
      onBatch: async (batch) => {
        held.push(batch);
        await released;
      },
      onRevoked: (_, generation) => void revokedGenerations.push(generation),
    });
    await eventually(() => expect(held).toHaveLength(1));
    const closing = slow.consumer.close();
    expect(await eventually(() => (expect(held[0]!.signal.aborted).toBe(true), true))).toBe(true);
    // The handler "succeeds", but too late to count.
    release();
    await closing;
    expect(revokedGenerations).toEqual([held[0]!.generation]);
    const heir = consume({ groupId, topics: [topic] });
    await eventually(() => expect(sorted(heir.values)).toEqual(range(0, 5)));
    await heir.consumer.close();
  });

  it('tells a running handler when another member joins, and the two together handle everything', async () => {
    const topic = await createTopic(client, 'rebalance', 2);
    const groupId = uniqueTopic('group');
    await client.publisher().publishAll(numbered(topic, 0, 20));
    let aborted = 0;
    const values: string[] = [];
    const onBatch = async ({ records, signal }: GroupBatch) => {
      for (const { value } of records) {
        await pause(300, signal);
        if (signal.aborted) {
          aborted++;
          return;
        }
        values.push(String(value));
      }
    };
    const first = consume({ groupId, topics: [topic], onBatch });
    await eventually(() => expect(values.length).toBeGreaterThan(0));
    const second = consume({ groupId, topics: [topic], onBatch });
    await eventually(() => expect(aborted).toBeGreaterThan(0));
    await eventually(() => expect(sorted(values)).toEqual(range(0, 20)), { timeoutMs: 40_000 });
    await Promise.all([first.consumer.close(), second.consumer.close()]);
  });

  it('keeps its membership while a handler works for longer than the session', async () => {
    const topic = await createTopic(client, 'long', 1);
    const groupId = uniqueTopic('group');
    await client.publisher().publishAll(numbered(topic, 0, 3));
    let calls = 0;
    const { consumer } = consume({
      groupId,
      topics: [topic],
      sessionTimeoutMs: 1_500,
      onBatch: async () => {
        calls++;
        await pause(5_000);
      },
    });
    await eventually(() => expect([...consumer.lagRecords().values()]).toEqual([0]), { timeoutMs: 30_000 });
    expect([calls, consumer.currentGeneration]).toEqual([1, 1]);
    await consumer.close();
  });

  it('lets go of each batch when it is handled, however long the generation lasts', async () => {
    const topic = await createTopic(client, 'let-go', 1);
    const signals = new Set<AbortSignal>();
    let batches = 0;
    const { consumer } = consume({
      groupId: uniqueTopic('group'),
      topics: [topic],
      onBatch: async ({ signal }) => {
        signals.add(signal);
        batches++;
      },
    });
    const publisher = client.publisher();
    for (let i = 0; i < 5; i++) {
      await publisher.publishAll(numbered(topic, i, i + 1));
      await eventually(() => expect(batches).toBe(i + 1));
    }
    // What waits for the generation's end would hold its batch until then.
    await eventually(() =>
      expect([...signals].map((signal) => getEventListeners(signal, 'abort').length)).toEqual([0]),
    );
    await consumer.close();
  });

  it('hands nothing over while it is paused, and everything afterwards', async () => {
    const topic = await createTopic(client, 'pause', 1);
    const { consumer, values } = consume({ groupId: uniqueTopic('group'), topics: [topic] });
    await eventually(() => expect(consumer.currentGeneration).toBe(1));
    consumer.pause();
    await pause(600);
    await client.publisher().publishAll(numbered(topic, 0, 5));
    await pause(1_500);
    expect(values).toEqual([]);
    consumer.resume();
    await eventually(() => expect(values).toHaveLength(5));
    await consumer.close();
  });

  it('stores how far a handler has come when its partition is taken away in the middle of a batch', async () => {
    const topic = await createTopic(client, 'middle', 1);
    const groupId = uniqueTopic('group');
    await client.publisher().publishAll(numbered(topic, 0, 10));
    const reached = Promise.withResolvers<void>();
    const slow = consume({
      groupId,
      topics: [topic],
      onBatch: async ({ records, signal, handledTo }) => {
        handledTo(records[0]!.offset + 4);
        reached.resolve();
        await pause(60_000, signal);
        // Too late to count.
        handledTo(records.at(-1)!.offset + 1);
      },
    });
    await reached.promise;
    await slow.consumer.close();
    const heir = consume({ groupId, topics: [topic] });
    await eventually(() => expect(heir.values).toHaveLength(6));
    expect(sorted(heir.values)).toEqual(range(4, 10));
    await heir.consumer.close();
  });

  it('goes on with the other partitions while a handler waits, and with its own afterwards, in order and once', async () => {
    const topic = await createTopic(client, 'held', 2);
    const waits = Promise.withResolvers<void>();
    const seen: [partition: number, value: string][] = [];
    const { consumer } = consume({
      groupId: uniqueTopic('group'),
      topics: [topic],
      partitionsConsumedConcurrently: 2,
      onBatch: async ({ partition, records }) => {
        if (partition === 0) await waits.promise;
        for (const { value } of records) seen.push([partition, String(value)]);
      },
    });
    const publisher = client.publisher();
    const put = (partition: number, value: string) => publisher.publish({ topic, partition, key: 'k', value });
    await put(0, 'first');
    await eventually(() => expect(consumer.currentGeneration).toBe(1));
    // Longer than a handler may hold up the others; what comes after it waits for it, and nothing else does.
    for (let i = 0; i < 6; i++) {
      await pause(600);
      await Promise.all([put(0, `held ${i}`), put(1, `other ${i}`)]);
    }
    const others = Array.from({ length: 6 }, (_, i) => [1, `other ${i}`]);
    await eventually(() => expect(seen).toEqual(others));
    consumer.pause();
    consumer.resume();
    await pause(600);
    expect(seen).toEqual(others);
    waits.resolve();
    const held = ['first', ...Array.from({ length: 6 }, (_, i) => `held ${i}`)].map((value) => [0, value]);
    await eventually(() => expect(seen.filter(([partition]) => partition === 0)).toEqual(held));
    expect([...consumer.lagRecords().values()]).toEqual([0, 0]);
    await consumer.close();
  });

  it('is replaced when it only says that it is there, and is not handed what the broker has', async () => {
    const topic = await createTopic(client, 'hangs', 2);
    const { consumer, values } = consume({ groupId: uniqueTopic('group'), topics: [topic], stuckAfterMs: 4_000 });
    const publisher = client.publisher();
    await publisher.publishAll(numbered(topic, 0, 10));
    await eventually(() => expect(values).toHaveLength(10));
    // As upstream 659 leaves it: a member that sends heartbeats and fetches everything but what is its own.
    const { consumer: hanging } = consumer as unknown as { consumer: Consumer };
    hanging.pause([{ topic }]);
    await publisher.publishAll(numbered(topic, 10, 20));
    await eventually(() => expect(sorted(values)).toEqual(range(0, 20)), { timeoutMs: 30_000 });
    expect(consumer.currentGeneration).toBeGreaterThan(1);
    await consumer.close();
  }, 40_000);

  it('is not replaced for what no reader is shown, such as the end of a transaction, nor for a handler that waits', async () => {
    const topic = await createTopic(client, 'transaction', 2);
    const values: string[] = [];
    const { consumer } = consume({
      groupId: uniqueTopic('group'),
      topics: [topic],
      stuckAfterMs: 5_000,
      onBatch: async ({ partition, records }) => {
        if (partition === 1) await pause(11_000);
        values.push(...records.map(({ value }) => String(value)));
      },
    });
    const kafka = new kafkajs.Kafka({ brokers: [brokersForTests()], logLevel: kafkajs.logLevel.NOTHING });
    const producer = kafka.producer({ transactionalId: uniqueTopic('producer'), maxInFlightRequests: 1 });
    await producer.connect();
    await client.publisher().publish({ topic, partition: 1, key: 'k', value: 'waits' });
    const transaction = await producer.transaction();
    await transaction.send({ topic, messages: [{ partition: 0, key: 'k', value: 'written' }] });
    await transaction.commit();
    await producer.disconnect();
    await eventually(() => expect(values).toEqual(['written', 'waits']));
    expect(consumer.currentGeneration).toBe(1);
    await consumer.close();
  }, 40_000);

  it('ends when a handler throws, without storing the offset, and reports it once', async () => {
    const topic = await createTopic(client, 'bug', 1);
    const groupId = uniqueTopic('group');
    await client.publisher().publishAll(numbered(topic, 0, 3));
    const bug = new TypeError('a bug');
    const failing = consume({ groupId, topics: [topic], onBatch: () => Promise.reject(bug) });
    await eventually(() => expect(failing.fatal).toEqual([bug]));
    await failing.consumer.close();
    const heir = consume({ groupId, topics: [topic] });
    await eventually(() => expect(heir.values).toHaveLength(3));
    await heir.consumer.close();
  });

  it('leaves nothing behind of an attempt that met no broker', async () => {
    const lostAttempts: unknown[] = [];
    const note = (event: string): void => void (event === 'kafka.group.restarting' && lostAttempts.push(event));
    const own = clientForTests(`127.0.0.1:${await freePort()}`, { ...silentLog, debug: note, warn: note });
    const { consumer } = consume({ groupId: 'nobody', topics: ['nothing'] }, own);
    const timersAfter = async (attempts: number): Promise<number> => {
      await eventually(() => expect(lostAttempts.length).toBeGreaterThanOrEqual(attempts), { timeoutMs: 50_000 });
      return process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length;
    };
    const before = await timersAfter(1);
    expect(await timersAfter(6)).toBeLessThan(before + 3);
    await consumer.close();
    await own.close();
  }, 90_000);

  it('goes on after the broker was killed and came back, with nothing lost', async () => {
    const broker = await RestartableBroker.start();
    const own = clientForTests(broker.brokers);
    try {
      const topic = await createTopic(own, 'outage', 2);
      const publisher = own.publisher();
      const { values } = consume({ groupId: 'outage', topics: [topic], sessionTimeoutMs: 6_000 }, own);
      await publisher.publishAll(numbered(topic, 0, 100));
      await eventually(() => expect(sorted(values)).toEqual(range(0, 100)));
      await broker.kill9();
      const later = publisher.publishAll(numbered(topic, 100, 200));
      await pause(4_000);
      await broker.start();
      await later;
      await eventually(() => expect(sorted(values)).toEqual(range(0, 200)), { timeoutMs: 60_000 });
    } finally {
      await own.close();
      await broker.dispose();
    }
  }, 150_000);
});
