/**
 * Every metric of the three services. Names end in their unit, labels are bounded and never an id; docs/metrics.md is
 * compared with what the services register by a test.
 */
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { SearchKind } from '#domain/search-answer.js';
import { recordedTraceId } from './spans.js';

/** From a millisecond, the engine's share, to ten seconds, the deadline of a retrospective search. */
const LATENCY_BUCKETS_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
/**
 * Ten to the factor of ten (the series R10 of ISO 3): a quantile that is interpolated between two of them is at most a
 * quarter, and mostly less than a tenth, away from what clients see. Objectives need their own bound here (1 s).
 */
const SEARCH_BUCKETS_SECONDS = [
  0.01, 0.0125, 0.016, 0.02, 0.025, 0.0315, 0.04, 0.05, 0.063, 0.08, 0.1, 0.125, 0.16, 0.2, 0.25, 0.315, 0.4, 0.5, 0.63,
  0.8, 1, 1.25, 1.6, 2, 2.5, 3.15, 4, 5, 6.3, 8, 10,
];
/** From a lone image to an image that waited behind a bulk enrolment. */
const ENROL_BUCKETS_SECONDS = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800];

/** From the local profile's compaction to two days, the bound of production's. */
const DESTRUCTION_BUCKETS_SECONDS = [5, 10, 20, 30, 45, 60, 120, 600, 3_600, 21_600, 86_400, 172_800];

/**
 * The values of labels that are known beforehand. A counter that first appears as 1 has never risen as Prometheus sees it,
 * so that the first failure would raise no alert: these begin at 0.
 */
const IMAGE_OUTCOMES = ['enrolled', 'superseded', 'erased', 'restricted'];
const REPAIR_KINDS = ['tombstone', 'template', 'unusable'];
const SEAL_FAILURES = ['unavailable', 'copy', 'history-changed'];
const SEARCH_OUTCOMES = {
  operator: ['candidates', 'not-found', 'partial', 'refused', 'failed'],
  retrospective: ['candidates-found', 'no-candidates-found', 'partial', 'refused', 'failed'],
};

/** What all services report: the process, its event loop and how far behind the log it is. */
export class Metrics {
  readonly registry = new Registry();

  readonly consumerLagRecords = new Gauge({
    name: 'custody_consumer_lag_records',
    help: 'Records that are in the topic and not yet handled by this process',
    labelNames: ['topic'],
    registers: [this.registry],
  });

  constructor() {
    collectDefaultMetrics({ register: this.registry });
    new Gauge({
      name: 'custody_clock_seconds',
      help: 'What this process takes for the time, since 1970',
      registers: [this.registry],
      collect() {
        this.set(Date.now() / 1000);
      },
    });
  }
}

export class IngestMetrics extends Metrics {
  readonly imagesTotal = new Counter({
    name: 'custody_images_total',
    help: 'Records on custody.images by what became of them',
    labelNames: ['outcome', 'reason'],
    registers: [this.registry],
  });

  readonly generationImagesTotal = new Counter({
    name: 'custody_generation_images_total',
    help: 'Records of the running gallery by what became of them in the gallery that is built beside it',
    labelNames: ['outcome', 'reason'],
    registers: [this.registry],
  });

  readonly imageStageDurationSeconds = new Histogram({
    name: 'custody_image_stage_duration_seconds',
    help: 'Time that an image spends in each stage of enrolment',
    labelNames: ['stage'],
    buckets: LATENCY_BUCKETS_SECONDS,
    registers: [this.registry],
  });

  constructor() {
    super();
    for (const outcome of IMAGE_OUTCOMES) this.imagesTotal.inc({ outcome, reason: '' }, 0);
  }
}

export class IndexMetrics extends Metrics {
  readonly galleryTemplates = new Gauge({
    name: 'custody_gallery_templates',
    help: 'Templates that this process holds, by state',
    labelNames: ['shard', 'state'],
    registers: [this.registry],
  });

  readonly enrolToSearchableSeconds = new Histogram({
    name: 'custody_enrol_to_searchable_seconds',
    help: 'From the broker accepting a custody image to its template being searchable here',
    buckets: ENROL_BUCKETS_SECONDS,
    registers: [this.registry],
  });

  readonly snapshotAgeSeconds = new Gauge({
    name: 'custody_snapshot_age_seconds',
    help: 'Time since the newest good snapshot of a shard',
    labelNames: ['shard'],
    registers: [this.registry],
  });

  readonly snapshotDurationSeconds = new Histogram({
    name: 'custody_snapshot_duration_seconds',
    help: 'Time that writing and verifying a snapshot took',
    labelNames: ['shard'],
    buckets: [0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300],
    registers: [this.registry],
  });

  readonly snapshotFailuresTotal = new Counter({
    name: 'custody_snapshot_failures_total',
    help: 'Snapshots that were not written, by reason',
    labelNames: ['shard', 'reason'],
    registers: [this.registry],
  });

  readonly galleryQueryDurationSeconds = new Histogram({
    name: 'custody_gallery_query_duration_seconds',
    help: 'Time that the engine took to answer a gallery query',
    labelNames: ['mode'],
    buckets: LATENCY_BUCKETS_SECONDS,
    registers: [this.registry],
  });

  readonly galleryTombstoneRatio = new Gauge({
    name: 'custody_gallery_tombstone_ratio',
    help: 'Deleted nodes of the graph as a share of all; it is built anew above a fifth',
    labelNames: ['shard'],
    registers: [this.registry],
  });

  readonly galleryPendingTemplates = new Gauge({
    name: 'custody_gallery_pending_templates',
    help: 'Templates that are not in the graph yet, and are looked at one by one',
    labelNames: ['shard'],
    registers: [this.registry],
  });

  readonly galleryRecallRatio = new Gauge({
    name: 'custody_gallery_recall_ratio',
    help: 'Share of the exact answers that the approximate ones had, over the last sampled searches',
    labelNames: ['shard'],
    registers: [this.registry],
  });

  readonly galleryMateTop1Ratio = new Gauge({
    name: 'custody_gallery_mate_top1_ratio',
    help: 'Share of the last sampled approximate searches whose first candidate was the exact one',
    labelNames: ['shard'],
    registers: [this.registry],
  });

  readonly galleryRecallSamplesTotal = new Counter({
    name: 'custody_gallery_recall_samples_total',
    help: 'Approximate searches that were done again exactly',
    labelNames: ['shard'],
    registers: [this.registry],
  });

  readonly galleryQueriesExpiredTotal = new Counter({
    name: 'custody_gallery_queries_expired_total',
    help: 'Gallery queries whose turn came after their deadline, and that were not answered',
    registers: [this.registry],
  });

  readonly galleryRepairsTotal = new Counter({
    name: 'custody_gallery_repairs_total',
    help: 'Records that this shard put back because a late one had overwritten them in the log, by kind',
    labelNames: ['kind'],
    registers: [this.registry],
  });

  readonly galleryUnusableImages = new Gauge({
    name: 'custody_gallery_unusable_images',
    help: 'Images that are not searched because their last template record cannot be used',
    labelNames: ['shard'],
    registers: [this.registry],
  });

  readonly snapshotProblem = new Gauge({
    name: 'custody_snapshot_problem',
    help: '1 while the last snapshot of a shard could not be written, by code',
    labelNames: ['shard', 'code'],
    registers: [this.registry],
  });

  readonly galleryUnusableRecordsTotal = new Counter({
    name: 'custody_gallery_unusable_records_total',
    help: 'Template records that could not be applied and went to dead letters',
    registers: [this.registry],
  });

  constructor() {
    super();
    for (const kind of REPAIR_KINDS) this.galleryRepairsTotal.inc({ kind }, 0);
  }
}

export type SearchStage = 'audit' | 'decode' | 'detect' | 'embed' | 'gallery' | 'merge';

export class QueryMetrics extends Metrics {
  readonly auditLogRecords = new Gauge({
    name: 'custody_audit_log_records',
    help: 'Leaves in the audit log, as far as this replica has read it',
    registers: [this.registry],
  });

  readonly auditUnsealedRecords = new Gauge({
    name: 'custody_audit_unsealed_records',
    help: 'Leaves in the audit log that no signed checkpoint covers yet',
    registers: [this.registry],
  });

  readonly auditUnsealedAgeSeconds = new Gauge({
    name: 'custody_audit_unsealed_age_seconds',
    help: 'Time since the oldest leaf was logged that no signed checkpoint covers; 0 when there is none',
    registers: [this.registry],
  });

  readonly auditUncopiedRecords = new Gauge({
    name: 'custody_audit_uncopied_records',
    help: 'Sealed leaves that the append-only copy of the seals lacks; 0 on a replica that does not seal',
    registers: [this.registry],
  });

  readonly auditUncopiedAgeSeconds = new Gauge({
    name: 'custody_audit_uncopied_age_seconds',
    help: 'Time since the oldest sealed leaf was logged that the append-only copy lacks; 0 when there is none',
    registers: [this.registry],
  });

  readonly auditCheckpointsTotal = new Counter({
    name: 'custody_audit_checkpoints_total',
    help: 'Checkpoints of the audit log that this replica has signed',
    registers: [this.registry],
  });

  readonly auditSealFailuresTotal = new Counter({
    name: 'custody_audit_seal_failures_total',
    help: 'Attempts to seal the audit log that failed, by reason',
    labelNames: ['reason'],
    registers: [this.registry],
  });

  private readonly searchDurationSeconds = new Histogram<'kind' | 'mode' | 'trace_id'>({
    name: 'custody_search_duration_seconds',
    help: 'From the accepted request to the answer',
    labelNames: ['kind', 'mode'],
    buckets: SEARCH_BUCKETS_SECONDS,
    enableExemplars: true,
    // By the constructor: prom-client knows exemplars as OpenMetrics only, and the registry writes plain text as well.
    registers: [],
  });

  /** With the search's trace as an exemplar, where one is recorded. */
  observeSearch(labels: { readonly kind: SearchKind; readonly mode: string }, seconds: number): void {
    const traceId = recordedTraceId();
    const exemplarLabels = traceId === undefined ? {} : { trace_id: traceId };
    this.searchDurationSeconds.observe({ labels, value: seconds, exemplarLabels });
  }

  readonly searchStageDurationSeconds = new Histogram({
    name: 'custody_search_stage_duration_seconds',
    help: 'Time that a search spends in each stage',
    labelNames: ['kind', 'stage'],
    buckets: LATENCY_BUCKETS_SECONDS,
    registers: [this.registry],
  });

  readonly searchesTotal = new Counter({
    name: 'custody_searches_total',
    help: 'Searches by kind and outcome',
    labelNames: ['kind', 'outcome'],
    registers: [this.registry],
  });

  readonly searchCandidatesTotal = new Counter({
    name: 'custody_search_candidates_total',
    help: 'Candidates at or above the threshold, by the version of the thresholds',
    labelNames: ['kind', 'threshold_version'],
    registers: [this.registry],
  });

  readonly searchesByThresholdTotal = new Counter({
    name: 'custody_searches_by_threshold_total',
    help: 'Searches that were judged, by the version of the thresholds and whether anybody reached it',
    labelNames: ['kind', 'threshold_version', 'result'],
    registers: [this.registry],
  });

  readonly rateLimitedTotal = new Counter({
    name: 'custody_rate_limited_total',
    help: 'Searches that were refused because a person, a system or a kind of search had its share',
    labelNames: ['kind'],
    registers: [this.registry],
  });

  readonly searchesSuspended = new Gauge({
    name: 'custody_searches_suspended',
    help: '1 while this kind of search is suspended',
    labelNames: ['kind'],
    registers: [this.registry],
  });

  readonly searchCommandsTotal = new Counter({
    name: 'custody_search_commands_total',
    help: 'Commands about retrospective searches that this replica decided on as their owner, by result',
    labelNames: ['command', 'result'],
    registers: [this.registry],
  });

  readonly retrospectiveSearchesWaiting = new Gauge({
    name: 'custody_retrospective_searches_waiting',
    help: 'Retrospective searches that this replica owns and has not begun to run',
    registers: [this.registry],
  });

  readonly operatorSearchesWithoutOutcome = new Gauge({
    name: 'custody_operator_searches_without_outcome',
    help: 'Operator-initiated searches of which nobody has recorded yet what came of them',
    registers: [this.registry],
  });

  readonly searchesIncompleteTotal = new Counter({
    name: 'custody_searches_incomplete_total',
    help: 'Searches whose answer misses a part of the gallery',
    labelNames: ['kind'],
    registers: [this.registry],
  });

  readonly generationLagRecords = new Gauge({
    name: 'custody_generation_lag_records',
    help: 'Records of the running gallery that are not yet in the gallery that is built beside it',
    labelNames: ['model'],
    registers: [this.registry],
  });

  readonly generationGapRecords = new Gauge({
    name: 'custody_generation_gap_records',
    help: 'Images that the gallery that is built beside the running one lacks',
    labelNames: ['model'],
    registers: [this.registry],
  });

  readonly galleryDigestMismatch = new Gauge({
    name: 'custody_gallery_digest_mismatch',
    help: '1 while two replicas that have read this partition equally far hold different things of it',
    labelNames: ['partition'],
    registers: [this.registry],
  });

  readonly erasuresPending = new Gauge({
    name: 'custody_erasures_pending',
    help: 'Images that are erased and not yet destroyed in every store',
    registers: [this.registry],
  });

  readonly erasuresLate = new Gauge({
    name: 'custody_erasures_late',
    help: 'Images that are erased and were not destroyed in every store within the bound',
    registers: [this.registry],
  });

  readonly erasureDestructionSeconds = new Histogram({
    name: 'custody_erasure_destruction_seconds',
    help: 'From an erasure taking effect to the last store having destroyed the image',
    buckets: DESTRUCTION_BUCKETS_SECONDS,
    registers: [this.registry],
  });

  readonly reviewsDue = new Gauge({
    name: 'custody_reviews_due',
    help: 'Custody images whose retention is to be reviewed by today and was not',
    registers: [this.registry],
  });

  constructor() {
    super();
    this.registry.registerMetric(this.searchDurationSeconds);
    for (const [kind, outcomes] of Object.entries(SEARCH_OUTCOMES)) {
      for (const outcome of outcomes) this.searchesTotal.inc({ kind, outcome }, 0);
      this.searchesIncompleteTotal.inc({ kind }, 0);
      this.rateLimitedTotal.inc({ kind }, 0);
    }
    for (const reason of SEAL_FAILURES) this.auditSealFailuresTotal.inc({ reason }, 0);
  }
}
