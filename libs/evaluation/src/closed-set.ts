/**
 * Closed-set identification: everybody who searches is enrolled (ISO/IEC 19795-1: identification rate at a rank; the
 * cumulative match characteristic is that rate over ranks).
 *
 * Each subject is enrolled by the first image; each subject with more is one mated probe, by the second. One probe a
 * person, so that who was photographed often does not weigh more, and exact binomial intervals hold.
 */
import { chanceWithinRank } from './counting.js';
import type { ScoreTable } from './score-table.js';

export interface ClosedSet {
  readonly enrolled: number;
  /** For each probe, how many other subjects score at least as high as its own: 0 is rank 1. Equal scores count against. */
  readonly better: readonly number[];
}

export function closedSet(table: ScoreTable): ClosedSet {
  const gallery = table.imagesOf.map((images) => images[0]!);
  const better = table.imagesOf.flatMap(([mate, probe], subject) => {
    if (probe === undefined) return [];
    const mateScore = table.score(probe, mate!);
    return [betterThan(mateScore, table.row(probe), gallery, subject)];
  });
  return { enrolled: gallery.length, better };
}

/**
 * @param row scores of a probe with every image
 * @param gallery one image for each subject
 * @returns how many subjects other than `own` score at least `mateScore`
 */
export function betterThan(mateScore: number, row: Float32Array, gallery: readonly number[], own: number): number {
  let better = 0;
  for (let subject = 0; subject < gallery.length; subject++) {
    if (subject !== own && row[gallery[subject]!]! >= mateScore) better++;
  }
  return better;
}

/** How many probes find their mate within this rank, in the whole gallery. */
export function countWithinRank({ better }: ClosedSet, rank: number): number {
  return better.filter((others) => others < rank).length;
}

/**
 * Share of probes that find their mate within a rank, in a random gallery of a smaller size that holds the mate: the
 * exact mean over all such galleries, not a sample of them.
 *
 * @param enrolled from 1 to as many as are enrolled
 */
export function rateWithinRank({ better, enrolled: all }: ClosedSet, rank: number, enrolled: number): number {
  const sum = better.reduce((total, others) => total + chanceWithinRank(rank, others, all - 1, enrolled - 1), 0);
  return sum / better.length;
}
