/**
 * A real broker behind a proxy, the real services, and somebody who sends images. The broker's log is on a disk of its
 * own where that is permitted, so that it can be full.
 */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { ensureLocalKeys, signLocalToken } from '../../apps/cli/src/local-keys.js';
import { ShardAsker } from '../crash/shard-asker.js';
import { K_MAX, type GalleryReply } from '#contracts/gallery-query.js';
import { desiredTopics } from '#contracts/topics.js';
import { Refusal } from '#domain/errors.js';
import { FacePool } from '#face/face-pool.js';
import { loadModelPack } from '#face/model-pack.js';
import type { SamplePhotographs } from '#face/sample-manifest.js';
import { freePort } from '#kafka/free-port.js';
import { KafkaClient } from '#kafka/kafka-client.js';
import { resolveKafkaJars } from '#kafka/local-broker-jars.js';
import { LocalBroker } from '#kafka/local-broker.js';
import { cacheFolder } from '#platform/cache-folder.js';
import { FolderImageStore } from '#platform/folder-image-store.js';
import { AssertionSigner } from '#platform/identity.js';
import { isProcessAlive } from '#platform/process-alive.js';
import { readSettings } from '#platform/settings.js';
import { faceImage } from '#testkit/face-images-for-tests.js';
import { silentLog } from '#testkit/kafka-test-helpers.js';
import { ImageLoad } from './image-load.js';
import { ImageOracle } from './image-oracle.js';
import { LogWatch } from './log-watch.js';
import { ServiceProcess, type ServiceKind } from './service-process.js';
import { Toxiproxy } from './toxiproxy.js';

const run = promisify(execFile);

/** Log, indexes and all; what is not written takes no memory. */
const DISK_MIB = 3_072;
/** So that nothing is compacted that the oracle has yet to read. */
const NOTHING_COMPACTED = { 'min.compaction.lag.ms': '3600000', 'max.compaction.lag.ms': '3600000' };
export const INDEX_REPLICAS = ['index-a', 'index-b'] as const;
const FACE_VARIANTS = 2;

export interface FaultsScene {
  readonly folder: string;
  /** Of the broker's log; undefined where none of its own could be had. */
  readonly disk: string | undefined;
  readonly kafka: KafkaClient;
  readonly proxy: Toxiproxy;
  readonly services: readonly ServiceProcess[];
  readonly load: ImageLoad;
  readonly oracle: ImageOracle;
  readonly logs: LogWatch;
  readonly images: FolderImageStore;
  /** What each index replica says of the images of a force, by its name; those that did not answer are missing. */
  askEveryReplica(force: string): Promise<ReadonlyMap<string, GalleryReply>>;
  readonly queryUrl: string;
  /** Role officer. */
  officer(): Promise<string>;
  /** A photograph with one face. */
  readonly portrait: Buffer;
  readonly fatal: unknown[];
  ingests(): readonly ServiceProcess[];
  startBroker(): Promise<void>;
  killBroker(): Promise<void>;
  brokerIsAlive(): boolean;
  freezeBroker(): void;
  thawBroker(): void;
  close(): Promise<void>;
}

/** @returns why it cannot be had, in words, when it cannot */
export async function openFaultsScene(
  packFolder: string,
  sample: SamplePhotographs,
  random: () => number,
): Promise<FaultsScene | string> {
  const { modelId, manifest } = await loadModelPack(packFolder);
  const folder = await mkdtemp(join(tmpdir(), 'custody-faults-'));
  const jarsFolder = await resolveKafkaJars(cacheFolder());
  const brokerPort = await freePort();
  const proxy = await Toxiproxy.start(brokerPort);
  if (typeof proxy === 'string') return proxy;
  const disk = await ownDisk(join(folder, 'kafka'));
  const brokers = `127.0.0.1:${proxy.port}`;
  const config = { 'advertised.listeners': `PLAINTEXT://${brokers}`, 'group.min.session.timeout.ms': '1000' };
  let broker: LocalBroker | undefined;
  const startBroker = async (): Promise<void> => {
    broker = await LocalBroker.start({ dataFolder: join(folder, 'kafka'), port: brokerPort, jarsFolder, config });
  };
  await startBroker();
  const kafka = new KafkaClient({ brokers: [brokers], clientId: 'faults', log: silentLog });
  const topics = desiredTopics({ modelId, profile: 'local', replication: 1 });
  await kafka
    .topicAdmin()
    .applyTopics(
      topics.map((topic) =>
        'max.compaction.lag.ms' in topic.config
          ? { ...topic, config: { ...topic.config, ...NOTHING_COMPACTED } }
          : topic,
      ),
    );

  const environment = { DATA_DIR: folder, KAFKA_BROKERS: brokers, MODEL_PACK_DIR: packFolder };
  const settings = readSettings(environment);
  await ensureLocalKeys(settings);
  await mkdir(join(folder, 'logs'));
  const service = async (name: string, kind: ServiceKind): Promise<ServiceProcess> => {
    const port = await freePort();
    const own: Record<string, string> = {
      ...environment,
      [`${kind.toUpperCase()}_PORT`]: String(port),
      REPLICA_ID: name,
      INFERENCE_CONCURRENCY: '1',
      LOG_LEVEL: 'info',
      RATE_LIMIT: '10000',
      SNAPSHOT_DIR: join(folder, 'snapshots', name),
      SNAPSHOT_INTERVAL_SECONDS: '10',
      NODE_COMPILE_CACHE: join(folder, 'compiled'),
    };
    return new ServiceProcess(name, kind, own, `http://127.0.0.1:${port}`, join(folder, 'logs', `${name}.log`));
  };
  const services = [
    await service('ingest-a', 'ingest'),
    await service('ingest-b', 'ingest'),
    await service(INDEX_REPLICAS[0], 'index'),
    await service(INDEX_REPLICAS[1], 'index'),
    await service('query-a', 'query'),
  ];
  for (const one of services) one.start();

  const fatal: unknown[] = [];
  const onFatal = (error: unknown): void => void fatal.push(error);
  const oracle = new ImageOracle();
  const logs = new LogWatch(kafka, modelId, oracle, onFatal);
  await logs.start();
  const signer = await AssertionSigner.open(join(folder, 'keys', 'custody-suite.jwk.json'));
  const portraits = await faces(packFolder, sample);
  // Whoever sends keeps what the broker does not take.
  const publisher = kafka.publisher({ maxQueueBytes: 1024 * 1024 * 1024 });
  const load = new ImageLoad(publisher, signer, oracle, random, portraits);
  const replies = new Map<string, Map<string, GalleryReply>>();
  const asker = new ShardAsker(
    kafka,
    kafka.publisher(),
    modelId,
    ({ force }, reply) => replies.get(force ?? '')?.set(reply.replicaId, reply),
    onFatal,
  );
  await asker.start();
  const { dimension } = manifest.embedder;
  const probe = new Float32Array(dimension).fill(1 / Math.sqrt(dimension));
  const askEveryReplica = async (force: string): Promise<ReadonlyMap<string, GalleryReply>> => {
    const ofForce = new Map<string, GalleryReply>();
    replies.set(force, ofForce);
    await asker.ask({ probe, k: K_MAX, mode: 'exact', force }, () => INDEX_REPLICAS.map((name) => `${name}/0`));
    replies.delete(force);
    return ofForce;
  };
  await Promise.all(services.map((one) => one.untilReady()));
  return {
    folder,
    disk,
    kafka,
    proxy,
    services,
    load,
    oracle,
    logs,
    images: await FolderImageStore.open(settings.IMAGE_STORE_DIR, settings.IMAGE_STORE_KEY_FILE),
    askEveryReplica,
    queryUrl: services.at(-1)!.url,
    officer: () => signLocalToken(settings, ['officer'], 'faults-officer'),
    portrait: portraits[0]!,
    fatal,
    ingests: () => services.filter(({ kind }) => kind === 'ingest'),
    startBroker,
    killBroker: async () => broker?.kill9(),
    brokerIsAlive: () => isProcessAlive(broker!.pid),
    freezeBroker: () => process.kill(broker!.pid, 'SIGSTOP'),
    thawBroker: () => process.kill(broker!.pid, 'SIGCONT'),
    close: async () => {
      await Promise.all(services.map((one) => one.stop()));
      await asker.close();
      await logs.close();
      await kafka.close();
      await broker?.stop();
      proxy.close();
      if (disk !== undefined) await run('umount', ['-l', disk]);
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Small photographs with one face each, of which the pipeline makes templates: found out before anything is at fault. */
async function faces(packFolder: string, sample: SamplePhotographs): Promise<readonly Buffer[]> {
  const pool = await FacePool.open({ packFolder, processes: 1 });
  const good: Buffer[] = [];
  for (const face of sample.manifest.enrolled) {
    for (let variant = 0; variant < FACE_VARIANTS; variant++) {
      const bytes = await faceImage(sample, face, variant);
      const quality = await pool.process(bytes, 'largest').then(({ embedded }) => embedded.quality, refused);
      if (quality?.refusals.length === 0) good.push(bytes);
    }
  }
  await pool.close();
  return good;
}

function refused(error: unknown): undefined {
  if (!(error instanceof Refusal)) throw error;
}

/** @returns its folder; undefined where it is not permitted to mount one */
async function ownDisk(folder: string): Promise<string | undefined> {
  await mkdir(folder, { recursive: true });
  try {
    await run('mount', ['-t', 'tmpfs', '-o', `size=${DISK_MIB}m`, 'tmpfs', folder]);
    return folder;
  } catch {
    return undefined;
  }
}

/** Of a disk, in bytes. */
export async function freeBytes(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(folder);
  return bavail * bsize;
}
