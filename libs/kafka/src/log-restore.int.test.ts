import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { codeOfAsync } from '#domain/codes-for-tests.js';
import type { Offset } from '#domain/ids.js';
import { clientForTests, uniqueTopic } from '#testkit/kafka-test-helpers.js';
import { readTopic } from '#testkit/topic-for-tests.js';
import type { KafkaClient } from './kafka-client.js';
import type { LogRestore, RestoredRecord } from './log-restore.js';

const at = (n: number): Offset => n as Offset;
const LONG_AGO_MS = Date.parse('2020-02-29T12:00:00Z');

let client: KafkaClient;
let logs: LogRestore;
beforeAll(() => {
  client = clientForTests();
  logs = client.logRestore();
});
afterAll(() => client.close());

const recordOf = (key: string, value: string | null, timestampMs = LONG_AGO_MS): RestoredRecord => ({
  key: Buffer.from(key),
  value: value === null ? null : Buffer.from(value),
  headers: { ce_id: key },
  timestampMs,
});

describe('a log that is restored', () => {
  it.each([
    ['compact', {}],
    ['compact,delete', { 'message.timestamp.type': 'LogAppendTime' }],
    ['delete', { 'retention.ms': '-1' }],
  ])('with the policy %s begins and ends where it is told to, with each record as it was', async (policy, more) => {
    const topic = {
      name: uniqueTopic('restored'),
      partitions: 2,
      replication: 1,
      config: { 'cleanup.policy': policy, 'retention.ms': '-1', ...more },
    };
    await client.topicAdmin().applyTopics([topic]);
    await logs.prepare([topic]);
    // More fillers than a request has.
    const starts = new Map([
      [0, at(0)],
      [1, at(25_000)],
    ]);
    expect(await logs.begin(topic.name, starts)).toEqual(starts);
    expect((await logs.ends(topic.name, [1])).get(1)).toEqual({ low: 25_000, high: 25_000 });
    const records = [recordOf('a', 'one'), recordOf('b', null, LONG_AGO_MS + 5), recordOf('a', 'two')];
    expect(await logs.append(topic.name, 1, at(25_000), records)).toBe(25_003);
    await logs.settle([topic]);
    expect((await client.topicAdmin().checkTopics([topic])).differing).toEqual([]);
    const read = await readTopic(client, topic.name);
    expect(read.map(({ key, value, headers, timestampMs }) => ({ key, value, headers, timestampMs }))).toEqual(records);
    expect(read.map(({ offset }) => offset)).toEqual([25_000, 25_001, 25_002]);
    const next = await client.publisher().publish({ topic: topic.name, key: 'c', value: 'new', partition: 1 });
    expect(next.offset).toBe(25_003);
  });

  it('is gone on with where an interrupted run left it, and refused when somebody else has written to it', async () => {
    const topic = { name: uniqueTopic('restored'), partitions: 1, replication: 1, config: {} };
    await client.topicAdmin().applyTopics([topic]);
    await logs.prepare([topic]);
    const fillers = Array.from({ length: 10 }, () => recordOf('interrupted', null));
    await logs.append(topic.name, 0, at(0), fillers);
    const begin = (): Promise<Map<number, Offset>> => logs.begin(topic.name, new Map([[0, at(30)]]));
    expect(await begin()).toEqual(new Map([[0, 30]]));
    await logs.append(topic.name, 0, at(30), [recordOf('a', 'one')]);
    expect(await begin()).toEqual(new Map([[0, 31]]));
    expect((await logs.ends(topic.name, [0])).get(0)).toEqual({ low: 30, high: 31 });
    await client.publisher().publish({ topic: topic.name, key: 'x', value: 'by somebody else' });
    await client.publisher().publish({ topic: topic.name, key: 'x', value: 'by somebody else' });
    const late = (): Promise<Offset> => logs.append(topic.name, 0, at(31), [recordOf('b', 'two')]);
    expect(await codeOfAsync(late)).toBe('RESTORE_LOG_DIFFERS');
  });

  it('knows which groups have members, and sets how far one has come', async () => {
    const topic = { name: uniqueTopic('restored'), partitions: 1, replication: 1, config: {} };
    await client.topicAdmin().applyTopics([topic]);
    const groupId = uniqueTopic('group');
    expect(await logs.busyGroups([groupId])).toEqual([]);
    await logs.setGroupOffsets(groupId, topic.name, new Map([[0, at(0)]]));
    expect(await client.topicAdmin().groupOffsets(groupId, topic.name)).toEqual(new Map([[0, 0]]));
    expect(await logs.busyGroups([groupId])).toEqual([]);
  });
});
