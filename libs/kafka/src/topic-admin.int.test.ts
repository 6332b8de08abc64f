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
      leftAlone: [],
    });
    expect((await admin.topicOffsets(topic.name)).size).toBe(24);
    await client.publisher().publish({ topic: topic.name, key: 'a', value: 'b' }, 1_000);
    expect(await admin.applyTopics([topic])).toEqual({
      created: [],
      altered: [],
      unchanged: [topic.name],
      differing: [],
      leftAlone: [],
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
      leftAlone: [
        {
          ...grown,
          why: 'its keys would go to other partitions',
          byHand: `none keeps the keys: make another topic with 3 partitions, and send it every record of ${name}`,
        },
      ],
    });
    expect(
      (await admin.checkTopics([{ ...wanted, partitions: 2, config: { ...wanted.config, 'segment.ms': '10000' } }]))
        .differing,
    ).toEqual([]);
    expect((await admin.topicOffsets(name)).size).toBe(2);
  });

  it('leaves alone what would lose records or refuse them, says why, and sets the rest', async () => {
    const admin = client.topicAdmin();
    const name = uniqueTopic('shrinks');
    const config = { 'retention.ms': '120000', 'max.message.bytes': '2000000', 'segment.ms': '10000' };
    await admin.applyTopics([{ name, partitions: 1, replication: 1, config }]);
    const smaller = { 'retention.ms': '60000', 'max.message.bytes': '1000000', 'segment.ms': '20000' };
    const policy = { 'cleanup.policy': 'compact' };
    const wanted = { name, partitions: 1, replication: 1, config: { ...smaller, ...policy } };
    const report = await admin.applyTopics([wanted], true);
    expect(report.altered).toEqual([name]);
    expect(report.leftAlone.map(({ setting }) => setting)).toEqual([
      'retention.ms',
      'max.message.bytes',
      'cleanup.policy',
    ]);
    expect(report.differing).toEqual(
      report.leftAlone.map(({ why: _why, byHand: _byHand, ...difference }) => difference),
    );
    const { topics } = await admin.settingsInForce([wanted]);
    expect(Object.fromEntries(topics.get(name)!)).toMatchObject({ ...config, 'segment.ms': '20000' });
  });

  it('says how large each log is, and what the brokers are set to', async () => {
    const admin = client.topicAdmin();
    const name = uniqueTopic('sized');
    const topic = { name, partitions: 2, replication: 1, config: {} };
    await admin.applyTopics([topic]);
    await client.publisher().publish({ topic: name, key: null, partition: 1, value: Buffer.alloc(100_000) });
    const sizes = (await admin.logSizes()).flat().filter((log) => log.topic === name);
    expect(sizes.find(({ partition }) => partition === 0)).toMatchObject({ sizeBytes: 0 });
    expect(sizes.find(({ partition }) => partition === 1)!.sizeBytes).toBeGreaterThan(100_000);
    const { brokers, topics } = await admin.settingsInForce([topic]);
    expect(brokers.map((settings) => settings.get('log.cleaner.backoff.ms'))).toEqual(['2000']);
    expect(topics.get(name)!.get('retention.ms')).toBe('604800000');
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
