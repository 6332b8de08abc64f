/**
 * What every client under the port keeps, whichever library it is made of: {@link KafkaClient} and what it opens. The
 * tests of the parts belong to it and take their client from the same place (`clientForTests`), so that another one is put
 * under all of them at once:
 *
 * - `publisher.int.test.ts`: order per partition, bytes of a request and a batch, a produce request that fails in part,
 *   binary values and tombstones, an outage, the end of a publisher;
 * - `log-reader.int.test.ts`: reading on from an offset, gaps of compaction and transactions, offsets that do not exist,
 *   back-pressure, how far it has read;
 * - `group-consumer.int.test.ts`: members that come, go and hang, handlers that are late, pause, outage;
 * - `topic-admin.int.test.ts`; `kafka-security.int.test.ts`;
 * - `npm run test:faults`: what only three brokers can show, such as an acknowledgement of all replicas.
 *
 * Here is the rest: what a broker and other clients put in a log, and what goes across the parts.
 */
import kafkajs, { type Message } from 'kafkajs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Offset } from '#domain/ids.js';
import { brokersForTests, createTopic, eventually, uniqueTopic } from '#testkit/kafka-test-helpers.js';
import { readTopic } from '#testkit/topic-for-tests.js';
import type { KafkaClient } from './kafka-client.js';
import type { KafkaRecord } from './kafka-record.js';
import type { LogReaderOptions } from './log-reader.js';

/** Of Kafka's own tests (UtilsTest.testMurmur2), the hash as the Java client has it. */
const MURMUR2: Readonly<Record<string, number>> = {
  '21': -973932308,
  foobar: -790332482,
  'a-little-bit-long-string': -985981536,
  'a-little-bit-longer-string': -1486304829,
  lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8: -58897971,
};
const IMAGE_BYTES_MAX = 8 * 1024 * 1024;
const values = (records: readonly KafkaRecord[]) => records.map(({ value }) => String(value));

/** Another system's client, in place of the many that write to the topics. */
async function asAnother<T>(use: (kafka: InstanceType<typeof kafkajs.Kafka>) => Promise<T>): Promise<T> {
  return use(new kafkajs.Kafka({ brokers: [brokersForTests()], logLevel: kafkajs.logLevel.NOTHING }));
}

async function writtenByAnother(topic: string, messages: Message[]): Promise<void> {
  await asAnother(async (kafka) => {
    const producer = kafka.producer();
    await producer.connect();
    await producer.send({ topic, messages });
    await producer.disconnect();
  });
}

/** @param open a client of the broker of the tests; it is closed by them */
export function testKafkaPort(name: string, open: () => KafkaClient): void {
  describe(`${name} as a port to Kafka`, () => {
    let client: KafkaClient;
    beforeAll(() => {
      client = open();
    });
    afterAll(() => client.close());

    const reading = (options: Pick<LogReaderOptions, 'topic'> & Partial<LogReaderOptions>) => {
      const records: KafkaRecord[] = [];
      const fatal: unknown[] = [];
      const reader = client.logReader({
        partitions: [0],
        from: 'beginning',
        onBatch: async (batch) => void records.push(...batch.records),
        onFatal: (error) => void fatal.push(error),
        ...options,
      });
      return { reader, records, fatal };
    };
    const consuming = (topics: readonly string[], onRecords: (records: readonly KafkaRecord[]) => Promise<void>) => {
      const groupId = uniqueTopic('group');
      const fatal: unknown[] = [];
      const consumer = client.groupConsumer({
        groupId,
        topics,
        sessionTimeoutMs: 2_000,
        onBatch: ({ records }) => onRecords(records),
        onFatal: (error) => void fatal.push(error),
      });
      consumer.start();
      return { consumer, groupId, fatal };
    };

    it('puts a key where the Java client puts it', async () => {
      const partitions = 7;
      const topic = await createTopic(client, 'murmur2', partitions);
      const keys = Object.keys(MURMUR2);
      const positions = await client.publisher().publishAll(keys.map((key) => ({ topic, key, value: '' })));
      expect(positions.map(({ partition }) => partition)).toEqual(
        keys.map((key) => (MURMUR2[key]! & 0x7fffffff) % partitions),
      );
    });

    it('refuses a partition that does not exist, and leaves the others alone', async () => {
      const topic = await createTopic(client, 'partitions', 2);
      const publisher = client.publisher();
      const [missing, there] = await Promise.allSettled(
        [2, 1].map((partition) => publisher.publish({ topic, key: null, partition, value: 'x' })),
      );
      expect(missing).toMatchObject({ status: 'rejected', reason: { code: 'PARTITION_MISSING', retryable: false } });
      expect(there).toMatchObject({ status: 'fulfilled', value: { partition: 1, offset: 0 } });
    });

    it('reads headers that are repeated, empty, none at all, or no text, the same for every reader', async () => {
      const topic = await createTopic(client, 'headers');
      const headers = {
        text: 'ä',
        repeated: ['first', 'last'],
        empty: '',
        none: null as unknown as Buffer,
        bytes: Buffer.from([0x61, 0xff, 0x62]),
      };
      await writtenByAnother(topic, [{ key: Buffer.from([0xff]), value: Buffer.from([0, 0xff]), headers }]);
      const inGroup: KafkaRecord[] = [];
      const { consumer } = consuming([topic], async (records) => void inGroup.push(...records));
      await eventually(() => expect(inGroup).toHaveLength(1));
      await consumer.close();
      const [record] = await readTopic(client, topic);
      expect(record).toMatchObject({
        key: Buffer.from([0xff]),
        value: Buffer.from([0, 0xff]),
        headers: { text: 'ä', repeated: 'last', empty: '', bytes: 'a\ufffdb' },
      });
      expect(record!.headers).not.toHaveProperty('none');
      expect(inGroup).toEqual([record]);
    });

    it.each(['gzip', 'zstd'])('reads what a broker has compressed with %s', async (codec) => {
      const topic = await createTopic(client, codec, 1, { 'compression.type': codec });
      const sent = Array.from({ length: 50 }, (_, i) => `${i}`.repeat(i));
      await client.publisher().publishAll(sent.map((value, i) => ({ topic, key: `${i}`, value })));
      expect(values(await readTopic(client, topic))).toEqual(sent);
    });

    it('stops for good at a codec that it does not have, and says so once', async () => {
      const topic = await createTopic(client, 'snappy', 1, { 'compression.type': 'snappy' });
      await client.publisher().publish({ topic, key: 'k', value: 'x'.repeat(1_000) });
      const { reader, fatal, records } = reading({ topic });
      await expect(reader.caughtUp()).rejects.toMatchObject({ code: 'READER_STOPPED' });
      expect([fatal.length, records.length]).toEqual([1, 0]);
      await reader.close();
    });

    it('carries an image of 8 MiB to every kind of reader', async () => {
      const topic = await createTopic(client, 'large', 1, { 'max.message.bytes': String(12 * 1024 * 1024) });
      const image = Buffer.alloc(IMAGE_BYTES_MAX, 'image');
      await client.publisher().publishAll([
        { topic, key: 'a', value: image },
        { topic, key: 'b', value: 'behind it' },
      ]);
      const read = await readTopic(client, topic);
      expect(read.map(({ value }) => value!.length)).toEqual([IMAGE_BYTES_MAX, 9]);
      expect(read[0]!.value!.equals(image)).toBe(true);
      const lengths: number[] = [];
      const { consumer } = consuming([topic], async (records) => {
        for (const { value } of records) lengths.push(value!.length);
      });
      await eventually(() => expect(lengths).toEqual([IMAGE_BYTES_MAX, 9]));
      await consumer.close();
      expect((await client.recordLookup().read(topic, 0, 0 as Offset))?.value?.length).toBe(IMAGE_BYTES_MAX);
    });

    it('names an offset that the log has forgotten, with where the log begins, instead of moving', async () => {
      const topic = await createTopic(client, 'forgotten');
      await client.publisher().publishAll(Array.from({ length: 10 }, (_, i) => ({ topic, key: 'k', value: `${i}` })));
      await asAnother(async (kafka) => {
        const admin = kafka.admin();
        await admin.connect();
        await admin.fetchTopicOffsets(topic);
        await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '5' }] });
        await admin.disconnect();
      });
      const from = new Map([[0, 3 as Offset]]);
      const strict = reading({ topic, from });
      await expect(strict.reader.start()).rejects.toMatchObject({ code: 'OFFSET_OUT_OF_RANGE' });
      const asked: unknown[] = [];
      const { reader, records } = reading({
        topic,
        from,
        onOutOfRange: (...args) => {
          asked.push(args);
          return 8 as Offset;
        },
      });
      await reader.caughtUp();
      expect([asked, values(records)]).toEqual([[[0, 3, 5, 10]], ['8', '9']]);
      await reader.close();
      expect(await client.recordLookup().exists(topic, 0, 4 as Offset)).toBe(false);
      expect(await client.recordLookup().exists(topic, 0, 5 as Offset)).toBe(true);
      expect((await client.recordLookup().first(topic, 0, 7 as Offset))?.value?.toString()).toBe('7');
      expect(await client.recordLookup().first(topic, 0, 4 as Offset)).toBeUndefined();
    });

    it('waits for a topic that is yet to be made, and reads it whole', async () => {
      const topic = uniqueTopic('later');
      const { reader, records, fatal } = reading({ topic });
      const caughtUp = reader.caughtUp();
      await client.topicAdmin().applyTopics([{ name: topic, partitions: 1, replication: 1, config: {} }]);
      await client.publisher().publish({ topic, key: 'k', value: 'x' });
      await caughtUp;
      await eventually(() => expect(values(records)).toEqual(['x']));
      await reader.close();
      expect(fatal).toEqual([]);
    });

    it('stores how far a group is only after the handlers, and before it has left', async () => {
      const topic = await createTopic(client, 'stored');
      await client.publisher().publishAll(Array.from({ length: 4 }, (_, i) => ({ topic, key: 'k', value: `${i}` })));
      const handling = Promise.withResolvers<void>();
      const released = Promise.withResolvers<void>();
      const { consumer, groupId } = consuming([topic], () => {
        handling.resolve();
        return released.promise;
      });
      await handling.promise;
      // Longer than an offset waits to be committed.
      await new Promise((resolve) => setTimeout(resolve, 1_500));
      expect(await client.topicAdmin().groupOffsets(groupId, topic)).toEqual(new Map());
      released.resolve();
      await eventually(() => expect([...consumer.lagRecords().values()]).toEqual([0]));
      await consumer.close();
      expect(await client.topicAdmin().groupOffsets(groupId, topic)).toEqual(new Map([[0, 4]]));
    });

    it('lets a handler that was running publish its result before the client is closed', async () => {
      const [source, results] = [await createTopic(client, 'source'), await createTopic(client, 'results')];
      const own = open();
      const publisher = own.publisher();
      const handling = Promise.withResolvers<void>();
      const released = Promise.withResolvers<void>();
      const consumer = own.groupConsumer({
        groupId: uniqueTopic('group'),
        topics: [source],
        onBatch: async () => {
          handling.resolve();
          await released.promise;
          await publisher.publish({ topic: results, key: 'k', value: 'done' });
        },
        onFatal: (error) => {
          throw error;
        },
      });
      consumer.start();
      await client.publisher().publish({ topic: source, key: 'k', value: 'do' });
      await handling.promise;
      const closed = own.close();
      released.resolve();
      await closed;
      expect(values(await readTopic(client, results))).toEqual(['done']);
    });
  });
}
