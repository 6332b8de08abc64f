/**
 * One real broker for the integration tests, started before the first and stopped after the last. `TEST_KAFKA_BROKERS`
 * names a broker that is there already.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { freePort } from '#kafka/free-port.js';
import { resolveKafkaJars } from '#kafka/local-broker-jars.js';
import { LocalBroker } from '#kafka/local-broker.js';
import { cacheFolder } from '#platform/cache-folder.js';

declare module 'vitest' {
  export interface ProvidedContext {
    /** `host:port` of the broker. */
    brokers: string;
  }
}

// Vitest takes a global setup from the default export only.
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const given = process.env['TEST_KAFKA_BROKERS'];
  if (given !== undefined && given !== '') {
    project.provide('brokers', given);
    return async () => undefined;
  }
  const jarsFolder = await resolveKafkaJars(cacheFolder(), (line) => process.stderr.write(`${line}\n`));
  const dataFolder = await mkdtemp(join(tmpdir(), 'custody-kafka-'));
  const broker = await LocalBroker.start({ dataFolder, port: await freePort(), jarsFolder });
  project.provide('brokers', broker.brokers);
  return async () => {
    await broker.stop();
    await rm(dataFolder, { recursive: true, force: true });
  };
}
