/**
 * Error rates of groups of people at one and the same threshold, and whether the data show that two groups differ.
 * Measures as in ISO/IEC 19795-10 and NIST IR 8280: false matches between people of one group, false non-matches of its
 * people, false positives and false negatives of its probes against the whole gallery.
 */
import { exactInterval } from './counting.js';
import { drawWeights, percentileInterval, type Interval } from './intervals.js';
import type { BootstrapSize, OpenSetScores } from './open-set.js';
import type { Random } from './random.js';
import type { ScoreTable } from './score-table.js';
import { countAtOrAbove, type RankedScores } from './thresholding.js';
import { nonMatedPairs, weightedFmr, type NonMatedPairs } from './verification.js';

export const GROUP_MEASURES = ['fmr', 'fnmr', 'fpir', 'fnir'] as const;
export type GroupMeasure = (typeof GROUP_MEASURES)[number];

/** Fewer errors than this in two groups together say nothing about a difference between them. */
export const ERRORS_MIN = 10;

export interface GroupRate {
  /** Not a number when there was nothing to count. */
  readonly rate: number;
  readonly interval: Interval;
  /** Errors, and what they are of: pairs of images, or probes of all splits. */
  readonly errors: number;
  readonly trials: number;
  /** Different people who took part in an error. */
  readonly errorSubjects: number;
}

export interface GroupFigures {
  readonly group: string;
  readonly subjects: number;
  readonly rates: Readonly<Record<GroupMeasure, GroupRate>>;
}

export interface GroupDifference {
  readonly measure: GroupMeasure;
  /** Of the two, the one with the greater rate. */
  readonly higher: string;
  readonly lower: string;
  /** Rate of the higher over rate of the lower. */
  readonly ratio: number;
  /** Wider than the level of one comparison, by as many as were made (Bonferroni). */
  readonly interval: Interval;
  readonly verdict: 'difference-shown' | 'not-shown' | 'too-few-errors';
}

export interface GroupComparison {
  readonly groups: readonly GroupFigures[];
  readonly differences: readonly GroupDifference[];
}

/** What groups are compared on. */
export interface GroupData {
  readonly table: ScoreTable;
  readonly mated: RankedScores;
  /** Of all splits together. */
  readonly openSet: OpenSetScores;
  /** One threshold for everybody: of FMR and FNMR, and of FPIR and FNIR. */
  readonly pairScore: number;
  readonly searchScore: number;
}

/**
 * @param groupOf by subject; undefined for people of whom the group is not known, who are in no group
 * @param size its level is that of each rate's interval, and of all comparisons of one attribute together
 */
export function compareGroups(
  data: GroupData,
  groupOf: readonly (string | undefined)[],
  size: BootstrapSize,
  random: Random,
): GroupComparison {
  const names = [...new Set(groupOf.filter((group) => group !== undefined))].sort();
  const samplers = names.map((group) => new GroupSampler(data, groupOf, group));
  const samples = Array.from({ length: size.replicates }, () => {
    const weights = drawWeights(size.subjects, random);
    return samplers.map((sampler) => sampler.rates(weights));
  });
  const groups = samplers.map((sampler, g) => sampler.figures((measure) => samples.map((s) => s[g]![measure]), size));
  const pairs = names.flatMap((_, a) => names.slice(a + 1).map((_name, i) => [a, a + 1 + i] as const));
  const comparisons = pairs.length * GROUP_MEASURES.length;
  const differences = GROUP_MEASURES.flatMap((measure) =>
    pairs.map(([a, b]) => {
      const [ga, gb] = [groups[a]!, groups[b]!];
      const aIsHigher = !(ga.rates[measure].rate < gb.rates[measure].rate);
      const [high, low, h, l] = aIsHigher ? [ga, gb, a, b] : [gb, ga, b, a];
      const ratios = samples.map((sample) => sample[h]![measure] / sample[l]![measure]);
      return difference(measure, high, low, percentileInterval(ratios, 1 - (1 - size.level) / comparisons));
    }),
  );
  return { groups, differences };
}

function difference(
  measure: GroupMeasure,
  higher: GroupFigures,
  lower: GroupFigures,
  interval: Interval,
): GroupDifference {
  const [h, l] = [higher.rates[measure], lower.rates[measure]];
  const few = h.errorSubjects + l.errorSubjects < ERRORS_MIN || h.trials === 0 || l.trials === 0;
  return {
    measure,
    higher: higher.group,
    lower: lower.group,
    ratio: h.rate / l.rate,
    interval,
    verdict: few ? 'too-few-errors' : interval.low > 1 || interval.high < 1 ? 'difference-shown' : 'not-shown',
  };
}

/** One group's rates, in all people or in a bootstrap sample of them. */
class GroupSampler {
  readonly #members: readonly boolean[];
  readonly #imagesOf: readonly number[];
  readonly #pairs: NonMatedPairs;
  readonly #below: Readonly<Record<'fnmr' | 'fnir', Tally>>;
  readonly #above: Tally;

  constructor(
    private readonly data: GroupData,
    groupOf: readonly (string | undefined)[],
    private readonly group: string,
  ) {
    const { table, mated, openSet, pairScore, searchScore } = data;
    this.#members = groupOf.map((own) => own === group);
    this.#imagesOf = table.imagesOf.map((images, subject) => (this.#members[subject]! ? images.length : 0));
    this.#pairs = nonMatedPairs(table, this.#members);
    this.#below = {
      fnmr: new Tally(mated, this.#members, (end, length) => [end, length], pairScore),
      fnir: new Tally(openSet.mated, this.#members, (end, length) => [end, length], searchScore),
    };
    this.#above = new Tally(openSet.nonMated, this.#members, (end) => [0, end], searchScore);
  }

  /** Half an error is added to counts of none, so that a ratio of two rates stays a number. */
  rates(weights: Int32Array): Record<GroupMeasure, number> {
    const fmr = weightedFmr(this.#pairs, this.data.pairScore, weights, this.#imagesOf);
    return {
      fmr: fmr > 0 ? fmr : 0.5 / Math.max(1, this.#pairs.count),
      fnmr: this.#below.fnmr.rate(weights),
      fpir: this.#above.rate(weights),
      fnir: this.#below.fnir.rate(weights),
    };
  }

  figures(samplesOf: (measure: GroupMeasure) => number[], size: BootstrapSize): GroupFigures {
    const { scores, first, second, count } = this.#pairs;
    const matches = countAtOrAbove(scores, this.data.pairScore);
    const matched = new Set([...first.subarray(0, matches), ...second.subarray(0, matches)]);
    const rate = (measure: GroupMeasure, errors: number, trials: number, people: number, among: number): GroupRate => ({
      rate: errors / trials,
      interval: errors > 0 ? percentileInterval(samplesOf(measure), size.level) : exactInterval(0, among, size.level),
      errors,
      trials,
      errorSubjects: people,
    });
    const subjects = this.#members.filter(Boolean).length;
    const of = (measure: GroupMeasure, tally: Tally): GroupRate =>
      rate(measure, tally.errors, tally.trials, tally.errorSubjects, tally.subjects);
    return {
      group: this.group,
      subjects,
      rates: {
        fmr: rate('fmr', matches, count, matched.size, subjects),
        fnmr: of('fnmr', this.#below.fnmr),
        fpir: of('fpir', this.#above),
        fnir: of('fnir', this.#below.fnir),
      },
    };
  }
}

/** Errors and trials of a group's members, by subject. */
class Tally {
  readonly #errorsOf = new Map<number, number>();
  readonly #trialsOf = new Map<number, number>();

  /** @param errorsAt which places of the descending scores are errors, from inclusive, to exclusive */
  constructor(
    { scores, subjects }: RankedScores,
    members: readonly boolean[],
    errorsAt: (end: number, length: number) => readonly [number, number],
    threshold: number,
  ) {
    const [from, to] = errorsAt(countAtOrAbove(scores, threshold), scores.length);
    subjects.forEach((subject, i) => {
      if (!members[subject]!) return;
      add(this.#trialsOf, subject);
      if (i >= from && i < to) add(this.#errorsOf, subject);
    });
  }

  get errors(): number {
    return sum(this.#errorsOf.values());
  }

  get trials(): number {
    return sum(this.#trialsOf.values());
  }

  get errorSubjects(): number {
    return this.#errorsOf.size;
  }

  get subjects(): number {
    return this.#trialsOf.size;
  }

  rate(weights: Int32Array): number {
    let errors = 0;
    let trials = 0;
    for (const [subject, count] of this.#errorsOf) errors += weights[subject]! * count;
    for (const [subject, count] of this.#trialsOf) trials += weights[subject]! * count;
    return (errors > 0 ? errors : 0.5) / trials;
  }
}

function add(counts: Map<number, number>, subject: number): void {
  counts.set(subject, (counts.get(subject) ?? 0) + 1);
}

function sum(counts: Iterable<number>): number {
  let total = 0;
  for (const count of counts) total += count;
  return total;
}
