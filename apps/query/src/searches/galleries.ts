/** What the gallery is and who holds it, as the shards themselves say. */
import { TEMPLATE_PARTITIONS, type PartitionCoverage } from '#domain/gallery.js';
import type { Said } from '#domain/governance.js';
import type { ModelOverrideNotice, SearchKind } from '#domain/search-answer.js';
import type { GenerationProgress, GenerationProgresses } from '../generations/generation-progress.js';
import type { Generation, Generations } from '../generations/generations.js';
import type { GovernanceDecisions } from '../governance/governance-decisions.js';
import type { DigestComparison } from '../replicas/digest-comparison.js';
import type { ReplicaOnRecord, ReplicasOnRecord } from '../replicas/replicas-on-record.js';
import type { KindOfSearchState } from './search-permits.js';

export interface GalleryState {
  readonly modelId: string;
  /** Whether searches are of this gallery. */
  readonly inForce: boolean;
  /** Who switched to it; null while nobody has, or for one that is not in force. */
  readonly switched: (Said & { readonly from: string; readonly lacking: number }) | null;
  /** Of one that is built beside the deployment's own: how far it is; null for that one itself. */
  readonly progress: GenerationProgress | null;
  readonly model: {
    readonly name: string;
    readonly version: string;
    readonly licence: string;
    readonly licenceHolder: string;
    /** True for the default pack: good for finding out whether the system works, not for policing. */
    readonly evaluationOnly: boolean;
    readonly note: string;
  };
  /** Which of the versioned thresholds are in force. */
  readonly thresholdVersion: number | null;
  /** What a search of each kind would be told now. */
  readonly searches: Readonly<Record<SearchKind, KindOfSearchState>>;
  /** What two people have decided in place of an approved evaluation. */
  readonly override: ModelOverrideNotice | null;
  readonly enrolled: number;
  readonly complete: boolean;
  readonly partitionsTotal: number;
  readonly partitionsMissing: readonly number[];
  /** Partitions with images that are not searched, because their templates cannot be used. */
  readonly partitionsIncomplete: readonly number[];
  /** How many such images. */
  readonly unusable: number;
  readonly watermark: Readonly<Record<string, number>>;
  /** Each worker that has answered now. */
  readonly replicas: readonly { readonly replicaId: string; readonly coverage: readonly PartitionCoverage[] }[];
  /** Each process that has ever reported and is not retired, whether it answers or not. */
  readonly replicasOnRecord: readonly ReplicaOnRecord[];
  /** Partitions of which two replicas hold different things. */
  readonly partitionsDiffering: readonly number[];
}

const COVERAGE_DEADLINE_MS = 2_000;

export class Galleries {
  constructor(
    private readonly generations: Pick<Generations, 'all' | 'base' | 'modelInForce'>,
    private readonly progresses: Pick<GenerationProgresses, 'of'>,
    private readonly decisions: GovernanceDecisions,
    private readonly onRecord: Pick<ReplicasOnRecord, 'ofModel'>,
    private readonly digests: Pick<DigestComparison, 'differences'>,
  ) {}

  /** The one in force first. */
  async list(): Promise<{ readonly galleries: readonly GalleryState[] }> {
    const galleries = await Promise.all(this.generations.all().map((generation) => this.stateOf(generation)));
    return { galleries: galleries.sort((a, b) => Number(b.inForce) - Number(a.inForce)) };
  }

  private async stateOf({ modelId, pack, gallery, permits }: Generation): Promise<GalleryState> {
    const { manifest } = pack;
    const inForce = modelId === this.generations.modelInForce;
    const [found, progress] = await Promise.all([
      gallery.coverage(COVERAGE_DEADLINE_MS),
      modelId === this.generations.base.modelId ? null : this.progresses.of(modelId),
    ]);
    return {
      modelId,
      inForce,
      switched: inForce ? this.decisions.gallerySwitched() : null,
      progress,
      model: {
        name: manifest.name,
        version: manifest.version,
        licence: manifest.licence.spdx,
        licenceHolder: manifest.licence.holder,
        evaluationOnly: manifest.licence.evaluationOnly,
        note: manifest.licence.note,
      },
      thresholdVersion: this.decisions.thresholds().versionInForce,
      searches: {
        operator: permits.stateOf('operator', found.enrolled),
        retrospective: permits.stateOf('retrospective', found.enrolled),
      },
      override: permits.override ?? null,
      enrolled: found.enrolled,
      complete: found.missing.length === 0 && found.incomplete.length === 0,
      partitionsTotal: TEMPLATE_PARTITIONS,
      partitionsMissing: found.missing,
      partitionsIncomplete: found.incomplete,
      unusable: found.unusable,
      watermark: Object.fromEntries(found.watermark),
      replicas: found.replies.map(({ replicaId, coverage }) => ({ replicaId, coverage })),
      replicasOnRecord: this.onRecord.ofModel(modelId),
      partitionsDiffering: differing(this.digests, modelId),
    };
  }
}

function differing({ differences }: Pick<DigestComparison, 'differences'>, modelId: string): readonly number[] {
  const partitions = differences.filter((one) => one.modelId === modelId).map(({ partition }) => partition);
  return [...new Set(partitions)].sort((a, b) => a - b);
}
