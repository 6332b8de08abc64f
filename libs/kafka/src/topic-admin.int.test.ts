import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { clientForTests, uniqueTopic } from '#testkit/kafka-test-helpers.js';
import type { KafkaClient } from './kafka-client.js';

let client: KafkaClient;
beforeAll(() => {
  client = clientForTests();
});
afterAll(() => client.close());

describe('topic admin', () => {
  it('creates what is missing, ready to be written to, and leaves the rest alone', async () => {
    const admin = client.topicAdmin();
    const topic = {
      name: uniqueTopic('made'),
      partitions: 24,
      replication: 1,
      config: { 'cleanup.policy': 'compact,delete' },
    };
    expect((await admin.checkTopics([topic])).differing).toEqual([
      { topic: topic.name, setting: 'topic', wanted: '24 partitions', found: 'missing' },
    ]);
    expect(await admin.applyTopics([topic])).toEqual({
      created: [topic.name],
      altered: [],
      unchanged: [],
      differing: [],
    });
    expect((await admin.topicOffsets(topic.name)).size).toBe(24);
    await client.publisher().publish({ topic: topic.name, key: 'a', value: 'b' }, 1_000);
    expect(await admin.applyTopics([topic])).toEqual({
      created: [],
      altered: [],
      unchanged: [topic.name],
      differing: [],
    });
  });

  it('knows the cluster by an id of its own, the same each time', async () => {
    const clusterId = await client.topicAdmin().clusterId();
    expect(clusterId).toMatch(/^[\w-]{22}$/);
    expect(await client.topicAdmin().clusterId()).toBe(clusterId);
  });

  it('reports differing settings, alters them only when asked, keeps the others, and never grows a topic', async () => {
    const admin = client.topicAdmin();
    const name = uniqueTopic('differs');
    const config = { 'retention.ms': '60000', 'segment.ms': '10000' };
    await admin.applyTopics([{ name, partitions: 2, replication: 1, config }]);
    const wanted = { name, partitions: 3, replication: 1, config: { 'retention.ms': '120000' } };
    const grown = { topic: name, setting: 'partitions', wanted: '3', found: '2' };
    const longer = { topic: name, setting: 'retention.ms', wanted: '120000', found: '60000' };
    expect((await admin.applyTopics([wanted])).differing).toEqual([grown, longer]);
    expect(await admin.applyTopics([wanted], true)).toEqual({
      created: [],
      altered: [name],
      unchanged: [],
      differing: [grown],
    });
    expect(
      (await admin.checkTopics([{ ...wanted, partitions: 2, config: { ...wanted.config, 'segment.ms': '10000' } }]))
        .differing,
    ).toEqual([]);
    expect((await admin.topicOffsets(name)).size).toBe(2);
  });

  it('names the topic and the reason when a broker refuses it', async () => {
    const name = uniqueTopic('refused');
    const refused = client.topicAdmin().applyTopics([{ name, partitions: 1, replication: 3, config: {} }]);
    await expect(refused).rejects.toMatchObject({
      code: 'TOPIC_CHANGE_FAILED',
      publicText: expect.stringMatching(new RegExp(`${name}: .*[Rr]eplication`)),
    });
  });

  it('can be run by several services at the same moment', async () => {
    const topic = { name: uniqueTopic('race'), partitions: 3, replication: 1, config: {} };
    const reports = await Promise.all([1, 2, 3].map(() => client.topicAdmin().applyTopics([topic])));
    expect(reports.flatMap(({ differing }) => differing)).toEqual([]);
  });
});
