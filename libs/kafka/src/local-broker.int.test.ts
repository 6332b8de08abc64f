import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cacheFolder } from '#platform/cache-folder.js';
import { clientForTests, createTopic } from '#testkit/kafka-test-helpers.js';
import { freePort } from './free-port.js';
import { resolveKafkaJars } from './local-broker-jars.js';
import { LocalBroker } from './local-broker.js';

let dataFolder: string;
let jarsFolder: string;
beforeAll(async () => {
  jarsFolder = await resolveKafkaJars(cacheFolder());
  dataFolder = await mkdtemp(join(tmpdir(), 'custody-kafka-'));
});
afterAll(() => rm(dataFolder, { recursive: true, force: true }));

describe('local broker', () => {
  it('finds its topics and records again after a restart, and says when it has ended', async () => {
    const port = await freePort();
    const first = await LocalBroker.start({ dataFolder, port, jarsFolder });
    const client = clientForTests(first.brokers);
    const topic = await createTopic(client, 'kept');
    await client.publisher().publish({ topic, key: 'a', value: 'b' });
    await client.close();
    const ended: unknown[] = [];
    first.onExit((...how) => ended.push(how));
    await first.stop();
    expect(ended).toHaveLength(1);

    const second = await LocalBroker.start({ dataFolder, port, jarsFolder });
    try {
      const again = clientForTests(second.brokers);
      expect((await again.topicAdmin().topicOffsets(topic)).get(0)).toEqual({ low: 0, high: 1 });
      await again.close();
    } finally {
      await second.kill9();
    }
    expect(() => process.kill(second.pid, 0)).toThrow();
  }, 150_000);

  it('names the port that is taken, and the variable that changes it', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    await expect(LocalBroker.start({ dataFolder, port, jarsFolder })).rejects.toMatchObject({
      code: 'PORT_IN_USE',
      publicText: `Port ${port} is in use: stop what uses it, or set KAFKA_PORT to another port.`,
    });
    await new Promise((resolve) => server.close(resolve));
  });

  it('says what the broker complained of when it does not start', async () => {
    const started = LocalBroker.start({
      dataFolder,
      port: await freePort(),
      jarsFolder,
      config: { 'process.roles': 'nonsense' },
    });
    await expect(started).rejects.toMatchObject({
      code: 'BROKER_NOT_STARTED',
      message: expect.stringMatching(/nonsense|ConfigException/),
    });
  }, 60_000);
});
