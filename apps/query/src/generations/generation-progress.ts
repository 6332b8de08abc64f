/** How far the gallery of another model has come that is built beside the one that ingest enrols into. */
import { galleryTemplates, generationGroup } from '#contracts/topics.js';
import type { GenerationGap } from '#domain/generation-gap.js';
import type { ImageId, ModelId, Offset } from '#domain/ids.js';
import { pause } from '#kafka/backoff.js';
import type { LogEnds } from '#kafka/kafka-connection.js';
import type { TopicAdmin } from '#kafka/topic-admin.js';
import type { QueryMetrics } from '#platform/metrics.js';

const GAUGES_INTERVAL_MS = 10_000;

export interface GenerationProgress {
  /** The model whose gallery is followed. */
  readonly from: ModelId;
  /** Of that gallery's log, not yet followed; no more images than this are still to come. */
  readonly recordsToGo: number;
  /** Images that the other gallery has and this one lacks, because its model pack can make no template of them. */
  readonly lacking: number;
  /** By the code of what kept it from making one. */
  readonly lackingByCode: Readonly<Record<string, number>>;
}

export class GenerationProgresses {
  constructor(
    private readonly base: ModelId,
    private readonly topics: Pick<TopicAdmin, 'topicOffsets' | 'groupOffsets'>,
    private readonly gaps: { of(model: ModelId): ReadonlyMap<ImageId, GenerationGap> },
  ) {}

  /** @throws Failure KAFKA_UNAVAILABLE, TOPIC_CHANGE_FAILED */
  async of(model: ModelId): Promise<GenerationProgress> {
    const recordsToGo = await this.recordsToGo(model, await this.ends());
    const lackingByCode: Record<string, number> = {};
    const gaps = this.gaps.of(model);
    for (const { code } of gaps.values()) lackingByCode[code] = (lackingByCode[code] ?? 0) + 1;
    return { from: this.base, recordsToGo, lacking: gaps.size, lackingByCode };
  }

  /** Where the log that is followed ends now. By partition. @throws Failure KAFKA_UNAVAILABLE, TOPIC_CHANGE_FAILED */
  ends(): Promise<ReadonlyMap<number, LogEnds>> {
    return this.topics.topicOffsets(galleryTemplates(this.base));
  }

  /** Of what was in the log when the ends were asked for. @throws Failure KAFKA_UNAVAILABLE, TOPIC_CHANGE_FAILED */
  async recordsToGo(model: ModelId, ends: ReadonlyMap<number, LogEnds>): Promise<number> {
    // Ingest itself enrols into it.
    if (model === this.base) return 0;
    const handled = await this.topics.groupOffsets(generationGroup(model), galleryTemplates(this.base));
    return toGo(ends, handled);
  }
}

/** Records between what was handled, exclusive, and the ends. */
export function toGo(ends: ReadonlyMap<number, LogEnds>, handled: ReadonlyMap<number, Offset>): number {
  return [...ends].reduce((sum, [partition, { low, high }]) => {
    return sum + Math.max(0, high - Math.max(low, handled.get(partition) ?? 0));
  }, 0);
}

/** While another gallery is built, until it is told to stop. Absent when there is none, or the broker is away. */
export async function keepGenerationGauges(
  generations: { readonly built: { readonly modelId: ModelId } | undefined },
  progresses: Pick<GenerationProgresses, 'of'>,
  metrics: Pick<QueryMetrics, 'generationLagRecords' | 'generationGapRecords'>,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    const modelId = generations.built?.modelId;
    const progress = modelId === undefined ? undefined : await progresses.of(modelId).catch(() => undefined);
    metrics.generationLagRecords.reset();
    metrics.generationGapRecords.reset();
    if (progress !== undefined) {
      metrics.generationLagRecords.set({ model: modelId! }, progress.recordsToGo);
      metrics.generationGapRecords.set({ model: modelId! }, progress.lacking);
    }
    await pause(GAUGES_INTERVAL_MS, signal);
  }
}
