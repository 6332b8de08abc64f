/**
 * How the threshold for a false positive identification rate rises with the gallery.
 *
 * The best of N scores with other people is a maximum. Where single scores have a light (exponential-like) tail, its
 * distribution is Gumbel's, and shifts by σ·ln N as the gallery grows (Fisher and Tippett 1928; Coles, "An Introduction to
 * Statistical Modeling of Extreme Values", chapter 3). The score t at which a share f of non-mated probes gets a candidate
 * is then a straight line:
 *
 *     t = α + β · x,    x = ln N − ln(−ln(1 − f))    (about ln(N / f) for small f)
 *
 * so that small rates in small galleries say something about larger ones. It is a model: beyond what was measured it is
 * an extrapolation and is called one, and beyond {@link EXTRAPOLATION_FACTOR_MAX} it is refused.
 */
import type { Interval } from './intervals.js';

/** Beyond a tenfold the intervals would say how well the line is known, not whether it is a line. */
export const EXTRAPOLATION_FACTOR_MAX = 10;

/** A threshold that was measured. */
export interface MeasuredThreshold {
  readonly enrolled: number;
  readonly fpir: number;
  readonly score: number;
}

/** t = intercept + slope · x. */
export interface ThresholdLine {
  readonly intercept: number;
  readonly slope: number;
}

/** The x of the line above: how rare a score must be among comparisons, on a natural logarithmic scale. */
export function rarity(enrolled: number, fpir: number): number {
  return Math.log(enrolled) - Math.log(-Math.log1p(-fpir));
}

/**
 * Ordinary least squares.
 *
 * @param measured of at least two different rarities
 */
export function fitThresholdLine(measured: readonly MeasuredThreshold[]): ThresholdLine {
  const xs = measured.map(({ enrolled, fpir }) => rarity(enrolled, fpir));
  const meanX = mean(xs);
  const meanY = mean(measured.map(({ score }) => score));
  let squares = 0;
  let products = 0;
  measured.forEach(({ score }, i) => {
    squares += (xs[i]! - meanX) ** 2;
    products += (xs[i]! - meanX) * (score - meanY);
  });
  const slope = products / squares;
  return { intercept: meanY - slope * meanX, slope };
}

export function predictScore({ intercept, slope }: ThresholdLine, enrolled: number, fpir: number): number {
  return intercept + slope * rarity(enrolled, fpir);
}

/**
 * How far a wanted threshold lies beyond the rarest that was measured, as a factor of the gallery (or, which is the same
 * here, of the rate): 1 or less is measured, 10 is a gallery ten times as large.
 *
 * @param measured at least one
 */
export function extrapolationFactor(measured: readonly MeasuredThreshold[], enrolled: number, fpir: number): number {
  const rarest = Math.max(...measured.map((point) => rarity(point.enrolled, point.fpir)));
  return Math.exp(rarity(enrolled, fpir) - rarest);
}

/** The largest gallery at a rate that lies at most `factor` beyond what was measured. */
export function largestGallery(measured: readonly MeasuredThreshold[], fpir: number, factor: number): number {
  return Math.floor(factor / extrapolationFactor(measured, 1, fpir) + 1e-9);
}

/** Fits the line below a rarity only, and says how far it is from the measured threshold beyond. */
export interface Backtest {
  /** How far the point that is foretold lies beyond those that the line was fitted to. */
  readonly factor: number;
  readonly enrolled: number;
  readonly fpir: number;
  readonly predicted: number;
  readonly measured: number;
}

/**
 * Hides the rarest tenfold of the measured points and foretells the rarest from the rest, as an extrapolation by the
 * greatest permitted factor would.
 *
 * @returns undefined when fewer than two rarities are left to fit
 */
export function backtest(measured: readonly MeasuredThreshold[]): Backtest | undefined {
  const byRarity = measured.toSorted((a, b) => rarity(a.enrolled, a.fpir) - rarity(b.enrolled, b.fpir));
  const target = byRarity.at(-1);
  if (target === undefined) return undefined;
  const seen = byRarity.filter(
    (point) => extrapolationFactor([point], target.enrolled, target.fpir) >= EXTRAPOLATION_FACTOR_MAX,
  );
  if (new Set(seen.map(({ enrolled, fpir }) => rarity(enrolled, fpir))).size < 2) return undefined;
  return {
    factor: extrapolationFactor(seen, target.enrolled, target.fpir),
    enrolled: target.enrolled,
    fpir: target.fpir,
    predicted: predictScore(fitThresholdLine(seen), target.enrolled, target.fpir),
    measured: target.score,
  };
}

/** The interval of the line and the error of the back-test are different things; a threshold has both. */
export function widen({ low, high }: Interval, error: number): Interval {
  return { low: low - Math.abs(error), high: high + Math.abs(error) };
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
