/**
 * From templates of people to an evaluation report: all of its figures but those of degraded probes, which need the face
 * pipeline again.
 *
 * Terms are those of ISO/IEC 19795-1 and NIST FRTE 1:N; each figure is defined where it is computed: closed-set.ts,
 * open-set.ts, verification.ts, group-rates.ts, threshold-model.ts. Everything that is drawn is drawn from one seed, so
 * that the same images give the same report.
 */
import { closedSet, countWithinRank, rateWithinRank } from './closed-set.js';
import { failureRate, reportGroups, type EnrolmentTally } from './group-report.js';
import { matedHistogram, nonMatedHistogram } from './histogram.js';
import { drawOpenSet, fnirAt, fpirAt, operatingPoint, type BootstrapSize, type OpenSet } from './open-set.js';
import { seededRandom, type Random } from './random.js';
import { ScoreTable } from './score-table.js';
import { reportedInterval, reportedRate, rounded, roundedOrNull, supportOf } from './reported.js';
import type { EvaluationReport, ReportedAttribute, ReportedBand, ReportedOpenSet } from './report.js';
import { proposeThresholds, type WantedThreshold } from './threshold-proposal.js';
import { shareAtOrAbove, type RankedScores } from './thresholding.js';
import { fmrAt, matedPairs, nonMatedPairs, scoreAtFmr, verificationPoint } from './verification.js';

/** Fewer leave nothing to split. */
export const SUBJECTS_MIN = 10;
export const MATED_SUBJECTS_MIN = 2;

const FPIRS = [0.1, 0.03, 0.01, 0.003];
const FMRS = [1e-2, 1e-3, 1e-4, 1e-5];
const RANKS = [1, 10, 50];
const CMC_RANK_MAX = 50;
/** Shares of the subjects that are enrolled; the rest search without being there. */
const GALLERY_SHARES = [1 / 8, 1 / 4, 1 / 2, 3 / 4, 9 / 10];
const HALF = 1 / 2;
/** At what one threshold groups are compared. */
const GROUP_FMR = 1e-3;
const GROUP_FPIR = 1e-2;
const DET_POINTS = 120;

/** Everything that was taken of one person. */
export interface EvaluatedSubject {
  /** Of the images that gave one, in the order of their names: the first is enrolled, the second is the probe. */
  readonly templates: readonly Float32Array[];
  /** A code for each image that gave none. */
  readonly failures: readonly string[];
  /** By attribute. */
  readonly groups: Readonly<Record<string, string>>;
}

export interface EvaluationOptions {
  readonly seed: number;
  readonly splits: number;
  readonly replicates: number;
  readonly confidenceLevel: number;
  readonly wanted: WantedThreshold;
  /** Told after each of the report's parts. */
  readonly onStep?: (step: string) => void;
}

type Part =
  'failureToEnrol' | 'closedSet' | 'openSet' | 'verification' | 'distributions' | 'groups' | 'proposal' | 'notes';
export type EvaluationFigures = Pick<EvaluationReport, Part | 'method'> & {
  readonly data: Pick<
    EvaluationReport['data'],
    'images' | 'templates' | 'subjects' | 'subjectsWithMates' | 'attributes'
  >;
  /** The threshold for FPIR .01 with half enrolled: what degraded probes are judged by. */
  readonly searchScore: number;
};

/** Whether there are enough people for any figure. */
export function canBeEvaluated(subjects: readonly EvaluatedSubject[]): boolean {
  const counts = subjects.map(({ templates }) => templates.length);
  return (
    counts.filter((count) => count > 0).length >= SUBJECTS_MIN &&
    counts.filter((count) => count > 1).length >= MATED_SUBJECTS_MIN
  );
}

/** @param subjects of whom {@link canBeEvaluated}; at most IMAGES_MAX templates */
export async function evaluate(
  subjects: readonly EvaluatedSubject[],
  options: EvaluationOptions,
): Promise<EvaluationFigures> {
  const { seed, splits, replicates, confidenceLevel: level } = options;
  const present = subjects.filter(({ templates }) => templates.length > 0);
  const size: BootstrapSize = { subjects: present.length, replicates, level };
  // One stream for each part, so that a change of one leaves the others' figures as they were.
  const stream = (part: number): Random => seededRandom(seed * 1000 + part);
  // Whoever shows progress gets a turn between two parts.
  const step = async (name: string): Promise<void> => {
    options.onStep?.(name);
    await new Promise((resolve) => setImmediate(resolve));
  };

  const failureToEnrol = failures(subjects, size, stream(1));
  const table = ScoreTable.ofTemplates(present.map(({ templates }) => templates));
  await step('scores');
  const closed = closedSetFigures(table, level);
  await step('closed set');
  const sets = galleries(present.length).map((enrolled, i) => drawOpenSet(table, enrolled, splits, stream(10 + i)));
  const failureShare = failureToEnrol.rate;
  const openSet: ReportedOpenSet[] = [];
  for (const set of sets) {
    openSet.push(openSetFigures(set, size, failureShare, stream(20)));
    await step(`open set, ${set.enrolled} enrolled`);
  }
  const mated = matedPairs(table);
  const nonMated = nonMatedPairs(table);
  const verification = {
    matedPairs: mated.scores.length,
    nonMatedPairs: nonMated.count,
    points: FMRS.map((fmr) => {
      const point = verificationPoint(mated, nonMated, fmr, size, stream(30));
      return {
        fmr,
        score: rounded(point.score),
        tar: rounded(point.tar),
        tarInterval: reportedInterval(point.tarInterval),
        falseMatches: point.falseMatches,
        support: supportOf(point.falseMatches),
      };
    }),
    det: detThresholds(mated, { scores: nonMated.scores }).map((score) => ({
      score: rounded(score),
      fmr: fmrAt(nonMated, score),
      fnmr: rounded(1 - shareAtOrAbove(mated, score)),
    })),
  };
  await step('verification');
  const matedBins = matedHistogram(mated);
  const distributions = {
    from: matedBins.from,
    binWidth: matedBins.binWidth,
    mated: [...matedBins.counts],
    nonMated: [...nonMatedHistogram(table).counts],
  };
  await step('distributions');

  const half = sets.find(({ enrolled }) => enrolled === halfOf(present.length))!;
  const searchScore = operatingPoint(half, GROUP_FPIR, { ...size, replicates: 1 }, stream(40)).score;
  const pairScore = scoreAtFmr(nonMated, GROUP_FMR);
  const attributes = [...new Set(subjects.flatMap(({ groups }) => Object.keys(groups)))].sort();
  const groupOf = (attribute: string): (string | undefined)[] => present.map(({ groups }) => groups[attribute]);
  const reported: ReportedAttribute[] = [];
  for (const [i, attribute] of attributes.entries()) {
    const data = { table, mated, openSet: half.pooled, pairScore, searchScore };
    reported.push(
      reportGroups(attribute, data, groupOf(attribute), enrolmentByGroup(subjects, attribute), size, stream(50 + i)),
    );
    await step(`groups by ${attribute}`);
  }
  const proposal = proposeThresholds(options.wanted, sets, size, stream(90), (set, score) =>
    attributes.flatMap((attribute) => bandGroups(set, score, attribute, groupOf(attribute))),
  );
  await step('thresholds');
  return {
    data: {
      images: subjects.reduce((sum, { templates, failures: codes }) => sum + templates.length + codes.length, 0),
      templates: table.images,
      subjects: present.length,
      subjectsWithMates: present.filter(({ templates }) => templates.length > 1).length,
      attributes,
    },
    method: { seed, splits, replicates, confidenceLevel: level },
    failureToEnrol,
    closedSet: closed,
    openSet,
    verification,
    distributions,
    groups: { pairScore: roundedOrNull(pairScore), searchScore: roundedOrNull(searchScore), attributes: reported },
    proposal,
    notes: NOTES,
    searchScore,
  };
}

const NOTES = [
  'These are rates of the people and photographs of this folder. Other photographs, such as stills from CCTV, give other rates.',
  'Intervals are over identities: people are drawn, not images. Those of FPIR, FNIR and thresholds draw the people who search and leave each gallery as it is.',
  'Splits overlap, because there are only so many people: their spread is of galleries of that size, not of other people.',
  'Photographs that gave no template are in no rate but the failure to enrol and fnirWithFailures. A person without any template is not among the subjects.',
  'A rate of zero errors is not a rate of zero: its interval has the exact upper bound for as many people.',
  'Two names for one person, or one photograph under two names, count as false positives. Errors of labels decide figures at the lowest rates.',
];

function closedSetFigures(table: ScoreTable, level: number): EvaluationReport['closedSet'] {
  const found = closedSet(table);
  const probes = found.better.length;
  const rate = (rank: number): number => countWithinRank(found, rank) / probes;
  return {
    enrolled: found.enrolled,
    probes,
    ranks: RANKS.map((rank) => ({ rank, ...reportedRate(countWithinRank(found, rank), probes, level) })),
    cmc: Array.from({ length: CMC_RANK_MAX }, (_, i) => ({ rank: i + 1, rate: rounded(rate(i + 1)) })),
    bySize: [...galleries(found.enrolled), found.enrolled].map((enrolled) => {
      const [rank1, rank10, rank50] = RANKS.map((rank) => rounded(rateWithinRank(found, rank, enrolled)));
      return { enrolled, rank1: rank1!, rank10: rank10!, rank50: rank50! };
    }),
  };
}

function openSetFigures(set: OpenSet, size: BootstrapSize, failureShare: number, random: Random): ReportedOpenSet {
  const { pooled } = set;
  return {
    enrolled: set.enrolled,
    splits: set.splits.length,
    nonMatedProbes: pooled.nonMated.scores.length,
    matedProbes: pooled.mated.scores.length,
    operatingPoints: FPIRS.map((fpir) => {
      const point = operatingPoint(set, fpir, size, random);
      return {
        fpir,
        score: rounded(point.score),
        scoreInterval: reportedInterval(point.scoreInterval),
        scoreOfSplits: roundedSpread(point.scoreOfSplits),
        fnir: rounded(point.fnir),
        fnirInterval: reportedInterval(point.fnirInterval),
        fnirOfSplits: roundedSpread(point.fnirOfSplits),
        // Either photograph of a pair can fail (ISO/IEC 19795-1, generalised rates).
        fnirWithFailures: rounded(1 - (1 - point.fnir) * (1 - failureShare) ** 2),
        falsePositiveSubjects: point.falsePositiveSubjects,
        support: supportOf(point.falsePositiveSubjects),
      };
    }),
    det: detThresholds(pooled.mated, pooled.nonMated).map((score) => ({
      score: rounded(score),
      fpir: rounded(fpirAt(pooled, score)),
      fnir: rounded(fnirAt(pooled, score)),
    })),
  };
}

/** Thresholds from the least mated to the greatest non-mated score, where both rates change, and a little around. */
function detThresholds(mated: RankedScores, nonMated: Pick<RankedScores, 'scores'>): number[] {
  const low = Math.min(mated.scores.at(-1)!, nonMated.scores.at(-1)!);
  const high = Math.max(nonMated.scores[0]!, mated.scores[0]!);
  return Array.from({ length: DET_POINTS + 1 }, (_, i) => low + ((high - low) * i) / DET_POINTS);
}

function failures(
  subjects: readonly EvaluatedSubject[],
  size: BootstrapSize,
  random: Random,
): EvaluationReport['failureToEnrol'] {
  const byReason = new Map<string, number>();
  for (const code of subjects.flatMap(({ failures: codes }) => codes)) {
    byReason.set(code, (byReason.get(code) ?? 0) + 1);
  }
  return {
    ...failureRate(subjects.map(enrolmentOf), size, random),
    byReason: [...byReason].map(([code, count]) => ({ code, count })).sort((a, b) => b.count - a.count),
  };
}

function enrolmentOf({ templates, failures: codes }: EvaluatedSubject): EnrolmentTally {
  return { images: templates.length + codes.length, failures: codes.length };
}

function enrolmentByGroup(
  subjects: readonly EvaluatedSubject[],
  attribute: string,
): Map<string, readonly EnrolmentTally[]> {
  const byGroup = new Map<string, EnrolmentTally[]>();
  for (const subject of subjects) {
    const group = subject.groups[attribute];
    if (group === undefined) continue;
    const own = byGroup.get(group) ?? [];
    own.push(enrolmentOf(subject));
    byGroup.set(group, own);
  }
  return byGroup;
}

/** A rate of zero would promise too much: half an error stands for none. */
function bandGroups(
  { pooled }: OpenSet,
  score: number,
  attribute: string,
  groupOf: readonly (string | undefined)[],
): ReportedBand['groups'] {
  const names = [...new Set(groupOf.filter((group) => group !== undefined))].sort();
  return names.flatMap((group) => {
    const own = (scores: RankedScores): number[] =>
      [...scores.scores].filter((_, i) => groupOf[scores.subjects[i]!] === group);
    const rate = (scores: readonly number[], isError: (score: number) => boolean): number =>
      rounded(Math.max(0.5, scores.filter(isError).length) / scores.length);
    const [nonMated, mated] = [own(pooled.nonMated), own(pooled.mated)];
    if (nonMated.length === 0 || mated.length === 0) return [];
    return [
      {
        group: `${attribute} ${group}`,
        fpir: rate(nonMated, (best) => best >= score),
        fnir: rate(mated, (mate) => mate < score),
      },
    ];
  });
}

/** Sizes of galleries that leave somebody out. */
function galleries(subjects: number): number[] {
  const sizes = GALLERY_SHARES.map((share) => (share === HALF ? halfOf(subjects) : Math.round(share * subjects)));
  return [...new Set(sizes)].filter((size) => size >= 1 && size < subjects);
}

function halfOf(subjects: number): number {
  return Math.floor(subjects / 2);
}

function roundedSpread(spread: { mean: number; standardDeviation: number; p5: number; p95: number }): typeof spread {
  return {
    mean: rounded(spread.mean),
    standardDeviation: rounded(spread.standardDeviation),
    p5: rounded(spread.p5),
    p95: rounded(spread.p95),
  };
}
