/**
 * What an index process says of itself: which share of which gallery it holds, how far, and what it has destroyed. A
 * replica that says nothing stays on record until it is retired, because its disk may still hold what was erased.
 */
import type { ModelId, Offset } from './ids.js';

/** `stopped`: it has ended in good order; its snapshots lie where it left them. */
export type ReplicaState = 'replaying' | 'serving' | 'stopped';

export interface ReplicaLayout {
  readonly shards: number;
  readonly shard: number;
  readonly workers: number;
}

export interface ReplicaPartition {
  readonly partition: number;
  /** Exclusive: every record below it was taken into account. */
  readonly watermark: Offset;
  readonly enrolled: number;
  /** Images that are not searched, because their last record cannot be used. */
  readonly unusable: number;
  /** Equal for two replicas that hold the same of the partition. */
  readonly digest: string;
}

export interface ReplicaReport {
  readonly replicaId: string;
  readonly modelId: ModelId;
  readonly layout: ReplicaLayout;
  readonly state: ReplicaState;
  /** ISO 8601 UTC. */
  readonly startedAt: string;
  /** ISO 8601 UTC. */
  readonly reportedAt: string;
  /**
   * By partition of `custody.dispositions`, exclusive: every erasure below it is destroyed in this replica's memory and
   * in every file under its snapshot folder. A partition that is not named: of none is that known.
   */
  readonly destroyedThrough: Readonly<Record<string, Offset>>;
  /** The newest good ones of all its workers: the oldest of them, and the sums; null while one has none. */
  readonly snapshot: { readonly at: string; readonly templates: number; readonly sizeBytes: number } | null;
  /** The code of what keeps snapshots from being written. */
  readonly snapshotProblem: string | null;
  readonly partitions: readonly ReplicaPartition[];
}

/** Which replica a report is of: its key on `gallery.replicas`. */
export function replicaKey({
  modelId,
  layout,
  replicaId,
}: Pick<ReplicaReport, 'modelId' | 'layout' | 'replicaId'>): string {
  return `${modelId}/${layout.shard}-of-${layout.shards}/${replicaId}`;
}

/** Whether the replica has destroyed what the disposition at this place erases. Inclusive. */
export function hasDestroyed(
  { destroyedThrough }: Pick<ReplicaReport, 'destroyedThrough'>,
  disposition: { readonly partition: number; readonly offset: Offset },
): boolean {
  return (destroyedThrough[String(disposition.partition)] ?? 0) > disposition.offset;
}
