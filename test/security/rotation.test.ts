/** Authority, certificates and all: exchanged under services that run. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { accessOf, topicsUsedBy } from '#contracts/access.js';
import { desiredTopics, GALLERY_QUERIES, GALLERY_REPLIES } from '#contracts/topics.js';
import { modelId } from '#domain/ids.js';
import { KafkaClient } from '#kafka/kafka-client.js';
import { clientForTests, eventually, silentLog } from '#testkit/kafka-test-helpers.js';
import { SecureBroker, type ShownBy } from '#testkit/secure-broker.js';

const USER = 'custody-index';
const topics = topicsUsedBy(
  USER,
  desiredTopics({ modelId: modelId('0123456789abcdef'), profile: 'local', replication: 1 }),
);

let broker: SecureBroker;
let admin: KafkaClient;
beforeAll(async () => {
  broker = await SecureBroker.start([USER]);
  admin = clientForTests(broker.adminBrokers);
  await admin.topicAdmin().applyTopics(topics);
  await admin.accessAdmin((principal) => `User:${principal}`).grant(accessOf(USER));
});
afterAll(async () => {
  await admin?.close();
  await broker?.dispose();
});

function clientOf(by: ShownBy): KafkaClient {
  const security = broker.security(USER, by);
  return new KafkaClient({ brokers: [broker.brokersFor(by)], clientId: USER, log: silentLog, security });
}

test('rotated certificates are used for the next connection, without a restart', async () => {
  const clients = [clientOf('password'), clientOf('certificate')];
  try {
    const reads = await Promise.all(
      clients.map(async (client) => {
        const read: string[] = [];
        const reader = client.logReader({
          topic: GALLERY_QUERIES,
          partitions: [0],
          from: 'end',
          onBatch: ({ records }) => {
            for (const { value } of records) read.push(String(value));
            return Promise.resolve();
          },
          onFatal: (error) => read.push(String(error)),
        });
        await reader.start();
        return read;
      }),
    );
    const publishers = clients.map((client) => client.publisher());
    const publish = () =>
      Promise.all(publishers.map((one) => one.publish({ topic: GALLERY_REPLIES, key: null, value: 'x' }, 120_000)));
    await publish();
    // The connections that stand go on: nothing of the broker has changed yet.
    await broker.changeAuthority();
    await publish();
    await broker.stop();
    await broker.start();
    await publish();
    await admin.publisher().publish({ topic: GALLERY_QUERIES, key: null, value: 'after' }, 120_000);
    for (const read of reads) await eventually(() => expect(read).toEqual(['after']), { timeoutMs: 60_000 });
  } finally {
    await Promise.all(clients.map((client) => client.close()));
  }
});
