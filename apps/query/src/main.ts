/** The query service: both kinds of search, over HTTP and over Kafka, and what ran is shown to those who may see it. */
import 'reflect-metadata';
import { AuditLog } from '#audit/audit-log.js';
import { CUSTODY_DISPOSITIONS, desiredTopics, SEARCHES_COMMANDS, SEARCHES_REQUESTS } from '#contracts/topics.js';
import { FacePool } from '#face/face-pool.js';
import { loadModelPack } from '#face/model-pack.js';
import { DispositionFollower, totalLag } from '#kafka/disposition-follower.js';
import { expectTopics } from '#kafka/expected-topics.js';
import { KafkaClient } from '#kafka/kafka-client.js';
import { Health } from '#platform/health.js';
import { AssertionSigner, AssertionVerifier, openJwks, TokenVerifier } from '#platform/identity.js';
import { FolderImageStore } from '#platform/image-store.js';
import { createLog } from '#platform/log.js';
import { QueryMetrics } from '#platform/metrics.js';
import { endBecause, serveHttp, Shutdown } from '#platform/service-process.js';
import { readSettings } from '#platform/settings.js';
import { Erasures } from './erasures.js';
import { Galleries } from './galleries.js';
import { GalleryClient, QUERY_SOURCE } from './gallery-client.js';
import { serveOpenApi } from './openapi.js';
import { OperatorSearch } from './operator-search.js';
import { ProbeSearch } from './probe-search.js';
import { QueryModule } from './query.module.js';
import { RetrospectiveOwner } from './retrospective-owner.js';
import { RetrospectiveSubmission } from './retrospective-submission.js';
import { SearchReading } from './search-reading.js';
import { SearchView } from './search-view.js';
import { readThresholds } from './thresholds.js';

/** How long a search waits for the audit log before it is refused. */
const AUDIT_DEADLINE_MS = 5_000;
/** Retrospective searches run beside each other, but leave the pipeline to an officer who waits in the street. */
const RETROSPECTIVE_IN_FLIGHT = 1;
const LAG_INTERVAL_MS = 5_000;

async function main(): Promise<void> {
  const settings = readSettings();
  const log = createLog('query', settings.LOG_LEVEL);
  const shutdown = new Shutdown(log);
  const metrics = new QueryMetrics();
  const health = new Health(['topics', 'dispositions', 'searches', 'gallery', 'owner']);
  const fatal = endBecause(log, 'query-failed');

  const pack = await loadModelPack(settings.MODEL_PACK_DIR);
  const thresholds = await readThresholds(settings.THRESHOLDS_FILE);
  const faces = await FacePool.open({
    packFolder: settings.MODEL_PACK_DIR,
    processes: settings.INFERENCE_CONCURRENCY,
    onProcessLost: (how) => log.error('face-process-lost', { how }),
  });
  shutdown.before('faces', () => faces.close());
  const kafka = new KafkaClient({ brokers: settings.KAFKA_BROKERS, clientId: 'custody-query', log });
  shutdown.before('kafka', () => kafka.close());
  const publisher = kafka.publisher();
  const audit = new AuditLog(kafka.publisher({ deadlineMs: AUDIT_DEADLINE_MS }), QUERY_SOURCE);
  const images = await FolderImageStore.open(settings.IMAGE_STORE_DIR, settings.IMAGE_STORE_KEY_FILE);
  const tokens = new TokenVerifier(await openJwks(settings.AUTH_JWKS), settings.AUTH_ISSUER, settings.AUTH_AUDIENCE);
  const assertions = new AssertionVerifier(await openJwks(settings.ASSERTION_JWKS));
  const signer = await AssertionSigner.open(settings.ASSERTION_KEY_FILE);

  await expectTopics(
    kafka.topicAdmin(),
    desiredTopics({
      modelId: pack.modelId,
      profile: settings.TOPIC_PROFILE,
      replication: settings.KAFKA_REPLICATION,
    }),
    log,
  );
  health.fulfilled('topics');

  const dispositions = new DispositionFollower(kafka, log, fatal);
  const view = await SearchView.open(kafka, settings.VIEW_FILE, log, fatal);
  const gallery = new GalleryClient(
    kafka,
    publisher,
    pack.modelId,
    settings.REPLICA_ID,
    (id) => dispositions.get(id),
    log,
    fatal,
  );
  const search = new ProbeSearch(faces, gallery, thresholds, metrics);
  const { app, url } = await serveHttp(
    QueryModule.for({
      health,
      metrics,
      tokens,
      operatorSearch: new OperatorSearch(faces, search, audit, metrics, {
        mode: settings.OPERATOR_SEARCH_MODE,
        withinMs: settings.OPERATOR_SEARCH_DEADLINE_MS,
      }),
      retrospective: new RetrospectiveSubmission(publisher, signer, view),
      reading: new SearchReading(view, audit, (id) => dispositions.get(id)),
      erasures: new Erasures(publisher, signer, audit),
      galleries: new Galleries(gallery, pack),
    }),
    { host: settings.HOST, port: settings.QUERY_PORT, portSetting: 'QUERY_PORT', log, configure: serveOpenApi },
  );
  log.info('listening', { url, modelId: pack.modelId, licence: pack.manifest.licence.spdx });

  await dispositions.start();
  health.fulfilled('dispositions');
  await view.caughtUp();
  health.fulfilled('searches');
  await gallery.start();
  health.fulfilled('gallery');

  const owner = new RetrospectiveOwner(
    { faces, search, audit, publisher, view, probes: images, assertions, topics: kafka.topicAdmin(), metrics, log },
    settings.RETROSPECTIVE_SEARCH_DEADLINE_MS,
  );
  const consumer = kafka.groupConsumer({
    groupId: 'custody-searches',
    topics: [SEARCHES_REQUESTS, SEARCHES_COMMANDS],
    partitionsConsumedConcurrently: RETROSPECTIVE_IN_FLIGHT,
    onAssigned: (assignment, _generation, signal) =>
      owner.takeOver([...new Set(assignment.map(({ partition }) => partition))], signal),
    onBatch: (batch) => owner.handleBatch(batch),
    onFatal: fatal,
  });
  consumer.start();
  health.fulfilled('owner');
  setInterval(() => {
    metrics.consumerLagRecords.set({ topic: SEARCHES_REQUESTS }, totalLag(consumer));
    metrics.consumerLagRecords.set({ topic: CUSTODY_DISPOSITIONS }, dispositions.lagRecords());
  }, LAG_INTERVAL_MS).unref();
  log.info('ready', { modelId: pack.modelId });

  shutdown.before('owner', () => consumer.close());
  shutdown.before('http', () => {
    health.drain();
    return app.close();
  });
}

main().catch((error: unknown) => endBecause(createLog('query', 'info'), 'start-failed')(error));
