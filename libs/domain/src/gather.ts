/**
 * Merges what the shards' replicas answer. All replicas answer; for each template partition the first fresh answer
 * wins, and one that is stale counts only where there is no other, the least stale of those, and is said. What nobody answered for is said too:
 * a partition that was not searched must never look like one without the person. The same holds for one of which an
 * image could not be taken in.
 *
 * Two shard layouts may answer side by side, so replies may overlap in part. Taking the union of whole replies is right
 * all the same: the best k subjects of all partitions are among the best k of every set that holds them. Of a reply that
 * is taken in part, what is left out may have stood before what would have been taken, and is said.
 */
import { compareCandidates, type GalleryCandidate, type PartitionCoverage, type UsedMode } from './gallery.js';
import type { ImageId } from './ids.js';

export interface ShardReply {
  readonly replicaId: string;
  readonly mode: UsedMode;
  readonly coverage: readonly PartitionCoverage[];
  /** Best first, at most one per subject. */
  readonly candidates: readonly GalleryCandidate[];
}

export interface Gathered {
  readonly candidates: readonly GalleryCandidate[];
  /** `approximate` as soon as one part was. */
  readonly mode: UsedMode;
  readonly enrolled: number;
  readonly watermark: ReadonlyMap<number, number>;
  readonly missing: readonly number[];
  readonly stale: readonly number[];
  /** Partitions answered for with images that are not searched, because their last record cannot be used. */
  readonly incomplete: readonly number[];
  /** How many such images. */
  readonly unusable: number;
  /**
   * Images that a shard returned and that are not shown, because they may not be, or because a fresher replica has them no
   * longer: each may stand before another image of its subject, or another subject.
   */
  readonly rejected: readonly ImageId[];
}

/** A replica further behind than this counts only when there is no other. */
export const FRESH_WITHIN_MS = 5_000;

export class Gather {
  private readonly used: { reply: ShardReply; partitions: Set<number> | 'all' }[] = [];
  private readonly lagging: ShardReply[] = [];
  private readonly covered = new Map<number, PartitionCoverage>();

  constructor(
    private readonly partitionsTotal: number,
    private readonly partitionOf: (id: ImageId) => number,
  ) {}

  /** A reply that adds no partition is ignored, so a repeated or slower one changes nothing. */
  add(reply: ShardReply): void {
    if (reply.coverage.some((part) => part.behindMs > FRESH_WITHIN_MS)) this.lagging.push(reply);
    const fresh = reply.coverage.filter(
      (part) => part.behindMs <= FRESH_WITHIN_MS && !this.covered.has(part.partition),
    );
    if (fresh.length === 0) return;
    const whole = reply.coverage.every((part) => part.behindMs <= FRESH_WITHIN_MS);
    if (whole) this.lowerWatermarks(reply.coverage);
    for (const part of fresh) this.covered.set(part.partition, part);
    this.used.push({ reply, partitions: whole ? 'all' : new Set(fresh.map((part) => part.partition)) });
  }

  /** A reply that is merged whole brings candidates of partitions that were answered for before, as of its watermark. */
  private lowerWatermarks(coverage: readonly PartitionCoverage[]): void {
    for (const { partition, watermark } of coverage) {
      const known = this.covered.get(partition);
      if (known !== undefined && watermark < known.watermark) this.covered.set(partition, { ...known, watermark });
    }
  }

  /** Whether every partition was answered for by a fresh replica: nothing is left to wait for. */
  get complete(): boolean {
    return this.covered.size === this.partitionsTotal;
  }

  /** Of the partitions that no fresh reply covers: the stale one that is least behind, and what it says of them. */
  private leastBehind(): readonly (readonly [ShardReply, readonly PartitionCoverage[]])[] {
    const nearest = new Map<number, PartitionCoverage>();
    for (const part of this.lagging.flatMap(({ coverage }) => coverage)) {
      const known = nearest.get(part.partition)?.behindMs ?? Infinity;
      if (!this.covered.has(part.partition) && part.behindMs < known) nearest.set(part.partition, part);
    }
    const parts = new Set(nearest.values());
    return this.lagging.map((reply) => [reply, reply.coverage.filter((part) => parts.has(part))] as const);
  }

  /**
   * @param k subjects at most
   * @param admit whether a candidate may be shown; dispositions that this process has read decide
   */
  result(k: number, admit: (candidate: GalleryCandidate) => boolean): Gathered {
    const covered = new Map(this.covered);
    const used = [...this.used];
    const stale: number[] = [];
    for (const [reply, added] of this.leastBehind()) {
      if (added.length === 0) continue;
      for (const part of added) {
        covered.set(part.partition, part);
        stale.push(part.partition);
      }
      used.push({ reply, partitions: new Set(added.map((part) => part.partition)) });
    }
    const bestBySubject = new Map<string, GalleryCandidate>();
    const rejected = new Set<ImageId>();
    const returned = new Set<ImageId>();
    const leftOut: GalleryCandidate[] = [];
    for (const { reply, partitions } of used) {
      for (const candidate of reply.candidates) {
        if (partitions !== 'all' && !partitions.has(this.partitionOf(candidate.imageId))) {
          leftOut.push(candidate);
          continue;
        }
        returned.add(candidate.imageId);
        if (!admit(candidate)) {
          rejected.add(candidate.imageId);
          continue;
        }
        const best = bestBySubject.get(candidate.subjectId);
        if (best === undefined || compareCandidates(candidate, best) < 0)
          bestBySubject.set(candidate.subjectId, candidate);
      }
    }
    const candidates = [...bestBySubject.values()].sort(compareCandidates).slice(0, k);
    const last = candidates.length === k ? candidates.at(-1) : undefined;
    for (const candidate of leftOut) {
      const best = bestBySubject.get(candidate.subjectId) ?? last;
      const wouldCount = best === undefined || compareCandidates(candidate, best) < 0;
      if (wouldCount && !returned.has(candidate.imageId)) rejected.add(candidate.imageId);
    }
    const parts = [...covered.values()];
    return {
      candidates,
      mode: used.some(({ reply }) => reply.mode === 'approximate') ? 'approximate' : 'exact',
      enrolled: parts.reduce((sum, part) => sum + part.enrolled, 0),
      watermark: new Map(parts.map((part) => [part.partition, part.watermark])),
      missing: Array.from({ length: this.partitionsTotal }, (_, p) => p).filter((p) => !covered.has(p)),
      stale: stale.sort((a, b) => a - b),
      incomplete: parts
        .filter(({ unusable }) => unusable > 0)
        .map(({ partition }) => partition)
        .sort((a, b) => a - b),
      unusable: parts.reduce((sum, part) => sum + part.unusable, 0),
      rejected: [...rejected],
    };
  }
}
