import kafkajs from 'kafkajs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Offset } from '#domain/ids.js';
import { brokersForTests, clientForTests, createTopic, eventually } from '#testkit/kafka-test-helpers.js';
import { pause } from './backoff.js';
import type { KafkaClient } from './kafka-client.js';
import type { LogBatch, LogReader, LogReaderOptions } from './log-reader.js';

let client: KafkaClient;
beforeAll(() => {
  client = clientForTests();
});
afterAll(() => client.close());

interface Collected {
  readonly reader: LogReader;
  readonly values: string[];
  readonly batches: LogBatch[];
  readonly fatal: unknown[];
}

function collect(topic: string, options: Partial<LogReaderOptions> = {}): Collected {
  const values: string[] = [];
  const batches: LogBatch[] = [];
  const fatal: unknown[] = [];
  const reader = client.logReader({
    topic,
    partitions: [0],
    from: 'beginning',
    onBatch: async (batch) => {
      batches.push(batch);
      values.push(...batch.records.map(({ value }) => String(value)));
    },
    onFatal: (error) => void fatal.push(error),
    ...options,
  });
  return { reader, values, batches, fatal };
}

function numbered(topic: string, count: number) {
  return Array.from({ length: count }, (_, i) => ({ topic, key: `key-${i}`, partition: 0, value: String(i) }));
}

describe('log reader', () => {
  it('reads on from the given offset, and knows how far it has read', async () => {
    const topic = await createTopic(client, 'resume');
    const publisher = client.publisher();
    await publisher.publishAll(numbered(topic, 100));
    const { reader, values } = collect(topic, { from: new Map([[0, 60 as Offset]]) });
    await reader.caughtUp();
    expect(values).toEqual(Array.from({ length: 40 }, (_, i) => String(60 + i)));
    expect(reader.progress(0)).toMatchObject({ nextOffset: 100, highWatermark: 100 });
    expect(reader.lagRecords()).toEqual(new Map([[0, 0]]));
    await publisher.publish({ topic, key: null, value: 'late' });
    await eventually(() => expect(values.at(-1)).toBe('late'));
    await reader.close();
  });

  it('misses nothing that is published after a start from the end', async () => {
    const topic = await createTopic(client, 'from-end', 3);
    const publisher = client.publisher();
    for (let round = 0; round < 10; round++) {
      await publisher.publish({ topic, key: null, value: 'before' });
      const { reader, values } = collect(topic, { from: 'end', partitions: [0, 1, 2] });
      await reader.start();
      await publisher.publishAll([0, 1, 2].map((partition) => ({ topic, key: null, partition, value: `${round}` })));
      await eventually(() => expect(values).toEqual([`${round}`, `${round}`, `${round}`]));
      await reader.close();
    }
  });

  it('is caught up at once on empty partitions', async () => {
    const topic = await createTopic(client, 'empty', 4);
    const { reader, batches } = collect(topic, { partitions: [0, 1, 2, 3] });
    await reader.caughtUp();
    expect(batches).toEqual([]);
    await reader.close();
  });

  it('passes the gaps that compaction leaves, and is caught up behind them', async () => {
    const topic = await createTopic(client, 'compacted', 1, {
      'cleanup.policy': 'compact',
      'segment.ms': '500',
      'min.cleanable.dirty.ratio': '0.01',
      'max.compaction.lag.ms': '500',
    });
    const publisher = client.publisher();
    // One batch, of which only the first record remains: its end is a gap that only the batch remembers.
    const overwritten = Array.from({ length: 400 }, (_, i) => ({
      topic,
      key: i === 0 ? 'stays' : 'goes',
      value: `${i}`,
    }));
    await publisher.publishAll(overwritten);
    await eventually(
      async () => {
        await publisher.publish({ topic, key: 'goes', value: 'marker' });
        await pause(700);
        const { reader, values } = collect(topic);
        await reader.caughtUp();
        await reader.close();
        expect(values.length).toBeLessThan(100);
      },
      { timeoutMs: 50_000 },
    );
    const { reader, values, batches } = collect(topic);
    await reader.caughtUp();
    const { high } = (await client.topicAdmin().topicOffsets(topic)).get(0)!;
    expect(reader.progress(0).nextOffset).toBe(high);
    expect(values[0]).toBe('0');
    expect(batches.length).toBeLessThan(20);
    await reader.close();
  });

  it('shows committed transactions only, and passes control records', async () => {
    const topic = await createTopic(client, 'transactions');
    const kafka = new kafkajs.Kafka({ brokers: [brokersForTests()], logLevel: kafkajs.logLevel.NOTHING });
    const producer = kafka.producer({ transactionalId: topic, maxInFlightRequests: 1, idempotent: true });
    await producer.connect();
    for (const outcome of ['commit', 'abort', 'commit', 'abort'] as const) {
      const transaction = await producer.transaction();
      await transaction.send({ topic, messages: [{ value: outcome }] });
      await transaction[outcome]();
    }
    await producer.disconnect();
    const { reader, values } = collect(topic);
    await reader.caughtUp();
    expect(values).toEqual(['commit', 'commit']);
    expect(reader.progress(0).nextOffset).toBe(8);
    await reader.close();
  });

  it('says that an offset is outside the log instead of moving silently', async () => {
    const topic = await createTopic(client, 'range');
    await client.publisher().publishAll(numbered(topic, 10));
    const beyond = collect(topic, { from: new Map([[0, 11 as Offset]]) });
    await expect(beyond.reader.start()).rejects.toMatchObject({ code: 'OFFSET_OUT_OF_RANGE' });
    const asked: unknown[] = [];
    const decided = collect(topic, {
      from: new Map([[0, 11 as Offset]]),
      onOutOfRange: (...args) => {
        asked.push(args);
        return 4 as Offset;
      },
    });
    await decided.reader.caughtUp();
    expect(asked).toEqual([[0, 11, 0, 10]]);
    expect(decided.values).toEqual(['4', '5', '6', '7', '8', '9']);
    await decided.reader.close();
  });

  it('handles one batch at a time per partition, in order, and fetches no further than two batches ahead', async () => {
    const topic = await createTopic(client, 'slow');
    const publisher = client.publisher();
    const value = Buffer.alloc(50_000, 'x');
    await publisher.publishAll(Array.from({ length: 100 }, () => ({ topic, key: null, value })));
    let running = 0;
    const offsets: number[] = [];
    let release!: () => void;
    const released = new Promise<void>((resolve) => (release = resolve));
    const { reader } = collect(topic, {
      maxBytesPerPartition: 100_000,
      onBatch: async ({ records }) => {
        expect(++running).toBe(1);
        offsets.push(...records.map(({ offset }) => offset));
        await released;
        running--;
      },
    });
    await reader.start();
    await eventually(() => expect(offsets.length).toBeGreaterThan(0));
    await pause(300);
    expect(offsets.length).toBeLessThan(40);
    expect(reader.progress(0).nextOffset).toBe(0);
    release();
    await reader.caughtUp();
    expect(offsets).toEqual(Array.from({ length: 100 }, (_, i) => i));
    await reader.close();
  });

  it('stops for good when a handler throws, and reports it once', async () => {
    const topic = await createTopic(client, 'bug');
    await client.publisher().publishAll(numbered(topic, 10));
    const bug = new TypeError('a bug');
    const { reader, fatal } = collect(topic, { onBatch: () => Promise.reject(bug) });
    await expect(reader.caughtUp()).rejects.toMatchObject({ code: 'READER_STOPPED' });
    await eventually(() => expect(fatal).toEqual([bug]));
    expect(reader.progress(0).nextOffset).toBe(0);
    await reader.close();
  });

  it('says since when a partition lacks something, also while its batch waits for a handler slot', async () => {
    const topic = await createTopic(client, 'behind', 2);
    let release!: () => void;
    const released = new Promise<void>((resolve) => (release = resolve));
    const handling: number[] = [];
    const { reader } = collect(topic, {
      partitions: [0, 1],
      concurrency: 1,
      maxWaitMs: 1_000,
      onBatch: async ({ partition }) => {
        handling.push(partition);
        await released;
      },
    });
    await reader.caughtUp();
    expect([0, 1].map((partition) => reader.progress(partition).behindSinceMs)).toEqual([undefined, undefined]);
    const publisher = client.publisher();
    const publishedAtMs = Date.now();
    await publisher.publish({ topic, key: null, partition: 0, value: 'first' });
    await eventually(() => expect(handling).toEqual([0]));
    await publisher.publish({ topic, key: null, partition: 1, value: 'second' });
    await pause(2_000);
    expect(handling).toEqual([0]);
    const nowMs = Date.now();
    for (const partition of [0, 1]) {
      const { behindSinceMs, answeredAtMs } = reader.progress(partition);
      expect(behindSinceMs).toBeLessThan(nowMs - 1_500);
      // At most a long poll before the record was there.
      expect(behindSinceMs).toBeGreaterThan(publishedAtMs - 1_000);
      // A long poll takes a second, and on a busy machine another one may be late.
      expect(answeredAtMs).toBeGreaterThan(nowMs - 2_000);
    }
    release();
    await eventually(() => {
      for (const partition of [0, 1]) expect(reader.progress(partition).behindSinceMs).toBeUndefined();
    });
    expect(reader.nextOffsets()).toEqual(
      new Map([
        [0, 1],
        [1, 1],
      ]),
    );
    await reader.close();
  });

  it('hands a record over within some milliseconds of its publication', async () => {
    const topic = await createTopic(client, 'latency');
    const publisher = client.publisher();
    let arrived = () => {};
    const { reader } = collect(topic, { from: 'end', onBatch: async () => arrived() });
    await reader.start();
    const latenciesMs: number[] = [];
    for (let i = 0; i < 200; i++) {
      const startedMs = performance.now();
      const arrival = new Promise<void>((resolve) => (arrived = resolve));
      await publisher.publish({ topic, key: null, value: Buffer.alloc(2_000) });
      await arrival;
      latenciesMs.push(performance.now() - startedMs);
    }
    latenciesMs.sort((a, b) => a - b);
    console.log('publish to handler, ms: p50', latenciesMs[100]!.toFixed(1), 'p99', latenciesMs[198]!.toFixed(1));
    // Far below the 500 ms of the long poll, which is what a missed wake-up would cost.
    expect(latenciesMs[100]).toBeLessThan(100);
    await reader.close();
  });

  it('is closed at once, also while a broker holds its poll', async () => {
    const topic = await createTopic(client, 'held');
    // Longer than this test may take.
    const { reader, fatal } = collect(topic, { maxWaitMs: 120_000 });
    await reader.caughtUp();
    await pause(200);
    await reader.close();
    expect(fatal).toEqual([]);
  });
});
