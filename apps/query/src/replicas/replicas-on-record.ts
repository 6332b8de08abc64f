/** What `gallery.replicas` says of each replica, as people and programs are shown it. */
import type { ModelId, Offset } from '#domain/ids.js';
import type { ReplicaPartition, ReplicaState } from '#domain/replica-report.js';
import type { KnownReplica } from '#kafka/replica-follower.js';

/** A report may be late, and the clocks of two machines differ by a second or two. */
const REPORTS_MISSED_MAX = 3;
const SILENT_AFTER_MS_MIN = 15_000;

export interface ReplicaOnRecord {
  readonly replicaId: string;
  readonly layout: { readonly shards: number; readonly shard: number; readonly workers: number | null };
  /** `silent`: it was not heard of for a while and has not said that it stops. `unreadable`: what it says is not known. */
  readonly state: ReplicaState | 'silent' | 'unreadable';
  /** ISO 8601. */
  readonly startedAt: string | null;
  /** ISO 8601. */
  readonly reportedAt: string;
  readonly snapshot: { readonly at: string; readonly templates: number; readonly sizeBytes: number } | null;
  readonly snapshotProblem: string | null;
  /** By partition of `custody.dispositions`, exclusive. */
  readonly destroyedThrough: Readonly<Record<string, Offset>>;
  readonly partitions: readonly ReplicaPartition[];
}

interface NamedReplica {
  readonly known: KnownReplica;
  readonly modelId: ModelId;
  readonly replicaId: string;
}

export class ReplicasOnRecord {
  private readonly silentAfterMs: number;

  /** @param reportSeconds what replicas let pass between two reports */
  constructor(
    private readonly replicas: { all(): readonly KnownReplica[] },
    reportSeconds: number,
    private readonly nowMs: () => number = Date.now,
  ) {
    this.silentAfterMs = Math.max(SILENT_AFTER_MS_MIN, REPORTS_MISSED_MAX * reportSeconds * 1000);
  }

  ofModel(modelId: ModelId): readonly ReplicaOnRecord[] {
    return this.replicas
      .all()
      .filter(({ key }) => partsOfKey(key).modelId === modelId)
      .map((known) => this.shown(known));
  }

  /** Those of this name, one for each model and share that it was seen with. */
  named(replicaId: string): readonly NamedReplica[] {
    return this.replicas
      .all()
      .map((known) => ({ known, ...partsOfKey(known.key) }))
      .filter((one) => one.replicaId === replicaId);
  }

  /** Whether it may still run, as far as it says itself. */
  isReporting({ report, heardAtMs }: KnownReplica): boolean {
    return report?.state !== 'stopped' && this.nowMs() - heardAtMs <= this.silentAfterMs;
  }

  private shown(known: KnownReplica): ReplicaOnRecord {
    const { report, key, heardAtMs } = known;
    const { replicaId, shard, shards } = partsOfKey(key);
    const reportedAt = new Date(heardAtMs).toISOString();
    if (report === undefined) {
      return {
        replicaId,
        layout: { shards, shard, workers: null },
        state: 'unreadable',
        startedAt: null,
        reportedAt,
        snapshot: null,
        snapshotProblem: null,
        destroyedThrough: {},
        partitions: [],
      };
    }
    const { layout, state, startedAt, snapshot, snapshotProblem, destroyedThrough, partitions } = report;
    return {
      replicaId,
      layout,
      state: state === 'stopped' || this.isReporting(known) ? state : 'silent',
      startedAt,
      reportedAt,
      snapshot,
      snapshotProblem,
      destroyedThrough,
      partitions,
    };
  }
}

function partsOfKey(key: string): { modelId: ModelId; shard: number; shards: number; replicaId: string } {
  const [modelId, share = '', ...rest] = key.split('/');
  const [shard, shards] = share.split('-of-').map(Number);
  return { modelId: modelId as ModelId, shard: shard ?? 0, shards: shards ?? 0, replicaId: rest.join('/') };
}
