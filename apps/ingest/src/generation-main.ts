/**
 * Builds the gallery of the model in NEXT_MODEL_PACK_DIR beside that of MODEL_PACK_DIR, and keeps it up to date until it
 * is stopped. A process of its own, so that enrolment knows nothing of it and its load can be placed, limited and ended
 * apart; scaled by adding members to its group.
 */
import 'reflect-metadata';
import { setPriority } from 'node:os';
import { AuditLog } from '#audit/audit-log.js';
import { desiredTopics, galleryTemplates, generationGroup, generationTopics } from '#contracts/topics.js';
import { Failure } from '#domain/errors.js';
import { FacePool } from '#face/face-pool.js';
import { loadModelPack } from '#face/model-pack.js';
import { DispositionFollower, totalLag } from '#kafka/disposition-follower.js';
import { expectPrerequisites } from '#kafka/kafka-prerequisites.js';
import { GapFollower } from '#kafka/gap-follower.js';
import { KafkaClient } from '#kafka/kafka-client.js';
import { FreedMemory } from '#platform/freed-memory.js';
import { Health } from '#platform/health.js';
import { openImageStore } from '#platform/open-image-store.js';
import { kafkaConnection } from '#platform/kafka-settings.js';
import { createLog } from '#platform/log.js';
import { IngestMetrics } from '#platform/metrics.js';
import { endBecause, serveHttp, Shutdown } from '#platform/service-process.js';
import { readSettings } from '#platform/settings.js';
import { CollectionAudit } from './collection-audit.js';
import { GENERATION_SOURCE, GenerationBuild } from './generation-build.js';
import { GenerationModule } from './generation.module.js';

/**
 * With {@link BATCH_BYTES_MAX}, what is begun again after a crash: some hundred images, a few seconds of work. Enough to
 * keep the pipeline full.
 */
const PARTITIONS_IN_FLIGHT = 4;
/** Some thirty templates. */
const BATCH_BYTES_MAX = 64 * 1024;
const PUBLISH_LINGER_MS = 25;
const IMAGES_WAITING_MAX = 1_000;
const AUDIT_DEADLINE_MS = 5_000;
const LAG_INTERVAL_MS = 5_000;
/** About a third of the share of a process that wants the same core. */
const NICENESS = 5;

async function main(): Promise<void> {
  const settings = readSettings();
  const log = createLog('generation', settings.LOG_LEVEL);
  const shutdown = new Shutdown(log);
  const metrics = new IngestMetrics();
  const freedMemory = new FreedMemory();
  const health = new Health(['access', 'topics', 'dispositions', 'consumer']);
  const fatal = endBecause(log, 'generation-failed');
  // Its face processes too: an officer's search and a new image go first on a machine that all of them share.
  setPriority(NICENESS);

  const running = await loadModelPack(settings.MODEL_PACK_DIR);
  const next = await loadModelPack(settings.NEXT_MODEL_PACK_DIR);
  if (next.modelId === running.modelId) {
    throw new Failure(
      'BAD_SETTING',
      `NEXT_MODEL_PACK_DIR=${settings.NEXT_MODEL_PACK_DIR}: it holds model ${next.modelId}, as MODEL_PACK_DIR does.`,
      false,
    );
  }
  const faces = await FacePool.open({
    packFolder: settings.NEXT_MODEL_PACK_DIR,
    processes: settings.INFERENCE_CONCURRENCY,
    waitingMax: IMAGES_WAITING_MAX,
    onProcessLost: (how) => log.error('face-process-lost', { how }),
  });
  shutdown.before('faces', () => faces.close());
  const kafka = new KafkaClient({ ...kafkaConnection(settings), clientId: 'custody-generation', log });
  shutdown.before('kafka', () => kafka.close());
  const publisher = kafka.publisher({ lingerMs: PUBLISH_LINGER_MS });
  const images = await openImageStore(settings);
  const { url, stop } = await serveHttp(GenerationModule.for(health, metrics), {
    host: settings.HOST,
    port: settings.GENERATION_PORT,
    portSetting: 'GENERATION_PORT',
    log,
  });
  log.info('listening', { url, modelId: next.modelId, from: running.modelId });

  const desired = { profile: settings.TOPIC_PROFILE, replication: settings.KAFKA_REPLICATION };
  await expectPrerequisites(
    kafka,
    'custody-generation',
    [
      ...desiredTopics({ modelId: running.modelId, ...desired }),
      ...generationTopics({ modelId: next.modelId, ...desired }),
    ],
    log,
    (missing) => health.holds('access', missing),
  );
  health.fulfilled('topics');
  const gaps = new GapFollower(kafka, log, fatal);
  await gaps.start();
  const dispositions = new DispositionFollower(kafka, log, fatal);
  dispositions.onChange((changes) => freedMemory.noticed(changes));
  await dispositions.start();
  health.fulfilled('dispositions');

  const audit = new CollectionAudit(
    new AuditLog(kafka.publisher({ deadlineMs: AUDIT_DEADLINE_MS }), GENERATION_SOURCE),
    next.modelId,
    () => faces.load.inFlight + faces.load.waiting > 0,
    log,
    { operation: 'alteration', action: 'templates-made-by-next-model', purpose: 'model-change' },
  );
  const build = new GenerationBuild(
    running.modelId,
    faces,
    images,
    publisher,
    (id) => dispositions.get(id),
    gaps,
    audit,
    metrics,
    log,
  );
  const followed = galleryTemplates(running.modelId);
  const consumer = kafka.groupConsumer({
    groupId: generationGroup(next.modelId),
    topics: [followed],
    partitionsConsumedConcurrently: PARTITIONS_IN_FLIGHT,
    maxBytesPerPartition: BATCH_BYTES_MAX,
    onBatch: (batch) => build.handleBatch(batch),
    onFatal: fatal,
  });
  consumer.start();
  health.fulfilled('consumer');
  setInterval(() => {
    metrics.consumerLagRecords.set({ topic: followed }, totalLag(consumer));
  }, LAG_INTERVAL_MS).unref();
  log.info('ready', { modelId: next.modelId, from: running.modelId });

  shutdown.before('consumer', () => {
    const closed = consumer.close();
    // What waits for the audit log must not hold up the end.
    audit.close();
    return closed;
  });
  shutdown.before('http', () => stop(health, settings.DRAIN_SECONDS));
}

main().catch((error: unknown) => endBecause(createLog('generation', 'info'), 'start-failed')(error));
