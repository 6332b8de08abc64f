/** Replicas on record without a Kafka: what {@link ReplicaFollower} knows after a report. */
import { modelId, offset } from '#domain/ids.js';
import { replicaKey, type ReplicaPartition, type ReplicaReport } from '#domain/replica-report.js';
import type { KnownReplica } from '#kafka/replica-follower.js';

export const MODEL = modelId('0123456789abcdef');

export function reportOf(replicaId: string, more: Partial<ReplicaReport> = {}): ReplicaReport {
  return {
    replicaId,
    modelId: MODEL,
    layout: { shards: 1, shard: 0, workers: 1 },
    state: 'serving',
    startedAt: '2026-01-01T00:00:00.000Z',
    reportedAt: '2026-01-01T00:00:00.000Z',
    destroyedThrough: {},
    snapshot: null,
    snapshotProblem: null,
    partitions: [],
    ...more,
  };
}

export function partitionOf(partition: number, watermark: number, digest: string): ReplicaPartition {
  return { partition, watermark: offset(watermark), enrolled: 0, unusable: 0, digest };
}

export class ReplicasInMemory {
  private readonly known = new Map<string, KnownReplica>();

  /** @returns its key */
  hear(report: ReplicaReport, heardAtMs = Date.parse(report.reportedAt)): string {
    const key = replicaKey(report);
    this.known.set(key, { key, report, heardAtMs });
    return key;
  }

  hearNonsense(key: string, heardAtMs: number): void {
    this.known.set(key, { key, report: undefined, heardAtMs });
  }

  retire(key: string): void {
    this.known.delete(key);
  }

  get(key: string): KnownReplica | undefined {
    return this.known.get(key);
  }

  all(): readonly KnownReplica[] {
    return [...this.known.values()];
  }
}
