/**
 * Compares what replicas say that they hold. Two that have read a partition equally far must hold the same of it: when
 * their digests differ, one of them has lost or made up something, which no answer shows, as the first one wins.
 *
 * A disposition reaches two replicas at different moments, so one difference says nothing. It counts when it is still
 * there after several reports of each, at whatever equal watermarks. Replicas that are never equally far are not compared.
 */
import type { ModelId, Offset } from '#domain/ids.js';
import type { ReplicaPartition, ReplicaReport } from '#domain/replica-report.js';
import type { KnownReplica } from '#kafka/replica-follower.js';

/** Reports of each replica in which the difference must be there. */
export const DIFFERENT_REPORTS = 3;

export interface DigestDifference {
  readonly modelId: ModelId;
  readonly partition: number;
  /** Exclusive. */
  readonly watermark: Offset;
  /** Keys of the two replicas, as on `gallery.replicas`, in order. */
  readonly replicas: readonly [string, string];
}

interface Streak {
  readonly difference: DigestDifference;
  readonly reports: number;
  /** `reportedAt` of the two when the streak last grew, in the order of the keys. */
  readonly reportedAt: readonly [string, string];
}

export class DigestComparison {
  /** By pair and partition. */
  private readonly streaks = new Map<string, Streak>();

  constructor(
    private readonly replicas: {
      get(key: string): KnownReplica | undefined;
      all(): readonly KnownReplica[];
    },
    private readonly onChange: (change: {
      readonly differ: readonly DigestDifference[];
      readonly agree: readonly DigestDifference[];
    }) => void,
  ) {}

  /** The differences that have lasted. */
  get differences(): readonly DigestDifference[] {
    return [...this.streaks.values()]
      .filter(({ reports }) => reports >= DIFFERENT_REPORTS)
      .map(({ difference }) => difference);
  }

  /** @param keys of the replicas that have reported, or were retired */
  observe(keys: readonly string[]): void {
    const before = this.differences;
    for (const key of keys) {
      const report = this.replicas.get(key)?.report;
      if (report?.state === 'serving') this.compare(key, report);
      else this.forget(key);
    }
    const after = this.differences;
    const key = (one: DigestDifference): string => placeOf(one.replicas, one.partition);
    const [known, now] = [before, after].map((all) => new Set(all.map(key)));
    const differ = after.filter((one) => !known!.has(key(one)));
    const agree = before.filter((one) => !now!.has(key(one)));
    if (differ.length + agree.length > 0) this.onChange({ differ, agree });
  }

  private compare(key: string, report: ReplicaReport): void {
    const own = new Map(report.partitions.map((part) => [part.partition, part]));
    for (const { key: otherKey, report: other } of this.replicas.all()) {
      if (otherKey === key || other?.state !== 'serving' || other.modelId !== report.modelId) continue;
      for (const part of other.partitions) {
        const mine = own.get(part.partition);
        // While one of them is further, nothing is learnt: neither that they differ nor that they agree.
        if (mine === undefined || mine.watermark !== part.watermark) continue;
        if (key < otherKey) this.compareParts([key, otherKey], [report, other], [mine, part]);
        else this.compareParts([otherKey, key], [other, report], [part, mine]);
      }
    }
  }

  private compareParts(
    keys: readonly [string, string],
    reports: readonly [ReplicaReport, ReplicaReport],
    parts: readonly [ReplicaPartition, ReplicaPartition],
  ): void {
    const [{ partition, watermark, digest }, { digest: otherDigest }] = parts;
    const place = placeOf(keys, partition);
    if (digest === otherDigest) {
      this.streaks.delete(place);
      return;
    }
    const reportedAt = [reports[0].reportedAt, reports[1].reportedAt] as const;
    const streak = this.streaks.get(place);
    // Each must have looked again: one report of one replica is not compared twice with the same of the other.
    if (streak !== undefined && streak.reportedAt.some((at, i) => at >= reportedAt[i]!)) return;
    const difference = { modelId: reports[0].modelId, partition, watermark, replicas: keys };
    this.streaks.set(place, { difference, reports: (streak?.reports ?? 0) + 1, reportedAt });
  }

  /** What is replayed or gone is no longer what differed. */
  private forget(key: string): void {
    for (const [place, { difference }] of this.streaks) {
      if (difference.replicas.includes(key)) this.streaks.delete(place);
    }
  }
}

function placeOf(keys: readonly [string, string], partition: number): string {
  return `${partition} ${keys[0]} ${keys[1]}`;
}
