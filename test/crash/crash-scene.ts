/** One long-lived broker with the gallery's topics, and a folder for everything that the index processes keep. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ensureLocalKeys, signLocalToken } from '../../apps/cli/src/local-keys.js';
import { desiredTopics } from '#contracts/topics.js';
import type { ModelId } from '#domain/ids.js';
import { loadModelPack } from '#face/model-pack.js';
import { freePort } from '#kafka/free-port.js';
import { KafkaClient } from '#kafka/kafka-client.js';
import { resolveKafkaJars } from '#kafka/local-broker-jars.js';
import { LocalBroker } from '#kafka/local-broker.js';
import { cacheFolder } from '#platform/cache-folder.js';
import { readSettings } from '#platform/settings.js';
import { silentLog } from '#testkit/kafka-test-helpers.js';

export interface GalleryScene {
  readonly folder: string;
  readonly kafka: KafkaClient;
  readonly model: { readonly modelId: ModelId; readonly dimension: number };
  /** Of an index process, besides its place. */
  readonly environment: Readonly<Record<string, string>>;
  /** Role service. */
  readonly token: string;
  close(): Promise<void>;
}

/** @param settings of the index processes */
export async function openGalleryScene(
  packFolder: string,
  settings: Readonly<Record<string, string>>,
): Promise<GalleryScene> {
  const { modelId, manifest } = await loadModelPack(packFolder);
  const { dimension } = manifest.embedder;
  const folder = await mkdtemp(join(tmpdir(), 'custody-crash-'));
  const jarsFolder = await resolveKafkaJars(cacheFolder());
  const broker = await LocalBroker.start({ dataFolder: join(folder, 'kafka'), port: await freePort(), jarsFolder });
  const kafka = new KafkaClient({ brokers: [broker.brokers], clientId: 'crash', log: silentLog });
  const close = async (): Promise<void> => {
    await kafka.close();
    await broker.stop();
    await rm(folder, { recursive: true, force: true });
  };
  try {
    await kafka.topicAdmin().applyTopics(desiredTopics({ modelId, profile: 'local', replication: 1 }));
    const environment = {
      DATA_DIR: folder,
      KAFKA_BROKERS: broker.brokers,
      MODEL_PACK_DIR: packFolder,
      // Loading the code is most of a start, and no part of what is looked at.
      NODE_COMPILE_CACHE: join(folder, 'compiled'),
      ...settings,
    };
    const read = readSettings(environment);
    await ensureLocalKeys(read);
    return {
      folder,
      kafka,
      model: { modelId, dimension },
      environment,
      token: await signLocalToken(read, ['service'], 'crash'),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}
