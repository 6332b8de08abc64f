/** The query service: both kinds of search, over HTTP and over Kafka, and what ran is shown to those who may see it. */
import 'reflect-metadata';
import { dirname, join } from 'node:path';
import { AuditLog } from '#audit/audit-log.js';
import { dayAfter } from '#contracts/retention-forms.js';
import {
  CUSTODY_DIRECTIONS,
  CUSTODY_DISPOSITIONS,
  desiredTopics,
  galleryTemplates,
  GOVERNANCE_DECISIONS,
  SEARCHES_REQUESTS,
} from '#contracts/topics.js';
import { SEARCH_KINDS } from '#domain/governance.js';
import type { ImageId } from '#domain/ids.js';
import { loadModelPack } from '#face/model-pack.js';
import { DirectionFollower } from '#kafka/direction-follower.js';
import { DispositionFollower, totalLag } from '#kafka/disposition-follower.js';
import { expectPrerequisites } from '#kafka/kafka-prerequisites.js';
import { GapFollower } from '#kafka/gap-follower.js';
import { KafkaClient } from '#kafka/kafka-client.js';
import { LogCompaction } from '#kafka/log-compaction.js';
import { NestTransport, serveRecords } from '#kafka/nest-transport.js';
import { ReplicaFollower } from '#kafka/replica-follower.js';
import { FreedMemory } from '#platform/freed-memory.js';
import { Health } from '#platform/health.js';
import { AssertionSigner, AssertionVerifier, openJwks, TokenVerifier } from '#platform/identity.js';
import { openImageStore } from '#platform/open-image-store.js';
import { kafkaConnection } from '#platform/kafka-settings.js';
import { createLog, nestLogger } from '#platform/log.js';
import { QueryMetrics } from '#platform/metrics.js';
import { endBecause, serveHttp, Shutdown } from '#platform/service-process.js';
import { readSettings } from '#platform/settings.js';
import { startTracing } from '#platform/tracing.js';
import { routesOf } from '#platform/routes.js';
import { softwareVersion } from '#platform/software-version.js';
import { AccessReports } from './data-protection/access-reports.js';
import { openAuditParts } from './audit/audit-parts.js';
import { AuditTrail } from './audit/audit-trail.js';
import { CandidateWithdrawal } from './review/candidate-withdrawal.js';
import { CustodyDirections } from './data-protection/custody-directions.js';
import { DirectedDispositions } from './data-protection/directed-dispositions.js';
import { DirectionOwner } from './data-protection/direction-owner.js';
import { DpiaEvidences } from './governance/dpia-evidences.js';
import { ErasureDestructions } from './data-protection/erasure-destructions.js';
import { Erasures } from './data-protection/erasures.js';
import { Galleries } from './searches/galleries.js';
import { GalleryRetirements } from './generations/gallery-retirements.js';
import { GallerySwitches } from './generations/gallery-switches.js';
import { GenerationProgresses, keepGenerationGauges } from './generations/generation-progress.js';
import { LackingImages } from './generations/lacking-images.js';
import { openGenerations } from './generations/open-generation.js';
import { QUERY_SOURCE } from './query-source.js';
import { GalleryRegister } from './data-protection/gallery-register.js';
import { serveOpenApi } from './openapi/openapi.js';
import { GovernanceDecisions } from './governance/governance-decisions.js';
import { GovernanceLog } from './governance/governance-log.js';
import { ImageExport } from './data-protection/image-export.js';
import { ImageRetention } from './data-protection/image-retention.js';
import { OpenSearchHold } from './review/open-search-hold.js';
import { OperatorOutcomes } from './searches/operator-outcome.js';
import { OperatorSearch } from './searches/operator-search.js';
import { CONTROLLERS, QueryModule } from './query.module.js';
import { Rectification } from './data-protection/rectification.js';
import { readRetentionPolicy } from './data-protection/retention-policy.js';
import { DigestComparison } from './replicas/digest-comparison.js';
import { showDigestDifferences } from './replicas/digest-differences.js';
import { ReplicaRetirements } from './replicas/replica-retirements.js';
import { ReplicasOnRecord } from './replicas/replicas-on-record.js';
import { RetrospectiveOwner } from './review/retrospective-owner.js';
import { RetrospectiveRuns } from './review/retrospective-runs.js';
import { RetrospectiveSubmission } from './review/retrospective-submission.js';
import { ReviewDates } from './data-protection/review-dates.js';
import { SearchAcceptance } from './review/search-acceptance.js';
import { SearchAdmission } from './searches/search-admission.js';
import { SearchDecisions } from './review/search-decisions.js';
import { SearchPictures } from './searches/search-pictures.js';
import { SearchRecordsModule } from './review/search-records.controller.js';
import { SearchReading } from './searches/search-reading.js';
import { SearchRetention } from './searches/search-retention.js';
import { SearchView } from './searches/search-view.js';
import { RuleErasures } from './data-protection/rule-erasures.js';
import { SearchableImages } from './data-protection/searchable-images.js';
import { readThresholds } from './governance/thresholds.js';
import { UsageReports } from './governance/usage-reports.js';

/**
 * How long a search waits for the audit log before it is refused. A broker that dies is missed after its session, 9 s by
 * Kafka's default, and then another one leads: that one of three is gone must refuse nobody.
 */
const AUDIT_DEADLINE_MS = 12_000;
/** A decision waits for acknowledgements most of the time; those on other partitions go on meanwhile. */
const SEARCH_PARTITIONS_IN_FLIGHT = 6;
/** The least that a broker grants by default: whoever decides while an owner has died is still answered by the next one. */
const OWNER_SESSION_TIMEOUT_MS = 6_000;
const LAG_INTERVAL_MS = 5_000;

async function main(): Promise<void> {
  const settings = readSettings();
  const log = createLog('query', settings.LOG_LEVEL);
  const shutdown = new Shutdown(log);
  shutdown.before('tracing', startTracing(settings, { service: 'custody-query', instance: settings.REPLICA_ID }, log));
  const metrics = new QueryMetrics();
  const freedMemory = new FreedMemory();
  const health = new Health([
    'access',
    'topics',
    'governance',
    'dispositions',
    'directions',
    'register',
    'replicas',
    'searches',
    'gallery',
    'model',
    'audit',
    'owner',
  ]);
  const fatal = endBecause(log, 'query-failed');

  const pack = await loadModelPack(settings.MODEL_PACK_DIR);
  const deployed = await readThresholds(settings.THRESHOLDS_FILE);
  const retentionPolicy = await readRetentionPolicy(settings.RETENTION_POLICY_FILE);
  const kafka = new KafkaClient({ ...kafkaConnection(settings), clientId: 'custody-query', log });
  shutdown.before('kafka', () => kafka.close());
  const publisher = kafka.publisher();
  const audit = new AuditLog(kafka.publisher({ deadlineMs: AUDIT_DEADLINE_MS }), QUERY_SOURCE);
  const images = await openImageStore(settings);
  const tokens = new TokenVerifier(await openJwks(settings.AUTH_JWKS), settings.AUTH_ISSUER, settings.AUTH_AUDIENCE);
  const assertions = new AssertionVerifier(await openJwks(settings.ASSERTION_JWKS));
  const signer = await AssertionSigner.open(settings.ASSERTION_KEY_FILE);

  const topicsWanted = desiredTopics({
    modelId: pack.modelId,
    profile: settings.TOPIC_PROFILE,
    replication: settings.KAFKA_REPLICATION,
  });
  await expectPrerequisites(kafka, 'custody-query', topicsWanted, log, (missing) => health.holds('access', missing));
  health.fulfilled('topics');

  const dispositions = new DispositionFollower(kafka, log, fatal);
  dispositions.onChange((changes) => freedMemory.noticed(changes));
  const directions = new DirectionFollower(kafka, log, fatal);
  const replicas = new ReplicaFollower(kafka, log, fatal);
  const digests = new DigestComparison(replicas, (change) => showDigestDifferences(change, digests, metrics, log));
  replicas.onChange((keys) => digests.observe(keys));
  const onRecord = new ReplicasOnRecord(replicas, settings.REPLICA_REPORT_SECONDS);
  const reviewDates = new ReviewDates(retentionPolicy, directions);
  const decided = Promise.withResolvers<void>();
  const register = await GalleryRegister.open({
    kafka,
    file: settings.REGISTER_FILE,
    modelId: pack.modelId,
    after: decided.promise,
    dispositionOf: (id) => dispositions.get(id),
    reviewOn: (image) => reviewDates.of(image).on,
    onErased: (id, at) => {
      freedMemory.forgetSoon();
      destructions.noticeErasedTemplate(id, at);
    },
    log,
    onFatal: fatal,
  });
  const auditing = await openAuditParts(settings, kafka, audit, { metrics, health, log, onFatal: fatal });
  const view = await SearchView.open(kafka, settings.VIEW_FILE, log, fatal);
  const withdrawal = new CandidateWithdrawal(view, dispositions, publisher, log);
  dispositions.onChange((changes) => {
    // Until then, whoever takes a partition over looks through all of them.
    if (health.startup.ok) withdrawal.noticed(changes.map(({ imageId }) => imageId));
  });
  const governance = new GovernanceLog(kafka, publisher, audit, log, fatal, ({ suspensions }) => {
    for (const kind of SEARCH_KINDS) metrics.searchesSuspended.set({ kind }, suspensions.has(kind) ? 1 : 0);
  });
  const decisions = new GovernanceDecisions(governance);
  const dispositionOf = (id: ImageId) => dispositions.get(id);
  const generations = await openGenerations(
    { settings, kafka, publisher, governance, dispositionOf, directions, metrics, log, onFatal: fatal },
    health,
    shutdown,
  );
  const { faces, gallery } = generations.base;
  const gaps = new GapFollower(kafka, log, fatal);
  const progresses = new GenerationProgresses(pack.modelId, kafka.topicAdmin(), gaps);
  const admission = new SearchAdmission(
    { check: (kind) => generations.inForce.permits.check(kind) },
    {
      perMinute: settings.RATE_LIMIT,
      systemPerMinute: settings.SERVICE_RATE_LIMIT,
      atATime: settings.CONCURRENCY_LIMIT,
    },
    signer.system,
    metrics,
  );
  const directed = new DirectedDispositions(directions, dispositionOf, register);
  const custodyDirections = new CustodyDirections(publisher, audit, directions, directed, dispositionOf, register);
  const segmentMs = new Map(topicsWanted.map(({ name, config }) => [name, Number(config['segment.ms'])]));
  const destructions = new ErasureDestructions(
    {
      directions,
      dispositions,
      register,
      replicas,
      images,
      publisher,
      audit,
      compaction: new LogCompaction(
        publisher,
        kafka.recordLookup(),
        // The galleries of all models are kept alike.
        (topic) => segmentMs.get(topic) ?? segmentMs.get(galleryTemplates(pack.modelId))!,
        QUERY_SOURCE,
      ),
      generations: () => kafka.topicAdmin().generations(),
      modelId: pack.modelId,
      metrics,
      log,
    },
    settings.ERASURE_DESTRUCTION_SECONDS * 1000,
  );
  const erasures = new Erasures(
    publisher,
    signer,
    audit,
    directions,
    dispositionOf,
    register,
    settings.ERASURE_BULK_MIN,
    destructions,
  );
  const directionOwner = new DirectionOwner(directions, dispositions, register, directed, erasures, publisher, log);
  const trail = new AuditTrail(auditing.view);
  const galleries = new Galleries(generations, progresses, decisions, onRecord, digests);
  const usage = new UsageReports(view, audit);
  const { url, stop } = await serveHttp(
    QueryModule.for({
      health,
      metrics,
      tokens,
      auditing,
      operatorSearch: new OperatorSearch(generations, audit, view, dispositionOf, metrics, {
        mode: settings.OPERATOR_SEARCH_MODE,
        withinMs: settings.OPERATOR_SEARCH_DEADLINE_MS,
      }),
      retrospective: new RetrospectiveSubmission(publisher, signer, view, audit),
      decisions: new SearchDecisions(publisher, view),
      view,
      reading: new SearchReading(view, audit, dispositionOf),
      outcomes: new OperatorOutcomes(view, audit, publisher, dispositionOf),
      pictures: new SearchPictures(view, images, audit, dispositionOf, (id) => register.image(id)),
      retention: new SearchRetention(view, images, publisher, audit, directions),
      erasures,
      directions: custodyDirections,
      galleries,
      replicaRetirements: new ReplicaRetirements(onRecord, audit),
      governance: decisions,
      gallerySwitches: new GallerySwitches(generations, governance, progresses, kafka.topicAdmin()),
      galleryRetirements: new GalleryRetirements(
        generations,
        governance,
        kafka.topicAdmin(),
        replicas,
        gaps,
        publisher,
        audit,
      ),
      lackingImages: new LackingImages(gaps, audit),
      admission,
      usage,
      dpia: new DpiaEvidences({
        audit,
        governance,
        galleries,
        register,
        retentionPolicy,
        searches: view,
        usage,
        auditView: auditing.view,
        auditKeys: auditing.keys.keys,
        topics: kafka.topicAdmin(),
        topicsWanted,
        routes: routesOf(CONTROLLERS),
        settings,
        version: softwareVersion(),
      }),
      imageExport: new ImageExport({
        kafka,
        audit,
        register,
        dispositions,
        directions,
        modelId: pack.modelId,
        file: join(dirname(settings.REGISTER_FILE), 'image-export.sqlite'),
        log,
      }),
      imageRetention: new ImageRetention(publisher, audit, directions, register, reviewDates, {
        retire: (actor, request, key) => custodyDirections.give(actor, 'retirement', request, key),
        erase: (actor, request, key) => erasures.request(actor, request, key),
      }),
      accessReports: new AccessReports(register, reviewDates, directions, dispositionOf, view, trail, audit),
      searchableImages: new SearchableImages(register, directions, trail, audit),
      rectification: new Rectification(publisher, audit, register, images, faces, dispositionOf),
    }),
    { host: settings.HOST, port: settings.QUERY_PORT, portSetting: 'QUERY_PORT', log, configure: serveOpenApi },
  );
  log.info('listening', { url, modelId: pack.modelId, licence: pack.manifest.licence.spdx });

  await governance.start(deployed);
  health.fulfilled('governance');
  await dispositions.start();
  health.fulfilled('dispositions');
  await directions.start();
  health.fulfilled('directions');
  destructions.start();
  decided.resolve();
  await register.caughtUp();
  health.fulfilled('register');
  await replicas.start();
  health.fulfilled('replicas');
  await view.caughtUp();
  health.fulfilled('searches');
  await gallery.start();
  await gaps.start();
  health.fulfilled('gallery');
  await generations.look();
  await auditing.view.caughtUp();
  const sealing = auditing.startSealing();
  health.fulfilled('audit');

  const acceptance = new SearchAcceptance(audit, publisher, view);
  const holds = new OpenSearchHold(publisher);
  const runs = new RetrospectiveRuns(
    { generations, audit, acceptance, withdrawal, holds, probes: images, metrics, log },
    settings.RETROSPECTIVE_SEARCH_DEADLINE_MS,
  );
  const owner = new RetrospectiveOwner(
    {
      acceptance,
      runs,
      withdrawal,
      holds,
      admission,
      audit,
      view,
      probes: images,
      assertions,
      topics: kafka.topicAdmin(),
      metrics,
      log,
    },
    { peerReview: settings.PEER_REVIEW === 'on' },
  );
  const searchRecords = new NestTransport(kafka, publisher, log, {
    groupId: 'custody-searches',
    source: QUERY_SOURCE,
    partitionsConsumedConcurrently: SEARCH_PARTITIONS_IN_FLIGHT,
    sessionTimeoutMs: OWNER_SESSION_TIMEOUT_MS,
    onAssigned: (assignment, _generation, signal) =>
      owner.takeOver([...new Set(assignment.map(({ partition }) => partition))], signal),
    onFatal: fatal,
  });
  const ownership = await serveRecords(SearchRecordsModule.for(owner), searchRecords, nestLogger(log));
  const ruleErasures = new RuleErasures(
    register,
    reviewDates,
    () => directions.upToDate(),
    ({ imageId, subjectId }) => directions.holdsOn(imageId, subjectId).length > 0,
    (actor, request, key) => erasures.request(actor, request, key),
    log,
  );
  const directionsMember = kafka.groupConsumer({
    groupId: 'custody-directions',
    topics: [CUSTODY_DIRECTIONS],
    onAssigned: (assignment, _generation, signal) => {
      if (assignment.length === 0) return;
      directionOwner.own(signal);
      void ruleErasures.run(signal);
      void destructions.run(signal);
    },
    // The membership is all that is wanted: what the topic says, every replica reads.
    onBatch: () => Promise.resolve(),
    onFatal: fatal,
  });
  directionsMember.start();
  health.fulfilled('owner');
  const stopping = new AbortController();
  shutdown.before('review-dates', () => stopping.abort());
  reviewDates.keepUpToDate(register, stopping.signal).catch(fatal);
  generations.follow(stopping.signal).catch(fatal);
  void keepGenerationGauges(generations, progresses, metrics, stopping.signal);
  setInterval(() => {
    metrics.consumerLagRecords.set({ topic: SEARCHES_REQUESTS }, totalLag(searchRecords));
    metrics.consumerLagRecords.set({ topic: GOVERNANCE_DECISIONS }, governance.lagRecords());
    metrics.consumerLagRecords.set({ topic: CUSTODY_DISPOSITIONS }, dispositions.lagRecords());
    metrics.consumerLagRecords.set({ topic: CUSTODY_DIRECTIONS }, directions.lagRecords());
    metrics.consumerLagRecords.set({ topic: galleryTemplates(pack.modelId) }, register.lagRecords());
    destructions.reportGauges();
    metrics.reviewsDue.set(register.countReviewsDue(dayAfter(new Date())));
    metrics.operatorSearchesWithoutOutcome.set(view.countWithoutOutcome());
  }, LAG_INTERVAL_MS).unref();
  log.info('ready', { modelId: pack.modelId });

  shutdown.before('audit-sealing', () => sealing.close());
  shutdown.before('direction-owner', () => directionsMember.close());
  shutdown.before('owner', async () => {
    await ownership.close();
    await runs.close();
  });
  shutdown.before('http', () => stop(health, settings.DRAIN_SECONDS));
}

main().catch((error: unknown) => endBecause(createLog('query', 'info'), 'start-failed')(error));
