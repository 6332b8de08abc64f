/**
 * Open-set identification: some people are enrolled with one image each, everybody else searches without being there
 * (ISO/IEC 19795-1; NIST FRTE 1:N, "investigation" and "identification" by threshold).
 *
 * A *split* draws who is enrolled and with which image. Everybody who is not enrolled is one non-mated probe, by one
 * image at random; everybody who is enrolled and has another image is one mated probe.
 *
 * - FPIR, false positive identification rate: the share of non-mated probes that get any candidate at or above the
 *   threshold.
 * - FNIR, false negative identification rate: the share of mated probes whose own enrolled images all stay below it.
 *
 * Splits overlap, because there are only so many people. The spread over splits says what chance does to one gallery of
 * that size; the bootstrap over identities says how far these people may be from others. It draws probes' identities and
 * leaves each split's gallery as it is: a gallery with some people twice and others not at all would be a smaller one.
 */
import { drawWeights, percentileInterval, spreadOf, type Interval, type Spread } from './intervals.js';
import { shuffle, type Random } from './random.js';
import type { ScoreTable } from './score-table.js';
import { rankScores, scoreAtRate, shareAtOrAbove, subjectsAtOrAbove, type RankedScores } from './thresholding.js';

/** Probes of one split, or of several together. */
export interface OpenSetScores {
  /** For each non-mated probe its best score against the gallery. */
  readonly nonMated: RankedScores;
  /** For each mated probe the best score of its own enrolled images. */
  readonly mated: RankedScores;
}

/** Who is enrolled in one split, by which image, and who searches by which. */
export interface SplitPlan {
  /** Images, ascending. */
  readonly gallery: readonly number[];
  /** With the enrolled images of the same person, at least one: scores fuse by the greatest, as in a search. */
  readonly matedProbes: readonly { readonly probe: number; readonly mates: readonly number[] }[];
  readonly nonMatedProbes: readonly number[];
}

export interface OpenSet {
  readonly enrolled: number;
  readonly splits: readonly OpenSetScores[];
  /** All probes of all splits. */
  readonly pooled: OpenSetScores;
}

/**
 * @param enrolled fewer than there are people, so that somebody is left who is not enrolled
 * @throws RangeError
 */
export function planSplit(imagesOf: readonly (readonly number[])[], enrolled: number, random: Random): SplitPlan {
  if (enrolled < 1 || enrolled >= imagesOf.length) {
    throw new RangeError(`${enrolled} of ${imagesOf.length} people cannot be enrolled and leave anybody out`);
  }
  const shuffled = shuffle(imagesOf, random);
  const gallery: number[] = [];
  const matedProbes: { probe: number; mates: number[] }[] = [];
  for (const own of shuffled.slice(0, enrolled)) {
    const [mate, probe] = shuffle(own, random);
    gallery.push(mate!);
    if (probe !== undefined) matedProbes.push({ probe, mates: [mate!] });
  }
  const nonMatedProbes = shuffled.slice(enrolled).map((own) => own[Math.floor(random() * own.length)]!);
  return { gallery: gallery.sort((a, b) => a - b), matedProbes, nonMatedProbes };
}

export function scoreSplit(table: ScoreTable, { gallery, matedProbes, nonMatedProbes }: SplitPlan): OpenSetScores {
  const best = nonMatedProbes.map((probe) => {
    const row = table.row(probe);
    let greatest = -1;
    for (let i = 0; i < gallery.length; i++) greatest = Math.max(greatest, row[gallery[i]!]!);
    return greatest;
  });
  const subjectOf = (image: number): number => table.subjectOf[image]!;
  return {
    nonMated: rankScores(best, nonMatedProbes.map(subjectOf)),
    mated: rankScores(
      matedProbes.map(({ probe, mates }) => Math.max(...mates.map((mate) => table.score(probe, mate)))),
      matedProbes.map(({ probe }) => subjectOf(probe)),
    ),
  };
}

/** @throws RangeError as {@link planSplit} */
export function drawOpenSet(table: ScoreTable, enrolled: number, splitCount: number, random: Random): OpenSet {
  const splits = Array.from({ length: splitCount }, () =>
    scoreSplit(table, planSplit(table.imagesOf, enrolled, random)),
  );
  return { enrolled, splits, pooled: poolSplits(splits) };
}

export function poolSplits(splits: readonly OpenSetScores[]): OpenSetScores {
  const pool = (of: (split: OpenSetScores) => RankedScores): RankedScores =>
    rankScores(
      splits.flatMap((split) => [...of(split).scores]),
      splits.flatMap((split) => [...of(split).subjects]),
    );
  return { nonMated: pool(({ nonMated }) => nonMated), mated: pool(({ mated }) => mated) };
}

export function fpirAt({ nonMated }: OpenSetScores, threshold: number, weights?: Int32Array): number {
  return shareAtOrAbove(nonMated, threshold, weights);
}

export function fnirAt({ mated }: OpenSetScores, threshold: number, weights?: Int32Array): number {
  return 1 - shareAtOrAbove(mated, threshold, weights);
}

/**
 * The threshold for a false positive identification rate, over all probes of all splits. The mean of the splits' own
 * thresholds is something else: it depends on how many probes a split has, because 1 % of 148 probes is one probe, and
 * what one probe scores is mostly chance.
 */
export function scoreAtFpir({ nonMated }: OpenSetScores, fpir: number, weights?: Int32Array): number {
  return scoreAtRate(nonMated, fpir, weights);
}

/** FNIR at the threshold at which FPIR is what is wanted: what a recogniser is judged by. */
export function fnirAtFpir(scores: OpenSetScores, fpir: number, weights?: Int32Array): number {
  return fnirAt(scores, scoreAtFpir(scores, fpir, weights), weights);
}

export interface OperatingPoint {
  /** As wanted. */
  readonly fpir: number;
  readonly score: number;
  readonly scoreInterval: Interval;
  readonly fnir: number;
  /** Over identities, the threshold chosen anew in each sample. */
  readonly fnirInterval: Interval;
  /** Of single splits, each at a threshold of its own. */
  readonly fnirOfSplits: Spread;
  readonly scoreOfSplits: Spread;
  /** Different people among the non-mated probes that reach the threshold: what it rests on. */
  readonly falsePositiveSubjects: number;
}

export interface BootstrapSize {
  /** People that weights are for. */
  readonly subjects: number;
  readonly replicates: number;
  readonly level: number;
}

export function operatingPoint(set: OpenSet, fpir: number, size: BootstrapSize, random: Random): OperatingPoint {
  const { pooled, splits } = set;
  const score = scoreAtFpir(pooled, fpir);
  const samples = Array.from({ length: size.replicates }, () => {
    const weights = drawWeights(size.subjects, random);
    const threshold = scoreAtFpir(pooled, fpir, weights);
    return { threshold, fnir: fnirAt(pooled, threshold, weights) };
  });
  return {
    fpir,
    score,
    scoreInterval: percentileInterval(
      samples.map(({ threshold }) => threshold),
      size.level,
    ),
    fnir: fnirAt(pooled, score),
    fnirInterval: percentileInterval(
      samples.map(({ fnir }) => fnir),
      size.level,
    ),
    fnirOfSplits: spreadOf(splits.map((split) => fnirAtFpir(split, fpir))),
    scoreOfSplits: spreadOf(splits.map((split) => scoreAtFpir(split, fpir))),
    falsePositiveSubjects: subjectsAtOrAbove(pooled.nonMated, score),
  };
}

/** What one way of scoring gains over another, on the same people in the same splits. */
export interface PairedDifference {
  readonly before: number;
  readonly after: number;
  /** `after` − `before`: negative is fewer errors. */
  readonly difference: number;
  readonly interval: Interval;
}

/**
 * FNIR at a FPIR of two ways of scoring, each at its own threshold, by a paired bootstrap: each sample of people judges
 * both, so that what is hard about those people is no part of the difference.
 */
export function compareFnir(
  before: OpenSetScores,
  after: OpenSetScores,
  fpir: number,
  size: BootstrapSize,
  random: Random,
): PairedDifference {
  const differences = Array.from({ length: size.replicates }, () => {
    const weights = drawWeights(size.subjects, random);
    return fnirAtFpir(after, fpir, weights) - fnirAtFpir(before, fpir, weights);
  });
  const [fnirBefore, fnirAfter] = [fnirAtFpir(before, fpir), fnirAtFpir(after, fpir)];
  return {
    before: fnirBefore,
    after: fnirAfter,
    difference: fnirAfter - fnirBefore,
    interval: percentileInterval(differences, size.level),
  };
}
