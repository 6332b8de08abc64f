/** The ingest service: custody images in, templates and outcomes out. Stateless; scaled by adding members to its group. */
import 'reflect-metadata';
import { AuditLog } from '#audit/audit-log.js';
import { CUSTODY_IMAGES, desiredTopics, IMAGE_SIZE_BYTES_MAX } from '#contracts/topics.js';
import { TEMPLATE_PARTITIONS } from '#domain/gallery.js';
import type { ImageId } from '#domain/ids.js';
import { FacePool } from '#face/face-pool.js';
import { loadModelPack } from '#face/model-pack.js';
import { DirectionFollower } from '#kafka/direction-follower.js';
import { DispositionFollower, totalLag } from '#kafka/disposition-follower.js';
import { KafkaClient } from '#kafka/kafka-client.js';
import { expectPrerequisites } from '#kafka/kafka-prerequisites.js';
import { FreedMemory } from '#platform/freed-memory.js';
import { Health } from '#platform/health.js';
import { AssertionVerifier, openJwks, TokenVerifier } from '#platform/identity.js';
import { openImageStore } from '#platform/open-image-store.js';
import { kafkaConnection } from '#platform/kafka-settings.js';
import { createLog } from '#platform/log.js';
import { IngestMetrics } from '#platform/metrics.js';
import { endBecause, serveHttp, Shutdown } from '#platform/service-process.js';
import { readSettings } from '#platform/settings.js';
import { startTracing } from '#platform/tracing.js';
import { CollectionAudit } from './collection-audit.js';
import { Enrolment } from './enrolment.js';
import { ErasedImages } from './erased-images.js';
import { ImageConsumer } from './image-consumer.js';
import { ImageErasure, INGEST_SOURCE } from './image-erasure.js';
import { ImageSubmission } from './image-submission.js';
import { IngestModule } from './ingest.module.js';
import { LateTemplates } from './late-templates.js';
import { OtherGenerations } from './other-generations.js';
import { UploadLimit } from './upload-limit.js';

/**
 * Every partition at once: a batch often has one or two records, and waits at its end for two acknowledgements. What is
 * held is bounded by the bytes that are fetched for each.
 */
const PARTITIONS_IN_FLIGHT = TEMPLATE_PARTITIONS;
/** Templates, and then outcomes, of the images that went on together: nobody sees it, and they share a request. */
const PUBLISH_LINGER_MS = 25;
/** Sixteen of the largest, some hundred ordinary ones: more than a second of what Kafka takes. */
const UPLOADS_BYTES_MAX = 16 * IMAGE_SIZE_BYTES_MAX;
const IMAGES_WAITING_MAX = 100_000;
/** How long an erasure waits for the audit log before it is said that it waits; then it is tried again. */
const AUDIT_DEADLINE_MS = 5_000;
const LAG_INTERVAL_MS = 5_000;

async function main(): Promise<void> {
  const settings = readSettings();
  const log = createLog('ingest', settings.LOG_LEVEL);
  const shutdown = new Shutdown(log);
  shutdown.before('tracing', startTracing(settings, { service: 'custody-ingest', instance: settings.REPLICA_ID }, log));
  const metrics = new IngestMetrics();
  const freedMemory = new FreedMemory();
  const health = new Health(['access', 'topics', 'dispositions', 'directions', 'consumer']);
  const fatal = endBecause(log, 'ingest-failed');

  const pack = await loadModelPack(settings.MODEL_PACK_DIR);
  const faces = await FacePool.open({
    packFolder: settings.MODEL_PACK_DIR,
    processes: settings.INFERENCE_CONCURRENCY,
    // What Kafka hands over at once is bounded in bytes; it waits here rather than being refused.
    waitingMax: IMAGES_WAITING_MAX,
    observeStage: (stage, seconds) => metrics.imageStageDurationSeconds.observe({ stage }, seconds),
    onProcessLost: (how) => log.error('face-process-lost', { how }),
  });
  shutdown.before('faces', () => faces.close());
  const kafka = new KafkaClient({ ...kafkaConnection(settings), clientId: 'custody-ingest', log });
  shutdown.before('kafka', () => kafka.close());
  const publisher = kafka.publisher({ lingerMs: PUBLISH_LINGER_MS });
  const images = await openImageStore(settings);
  const tokens = new TokenVerifier(await openJwks(settings.AUTH_JWKS), settings.AUTH_ISSUER, settings.AUTH_AUDIENCE);
  const assertions = new AssertionVerifier(await openJwks(settings.ASSERTION_JWKS));

  // Headers are on top, and belong to no body; what may be held is decided before.
  const publisherOfUploads = kafka.publisher({ maxQueueBytes: 2 * UPLOADS_BYTES_MAX });
  const { url, stop } = await serveHttp(
    IngestModule.for({
      health,
      metrics,
      tokens,
      submission: new ImageSubmission(publisherOfUploads),
      uploads: new UploadLimit(UPLOADS_BYTES_MAX, IMAGE_SIZE_BYTES_MAX),
    }),
    {
      host: settings.HOST,
      port: settings.INGEST_PORT,
      portSetting: 'INGEST_PORT',
      log,
      parsesBodies: false,
    },
  );
  log.info('listening', { url, modelId: faces.modelId, licence: pack.manifest.licence.spdx });

  const topics = desiredTopics({
    modelId: faces.modelId,
    profile: settings.TOPIC_PROFILE,
    replication: settings.KAFKA_REPLICATION,
  });
  await expectPrerequisites(kafka, 'custody-ingest', topics, log, (missing) => health.holds('access', missing));
  health.fulfilled('topics');

  const erasedImages = new ErasedImages(images, publisher, log);
  shutdown.before('erased-images', () => erasedImages.close());
  const dispositions = new DispositionFollower(kafka, log, fatal);
  dispositions.onChange((changes) => erasedImages.apply(changes));
  dispositions.onChange((changes) => freedMemory.noticed(changes));
  await dispositions.start();
  health.fulfilled('dispositions');
  const directions = new DirectionFollower(kafka, log, fatal);
  await directions.start();
  health.fulfilled('directions');

  const audit = new AuditLog(kafka.publisher({ deadlineMs: AUDIT_DEADLINE_MS }), INGEST_SOURCE);
  const dispositionOf = (id: ImageId) => dispositions.get(id);
  const { modelId } = faces;
  const others = new OtherGenerations(modelId, kafka.topicAdmin());
  const erasure = new ImageErasure(modelId, images, publisher, dispositionOf, directions, assertions, audit, () =>
    others.list(),
  );
  const isMoreComing = (): boolean => faces.load.inFlight + faces.load.waiting > 0;
  const collection = new CollectionAudit(audit, modelId, isMoreComing, log);
  const late = new LateTemplates(kafka, publisher, modelId);
  const enrolment = new Enrolment(faces, images, publisher, dispositionOf, erasure, collection, late, metrics);
  const lookup = kafka.recordLookup();
  const imageConsumer = new ImageConsumer(enrolment, publisher, log, (partition, at) =>
    lookup.read(CUSTODY_IMAGES, partition, at),
  );
  const consumer = kafka.groupConsumer({
    groupId: 'custody-ingest',
    topics: [CUSTODY_IMAGES],
    partitionsConsumedConcurrently: PARTITIONS_IN_FLIGHT,
    onBatch: async (batch) => {
      await imageConsumer.handleBatch(batch);
      freedMemory.dropped(batch.records.map(({ value }) => value));
    },
    onFatal: fatal,
  });
  consumer.start();
  health.fulfilled('consumer');
  setInterval(() => {
    metrics.consumerLagRecords.set({ topic: CUSTODY_IMAGES }, totalLag(consumer));
  }, LAG_INTERVAL_MS).unref();
  log.info('ready', { modelId: faces.modelId });

  shutdown.before('consumer', () => {
    const closed = consumer.close();
    // What waits for the audit log must not hold up the end.
    collection.close();
    return closed;
  });
  shutdown.before('http', () => stop(health, settings.DRAIN_SECONDS));
}

main().catch((error: unknown) => endBecause(createLog('ingest', 'info'), 'start-failed')(error));
