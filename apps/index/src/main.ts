/** The index service: one replica of a shard of the gallery, in memory, answering queries from its log. */
import 'reflect-metadata';
import { desiredTopics } from '#contracts/topics.js';
import { describeError } from '#domain/errors.js';
import { loadModelPack } from '#face/model-pack.js';
import { diskSnapshotFs } from '#gallery/snapshot-files.js';
import { removeFormerSnapshots, workerSnapshotFolder } from '#gallery/snapshot-layout.js';
import { DispositionFollower } from '#kafka/disposition-follower.js';
import { KafkaClient } from '#kafka/kafka-client.js';
import { expectPrerequisites } from '#kafka/kafka-prerequisites.js';
import { FreedMemory } from '#platform/freed-memory.js';
import { Health } from '#platform/health.js';
import { openJwks, TokenVerifier } from '#platform/identity.js';
import { kafkaConnection } from '#platform/kafka-settings.js';
import { createLog, type Log } from '#platform/log.js';
import { IndexMetrics } from '#platform/metrics.js';
import { endBecause, serveHttp, Shutdown } from '#platform/service-process.js';
import { indexReplicaId, readSettings, type Settings } from '#platform/settings.js';
import { startTracing } from '#platform/tracing.js';
import { ErasedFiles } from './erased-files.js';
import { GalleryReplica } from './gallery-replica.js';
import { IndexModule } from './index.module.js';
import { QueryResponder } from './query-responder.js';
import { ReplicaReports } from './replica-reports.js';
import { partitionsByWorker } from './shard-layout.js';

const GAUGES_INTERVAL_MS = 5_000;
const REPLAY_PROGRESS_INTERVAL_MS = 1_000;

async function main(): Promise<void> {
  const settings = readSettings();
  const log = createLog('index', settings.LOG_LEVEL);
  const shutdown = new Shutdown(log);
  const tracing = startTracing(settings, { service: 'custody-index', instance: indexReplicaId(settings) }, log);
  shutdown.before('tracing', tracing);
  try {
    await serve(settings, log, shutdown);
  } catch (error) {
    // A replay that is stopped is not one that failed: the shutdown keeps what was read of it in a snapshot.
    if (!shutdown.begun) throw error;
    log.info('start-abandoned', { error: describeError(error) });
  }
}

async function serve(settings: Settings, log: Log, shutdown: Shutdown): Promise<void> {
  const metrics = new IndexMetrics();
  const freedMemory = new FreedMemory();
  const health = new Health(['access', 'topics', 'snapshot', 'dispositions', 'replay', 'queries']);
  const fatal = endBecause(log, 'index-failed');

  const { modelId, manifest } = await loadModelPack(settings.MODEL_PACK_DIR);
  const { dimension } = manifest.embedder;
  const kafka = new KafkaClient({ ...kafkaConnection(settings), clientId: 'custody-index', log });
  shutdown.before('kafka', () => kafka.close());
  const publisher = kafka.publisher();
  const tokens = new TokenVerifier(await openJwks(settings.AUTH_JWKS), settings.AUTH_ISSUER, settings.AUTH_AUDIENCE);

  const { SHARDS: shards, SHARD: shard, WORKERS: workers } = settings;
  const replica = new GalleryReplica(
    kafka,
    publisher,
    { modelId, dimension, shard, onErasedRead: () => freedMemory.forgetSoon() },
    metrics,
    log,
    fatal,
  );
  const replicaId = indexReplicaId(settings);
  const { url, stop } = await serveHttp(IndexModule.for({ health, metrics, tokens, replica }), {
    host: settings.HOST,
    port: settings.INDEX_PORT,
    portSetting: 'INDEX_PORT',
    log,
  });
  log.info('listening', { url, modelId, shard, shards, workers });

  await expectPrerequisites(
    kafka,
    'custody-index',
    desiredTopics({ modelId, profile: settings.TOPIC_PROFILE, replication: settings.KAFKA_REPLICATION }),
    log,
    (missing) => health.holds('access', missing),
  );
  health.fulfilled('topics');

  const dispositions = new DispositionFollower(kafka, log, fatal, (changes) => replica.applyDispositions(changes));
  dispositions.onChange((changes) => freedMemory.noticed(changes));
  const erasedFiles = new ErasedFiles(
    replica,
    () => dispositions.nextOffsets(),
    () => reports.report(),
  );
  const reports = new ReplicaReports(
    publisher,
    { replicaId, modelId, layout: { shards, shard, workers } },
    replica,
    () => erasedFiles.destroyedThrough,
    log,
  );
  reports.start(settings.REPLICA_REPORT_SECONDS * 1000);
  shutdown.before('reports', () => reports.close());

  const former = await removeFormerSnapshots(diskSnapshotFs, settings.SNAPSHOT_DIR, modelId, workers);
  if (former.length > 0) log.warn('former-snapshots-removed', { folders: former });
  const clusterId = await kafka.topicAdmin().clusterId();
  await replica.openWorkers(
    partitionsByWorker(shards, shard, workers).map((partitions, worker) => ({
      clusterId,
      modelId,
      dimension,
      layout: { shards, shard, workers, worker },
      partitions: [...partitions],
      snapshotFolder: workerSnapshotFolder(settings.SNAPSHOT_DIR, modelId, worker, workers),
      autoExactMaxTemplates: settings.AUTO_EXACT_MAX_TEMPLATES,
      recallSampleShare: settings.RECALL_SAMPLE_SHARE,
    })),
  );
  health.fulfilled('snapshot');
  // From now on, so that neither a shutdown nor a crash loses a long replay.
  let writing: Promise<unknown> | undefined;
  const snapshots = setInterval(() => {
    // One at a time: on a slow disk they would stand in a queue, and the replay behind them.
    writing ??= replica.snapshot('timer').finally(() => (writing = undefined));
  }, settings.SNAPSHOT_INTERVAL_SECONDS * 1000);
  shutdown.before('gallery', () => {
    clearInterval(snapshots);
    return replica.close();
  });

  shutdown.before('dispositions', () => dispositions.close());
  await dispositions.start();
  health.fulfilled('dispositions');
  erasedFiles.start(fatal);
  shutdown.before('erased-files', () => erasedFiles.close());

  const watch = setInterval(() => health.progress('replay', replica.progressText()), REPLAY_PROGRESS_INTERVAL_MS);
  await replica.followLog();
  clearInterval(watch);
  health.fulfilled('replay');

  const responder = new QueryResponder(
    kafka,
    publisher,
    replica,
    { modelId, dimension, replicaId },
    metrics,
    log,
    fatal,
  );
  await responder.start();
  health.fulfilled('queries');
  reports.serving();
  log.info('ready', { modelId, shard });

  const gauges = setInterval(() => void replica.reportGauges().catch(fatal), GAUGES_INTERVAL_MS);
  await replica.reportGauges();

  shutdown.before('queries', async () => {
    clearInterval(gauges);
    await responder.close();
  });
  shutdown.before('http', () => stop(health, settings.DRAIN_SECONDS));
}

main().catch((error: unknown) => endBecause(createLog('index', 'info'), 'start-failed')(error));
