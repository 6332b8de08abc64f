/**
 * One image against one: what share of pairs of different people is taken for one (FMR, false match rate), what share of
 * pairs of one person is taken for two (FNMR; TAR, true accept rate, is 1 − FNMR). ISO/IEC 19795-1. All pairs of images.
 */
import { percentileInterval, drawWeights, type Interval } from './intervals.js';
import type { BootstrapSize } from './open-set.js';
import type { Random } from './random.js';
import type { ScoreTable } from './score-table.js';
import { countAtOrAbove, rankScores, scoreAtRate, shareAtOrAbove, type RankedScores } from './thresholding.js';

/** Non-mated pairs are kept one by one above the score that this share of them reaches; below, they are only counted. */
const KEPT_SHARE = 0.01;

/** Of the first, coarse pass; a score is from -1 to 1. */
const COARSE_BINS = 4096;

export interface NonMatedPairs {
  readonly count: number;
  /** Descending: the {@link KEPT_SHARE} that is most alike, and what shares its last bin. */
  readonly scores: Float64Array;
  /** Subjects of each. */
  readonly first: Int32Array;
  readonly second: Int32Array;
}

/** Of all pairs of images of one person. */
export function matedPairs(table: ScoreTable): RankedScores {
  const scores: number[] = [];
  const subjects: number[] = [];
  table.imagesOf.forEach((images, subject) => {
    for (let i = 0; i < images.length; i++) {
      for (let j = i + 1; j < images.length; j++) {
        scores.push(table.score(images[i]!, images[j]!));
        subjects.push(subject);
      }
    }
  });
  return rankScores(scores, subjects);
}

/** @param included by subject; everybody when it is left out */
export function nonMatedPairs(table: ScoreTable, included?: readonly boolean[]): NonMatedPairs {
  const bins = new Float64Array(COARSE_BINS);
  let count = 0;
  forEachNonMated(table, included, (score) => {
    bins[coarseBin(score)]!++;
    count++;
  });
  let lowestBin = COARSE_BINS;
  for (let kept = 0; lowestBin > 0 && kept <= KEPT_SHARE * count;) kept += bins[--lowestBin]!;

  const scores: number[] = [];
  const first: number[] = [];
  const second: number[] = [];
  forEachNonMated(table, included, (score, a, b) => {
    if (coarseBin(score) < lowestBin) return;
    scores.push(score);
    first.push(a);
    second.push(b);
  });
  const order = Array.from(scores.keys()).sort((a, b) => scores[b]! - scores[a]!);
  return {
    count,
    scores: Float64Array.from(order, (i) => scores[i]!),
    first: Int32Array.from(order, (i) => first[i]!),
    second: Int32Array.from(order, (i) => second[i]!),
  };
}

function coarseBin(score: number): number {
  return Math.min(COARSE_BINS - 1, Math.max(0, Math.floor(((score + 1) / 2) * COARSE_BINS)));
}

/** @param visit the score and both subjects, of each pair once */
export function forEachNonMated(
  table: ScoreTable,
  included: readonly boolean[] | undefined,
  visit: (score: number, subjectA: number, subjectB: number) => void,
): void {
  const { subjectOf } = table;
  for (let a = 0; a < table.images; a++) {
    const subject = subjectOf[a]!;
    if (included?.[subject] === false) continue;
    const row = table.row(a);
    for (let b = a + 1; b < table.images; b++) {
      const other = subjectOf[b]!;
      if (other !== subject && included?.[other] !== false) visit(row[b]!, subject, other);
    }
  }
}

/**
 * The threshold for a false match rate of at most {@link KEPT_SHARE}.
 *
 * @throws RangeError for a greater rate, of which the pairs are not kept
 */
export function scoreAtFmr({ scores, count }: NonMatedPairs, fmr: number): number {
  if (fmr > KEPT_SHARE) throw new RangeError(`an FMR of ${fmr} is above ${KEPT_SHARE}`);
  return scoreAtRate({ scores, subjects: new Int32Array(scores.length) }, (fmr * count) / scores.length);
}

/** False match rate; exact at thresholds whose rate is at most {@link KEPT_SHARE}. */
export function fmrAt({ scores, count }: NonMatedPairs, threshold: number): number {
  return countAtOrAbove(scores, threshold) / count;
}

/**
 * The false match rate in a bootstrap sample: a pair counts as often as both its people were drawn together. A person
 * who was drawn twice is not compared with the copy.
 *
 * @param imagesOf how many images each subject has that pairs were made of
 */
export function weightedFmr(
  pairs: NonMatedPairs,
  threshold: number,
  weights: Int32Array,
  imagesOf: readonly number[],
): number {
  const end = countAtOrAbove(pairs.scores, threshold);
  let matches = 0;
  for (let i = 0; i < end; i++) matches += weights[pairs.first[i]!]! * weights[pairs.second[i]!]!;
  let images = 0;
  let ownSquares = 0;
  imagesOf.forEach((own, subject) => {
    images += weights[subject]! * own;
    ownSquares += (weights[subject]! * own) ** 2;
  });
  return matches / ((images ** 2 - ownSquares) / 2);
}

export interface VerificationPoint {
  /** As wanted. */
  readonly fmr: number;
  readonly score: number;
  readonly tar: number;
  readonly tarInterval: Interval;
  /** Pairs of different people at or above the score: what it rests on. */
  readonly falseMatches: number;
}

/** TAR at the score of a false match rate; the interval is over identities, at that score. */
export function verificationPoint(
  mated: RankedScores,
  nonMated: NonMatedPairs,
  fmr: number,
  size: BootstrapSize,
  random: Random,
): VerificationPoint {
  const score = scoreAtFmr(nonMated, fmr);
  const samples = Array.from({ length: size.replicates }, () =>
    shareAtOrAbove(mated, score, drawWeights(size.subjects, random)),
  );
  return {
    fmr,
    score,
    tar: shareAtOrAbove(mated, score),
    tarInterval: percentileInterval(samples, size.level),
    falseMatches: countAtOrAbove(nonMated.scores, score),
  };
}
