/** What the gallery is and who holds it, as the shards themselves say. */
import { TEMPLATE_PARTITIONS, type PartitionCoverage } from '#domain/gallery.js';
import type { ModelOverrideNotice, SearchKind } from '#domain/search-answer.js';
import type { ModelPack } from '#face/model-pack.js';
import type { GalleryClient } from './gallery-client.js';
import type { GovernanceDecisions } from '../governance/governance-decisions.js';
import type { KindOfSearchState, SearchPermits } from './search-permits.js';

export interface GalleryState {
  readonly modelId: string;
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
  readonly watermark: Readonly<Record<string, number>>;
  readonly replicas: readonly { readonly replicaId: string; readonly coverage: readonly PartitionCoverage[] }[];
}

const COVERAGE_DEADLINE_MS = 2_000;

export class Galleries {
  constructor(
    private readonly gallery: GalleryClient,
    private readonly pack: ModelPack,
    private readonly permits: SearchPermits,
    private readonly decisions: GovernanceDecisions,
  ) {}

  async list(): Promise<{ readonly galleries: readonly GalleryState[] }> {
    const { modelId, manifest } = this.pack;
    const found = await this.gallery.coverage(COVERAGE_DEADLINE_MS);
    return {
      galleries: [
        {
          modelId,
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
            operator: this.permits.stateOf('operator', found.enrolled),
            retrospective: this.permits.stateOf('retrospective', found.enrolled),
          },
          override: this.permits.override ?? null,
          enrolled: found.enrolled,
          complete: found.missing.length === 0,
          partitionsTotal: TEMPLATE_PARTITIONS,
          partitionsMissing: found.missing,
          watermark: Object.fromEntries(found.watermark),
          replicas: found.replies.map(({ replicaId, coverage }) => ({ replicaId, coverage })),
        },
      ],
    };
  }
}
