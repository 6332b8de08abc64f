/** Which thresholds the measurements support for a wanted false positive identification rate and gallery. */
import { drawWeights, percentileInterval } from './intervals.js';
import { fnirAt, scoreAtFpir, type BootstrapSize, type OpenSet } from './open-set.js';
import type { Random } from './random.js';
import { reportedInterval, rounded } from './reported.js';
import type { ReportedBand, ThresholdProposal } from './report.js';
import {
  backtest,
  EXTRAPOLATION_FACTOR_MAX,
  extrapolationFactor,
  fitThresholdLine,
  largestGallery,
  predictScore,
  widen,
  type MeasuredThreshold,
} from './threshold-model.js';
import { subjectsAtOrAbove } from './thresholding.js';

/** Rates at which each gallery's threshold is read off, for the line through them. */
const FITTED_FPIRS = [0.1, 0.05, 0.03, 0.02, 0.01, 0.005, 0.003];
/** A threshold that fewer people decide is chance. */
const FALSE_POSITIVE_SUBJECTS_MIN = 10;
/** Beyond the measured galleries each band is for twice the gallery of the band before. */
const BAND_GROWTH = 2;

export interface WantedThreshold {
  readonly fpir: number;
  readonly gallerySize: number;
}

/**
 * @param sets by gallery size, ascending
 * @param groupRates for a measured band: rates of groups at its score in that gallery
 */
export function proposeThresholds(
  wanted: WantedThreshold,
  sets: readonly OpenSet[],
  size: BootstrapSize,
  random: Random,
  groupRates: (set: OpenSet, score: number) => ReportedBand['groups'],
): ThresholdProposal {
  const points = sets.flatMap((set) =>
    [...new Set([...FITTED_FPIRS, wanted.fpir])].flatMap((fpir) => {
      const score = scoreAtFpir(set.pooled, fpir);
      const people = subjectsAtOrAbove(set.pooled.nonMated, score);
      return people >= FALSE_POSITIVE_SUBJECTS_MIN ? [{ set, fpir, enrolled: set.enrolled, score }] : [];
    }),
  );
  if (points.length < 2) return unsupported(wanted);
  const line = fitThresholdLine(points);
  const foretold = backtest(points) ?? null;
  const samples = Array.from({ length: size.replicates }, () => {
    const weights = drawWeights(size.subjects, random);
    const line = fitThresholdLine(
      points.map(({ set, fpir, enrolled }) => ({ fpir, enrolled, score: scoreAtFpir(set.pooled, fpir, weights) })),
    );
    return { line, weights };
  });

  const measuredAt = new Map(points.filter(({ fpir }) => fpir === wanted.fpir).map(({ set }) => [set.enrolled, set]));
  const last = sets.at(-1)!;
  const band = (enrolledMax: number): ReportedBand => {
    const set = measuredAt.get(enrolledMax);
    const factor = extrapolationFactor(points, enrolledMax, wanted.fpir);
    const score =
      set !== undefined ? scoreAtFpir(set.pooled, wanted.fpir) : predictScore(line, enrolledMax, wanted.fpir);
    const scores = samples.map((sample) =>
      set !== undefined
        ? scoreAtFpir(set.pooled, wanted.fpir, sample.weights)
        : predictScore(sample.line, enrolledMax, wanted.fpir),
    );
    const interval = percentileInterval(scores, size.level);
    const basis = set !== undefined ? 'measured' : factor <= 1 ? 'fitted' : 'extrapolated';
    const error = basis === 'extrapolated' && foretold !== null ? foretold.predicted - foretold.measured : 0;
    const mates = set ?? last;
    const fnirs = samples.map((sample, i) => fnirAt(mates.pooled, scores[i]!, sample.weights));
    return {
      enrolledMax,
      score: rounded(score),
      scoreInterval: reportedInterval(widen(interval, error)),
      basis,
      extrapolationFactor: rounded(factor),
      fpir: wanted.fpir,
      // Whether the mate is below the threshold does not depend on who else is enrolled.
      fnir: rounded(fnirAt(mates.pooled, score)),
      fnirInterval: reportedInterval(percentileInterval(fnirs, size.level)),
      groups: set === undefined ? [] : groupRates(set, score),
    };
  };

  const reach = largestGallery(points, wanted.fpir, EXTRAPOLATION_FACTOR_MAX);
  const bands = rising(bandSizes([...measuredAt.keys()], wanted.gallerySize, reach).map(band));
  const supported = wanted.gallerySize <= reach;
  return {
    wanted,
    supported,
    text: proposalText(wanted, points, bands, reach),
    model: {
      form: 'score = intercept + slope * (ln N - ln(-ln(1 - fpir)))',
      intercept: rounded(line.intercept),
      slope: rounded(line.slope),
      points: points.length,
      backtest: foretold && {
        ...foretold,
        factor: rounded(foretold.factor),
        predicted: rounded(foretold.predicted),
        measured: rounded(foretold.measured),
      },
    },
    bands,
  };
}

/** Measured galleries, then doublings up to the wanted one or as far as the line may be drawn. */
export function bandSizes(measured: readonly number[], wanted: number, reach: number): number[] {
  const end = Math.min(wanted, reach);
  const sizes = measured.filter((size) => size < end).sort((a, b) => a - b);
  for (let size = (sizes.at(-1) ?? end) * BAND_GROWTH; size < end; size *= BAND_GROWTH) sizes.push(size);
  return end > 0 ? [...sizes, end] : sizes;
}

/** A larger gallery never has a lower threshold; by chance a measured one may. */
function rising(bands: readonly ReportedBand[]): ReportedBand[] {
  let least = -1;
  return bands.map((band) => {
    least = Math.max(least, band.score);
    return { ...band, score: least };
  });
}

/**
 * With m people, half of them enrolled, rates down to about 10 in m / 2 can be read off: N / FPIR reaches m² / 40, and
 * ten times that with the line.
 */
function peopleNeeded({ gallerySize, fpir }: WantedThreshold): number {
  return Math.ceil(Math.sqrt((40 * gallerySize) / fpir / EXTRAPOLATION_FACTOR_MAX) / 100) * 100;
}

function proposalText(
  wanted: WantedThreshold,
  points: readonly MeasuredThreshold[],
  bands: readonly ReportedBand[],
  reach: number,
): string {
  const { fpir, gallerySize } = wanted;
  const measuredTo = largestGallery(points, fpir, 1);
  const whole = (n: number): string => n.toLocaleString('en-GB');
  const last = bands.at(-1);
  const range =
    last === undefined ? '' : ` from ${last.scoreInterval.low?.toFixed(3)} to ${last.scoreInterval.high?.toFixed(3)}`;
  if (gallerySize <= measuredTo) {
    return `For ${percent(fpir)} of searches without a mate in a gallery of ${whole(gallerySize)} the data support the score ${last?.score.toFixed(3)},${range}.`;
  }
  const extrapolation =
    `Scores for galleries above ${whole(measuredTo)} are EXTRAPOLATED, by a line through the measured ones ` +
    `(score against the logarithm of gallery over rate); no search in a gallery of that size was measured.`;
  if (gallerySize <= reach) {
    return `For ${percent(fpir)} in a gallery of ${whole(gallerySize)} the proposed score is ${last?.score.toFixed(3)},${range}. ${extrapolation}`;
  }
  return (
    `REFUSED for a gallery of ${whole(gallerySize)}: the data support ${percent(fpir)} up to ${whole(measuredTo)} enrolled, and by ` +
    `extrapolation, at most ${EXTRAPOLATION_FACTOR_MAX} times as far, up to ${whole(reach)}. ${extrapolation} About ` +
    `${whole(peopleNeeded(wanted))} different people would be needed.`
  );
}

function unsupported(wanted: WantedThreshold): ThresholdProposal {
  return {
    wanted,
    supported: false,
    text:
      `REFUSED: too few people. No threshold is decided by ${FALSE_POSITIVE_SUBJECTS_MIN} or more of them; about ` +
      `${peopleNeeded(wanted).toLocaleString('en-GB')} different people would be needed.`,
    model: null,
    bands: [],
  };
}

function percent(rate: number): string {
  return `an FPIR of ${Number((rate * 100).toPrecision(3))} %`;
}
