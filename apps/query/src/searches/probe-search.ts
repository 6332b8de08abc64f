/** What both kinds of search do once they may: ask the gallery, apply the threshold, say what was searched. */
import type { GalleryFilter, SearchMode } from '#domain/gallery.js';
import type { SearchId } from '#domain/ids.js';
import { rankCandidates, type ProbeReport, type FoundAnswer, type SearchKind } from '#domain/search-answer.js';
import { reportQuality } from '#domain/face-quality.js';
import { TEMPLATE_PARTITIONS } from '#domain/gallery.js';
import type { FacePool } from '#face/face-pool.js';
import type { ProcessedFace } from '#face/face-protocol.js';
import type { QueryMetrics, SearchStage } from '#platform/metrics.js';
import { beginSpan, describeSpan, inSpan } from '#platform/spans.js';
import type { GalleryClient } from './gallery-client.js';
import type { SearchPermits } from './search-permits.js';

export class ProbeSearch {
  constructor(
    private readonly faces: FacePool,
    private readonly gallery: GalleryClient,
    private readonly permits: Pick<SearchPermits, 'check' | 'threshold'>,
    private readonly metrics: QueryMetrics,
  ) {}

  /** @throws Refusal SEARCH_SUSPENDED, MODEL_NOT_APPROVED; Failure THRESHOLD_MISSING, KAFKA_UNAVAILABLE */
  async run(search: {
    readonly searchId: SearchId;
    readonly kind: SearchKind;
    readonly probe: ProcessedFace;
    readonly limit: number;
    readonly mode: SearchMode;
    readonly filter: GalleryFilter | undefined;
    readonly withinMs: number;
  }): Promise<FoundAnswer> {
    const { kind, probe } = search;
    // Also a search that was let in before, and waited: for its turn, or for somebody to choose a face.
    this.permits.check(kind);
    const found = await this.stage(kind, 'gallery', () =>
      this.gallery.search({
        probe: probe.embedded.template,
        limit: search.limit,
        mode: search.mode,
        filter: search.filter,
        withinMs: search.withinMs,
      }),
    );
    const endMerge = this.metrics.searchStageDurationSeconds.startTimer({ kind, stage: 'merge' });
    const mergeSpan = beginSpan('merge');
    const threshold = this.permits.threshold(kind, found.enrolled);
    const ranked = rankCandidates(found.candidates, threshold.score);
    endMerge();
    mergeSpan?.end();
    this.count(kind, threshold.version, ranked.filter(({ aboveThreshold }) => aboveThreshold).length);
    const complete = found.missing.length === 0 && found.incomplete.length === 0;
    if (!complete) this.metrics.searchesIncompleteTotal.inc({ kind });
    describeSpan({
      'custody.search.kind': kind,
      'custody.search.mode': found.mode,
      'custody.search.complete': complete,
      'custody.gallery.partitions_answered': TEMPLATE_PARTITIONS - found.missing.length,
    });
    return {
      searchId: search.searchId,
      kind,
      completedAt: new Date().toISOString(),
      complete,
      gallery: {
        modelId: this.faces.modelId,
        enrolled: found.enrolled,
        watermark: Object.fromEntries(found.watermark),
        partitionsAnswered: TEMPLATE_PARTITIONS - found.missing.length,
        partitionsTotal: TEMPLATE_PARTITIONS,
        partitionsMissing: found.missing,
        partitionsStale: found.stale,
        partitionsIncomplete: found.incomplete,
        unusable: found.unusable,
      },
      mode: found.mode,
      threshold,
      probe: reportProbe(probe),
      // An officer in the street is shown nothing below the threshold; an operator reviews a ranked list.
      candidates: kind === 'operator' ? ranked.filter((candidate) => candidate.aboveThreshold) : ranked,
    };
  }

  private count(kind: SearchKind, version: number, candidates: number): void {
    const labels = { kind, threshold_version: String(version) };
    this.metrics.searchCandidatesTotal.inc(labels, candidates);
    // Both: a rate of candidates needs the other one's 0.
    this.metrics.searchesByThresholdTotal.inc({ ...labels, result: 'candidates' }, candidates > 0 ? 1 : 0);
    this.metrics.searchesByThresholdTotal.inc({ ...labels, result: 'none' }, candidates > 0 ? 0 : 1);
  }

  async stage<T>(kind: SearchKind, stage: SearchStage, run: () => Promise<T>): Promise<T> {
    const end = this.metrics.searchStageDurationSeconds.startTimer({ kind, stage });
    try {
      return await inSpan(stage, run);
    } finally {
      end();
    }
  }

  observePipeline(kind: SearchKind, probe: ProcessedFace): void {
    for (const stage of ['decode', 'detect', 'embed'] as const) {
      this.metrics.searchStageDurationSeconds.observe({ kind, stage }, probe.timingsMs[stage] / 1000);
    }
  }
}

function reportProbe(probe: ProcessedFace): ProbeReport {
  const { quality } = probe.embedded;
  return {
    quality: reportQuality(quality),
    faceBox: probe.faces[probe.chosen]!.box,
    facesFound: probe.faces.length,
    rotation: probe.rotation,
  };
}
