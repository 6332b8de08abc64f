import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { isLogMarker } from '#contracts/log-marker.js';
import { clientForTests, eventually } from '#testkit/kafka-test-helpers.js';
import { readTopic } from '#testkit/topic-for-tests.js';
import type { KafkaClient } from './kafka-client.js';
import { LogCompaction } from './log-compaction.js';
import type { RecordLookup } from './record-lookup.js';

const SEGMENT_MS = 1_000;
let kafka: KafkaClient;
let lookup: RecordLookup;
const topic = `compaction-${randomUUID()}`;

beforeAll(async () => {
  kafka = clientForTests();
  lookup = kafka.recordLookup();
  await kafka.topicAdmin().applyTopics([
    {
      name: topic,
      partitions: 2,
      replication: 1,
      config: {
        'cleanup.policy': 'compact',
        'segment.ms': String(SEGMENT_MS),
        'max.compaction.lag.ms': '2000',
        'min.cleanable.dirty.ratio': '0.5',
        'file.delete.delay.ms': '0',
        'delete.retention.ms': '600000',
      },
    },
  ]);
});
afterAll(() => kafka.close());

it('knows that what was superseded is gone, of a partition on which nobody else writes', async () => {
  const publisher = kafka.publisher();
  const write = (key: string, value: string | null) => publisher.publish({ topic, partition: 1, key, value });
  const kept = await write('kept', 'stays');
  const old = await write('erased', 'the first');
  const late = await write('erased', 'the second');
  const tombstone = await write('erased', null);
  const compaction = new LogCompaction(publisher, lookup, () => SEGMENT_MS, '/test');
  const marker = await compaction.mark(topic, 1);
  expect(marker).toBeGreaterThan(tombstone.offset);
  expect(await compaction.isCompacted(topic, 1, marker)).toBe(false);
  await eventually(async () => expect(await compaction.isCompacted(topic, 1, marker)).toBe(true), {
    timeoutMs: 45_000,
    intervalMs: 200,
  });
  const there = [old, late, kept, tombstone].map(({ offset }) => lookup.exists(topic, 1, offset));
  expect(await Promise.all(there)).toEqual([false, false, true, true]);
  const records = (await readTopic(kafka, topic)).filter(({ headers }) => !isLogMarker(headers));
  expect(records.map(({ key, value }) => [String(key), value === null ? null : String(value)])).toEqual([
    ['kept', 'stays'],
    ['erased', null],
  ]);
  // Another process that was told the marker comes to the same.
  const other = new LogCompaction(publisher, lookup, () => SEGMENT_MS, '/test');
  expect(await other.isCompacted(topic, 1, marker)).toBe(true);
});

it('does not take an offset that the log has not reached for one that is gone', async () => {
  const { offset } = await kafka.publisher().publish({ topic, partition: 0, key: 'k', value: 'v' });
  expect(await lookup.exists(topic, 0, offset)).toBe(true);
  await expect(lookup.exists(topic, 0, (offset + 1) as typeof offset)).rejects.toThrow('another log');
});
