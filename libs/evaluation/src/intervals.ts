/** Confidence intervals over identities: people are drawn, not images, because images of one person go wrong together. */
import type { Random } from './random.js';

/** Both ends inclusive. */
export interface Interval {
  readonly low: number;
  readonly high: number;
}

/**
 * One bootstrap sample of people (Efron 1979; over subjects as in ISO/IEC 19795-1, annex B): how often each is drawn when
 * as many are drawn, with replacement, as there are.
 *
 * @returns length `subjects`, sums to `subjects`
 */
export function drawWeights(subjects: number, random: Random): Int32Array {
  const weights = new Int32Array(subjects);
  for (let i = 0; i < subjects; i++) weights[Math.floor(random() * subjects)]!++;
  return weights;
}

/**
 * The middle `level` of the values; not-a-number values (samples in which nobody was left to count) are passed over.
 *
 * @returns from minus to plus infinity when there is no value
 */
export function percentileInterval(values: readonly number[], level: number): Interval {
  const sorted = values.filter((value) => !Number.isNaN(value)).sort((a, b) => a - b);
  if (sorted.length === 0) return { low: -Infinity, high: Infinity };
  const tail = (1 - level) / 2;
  return { low: quantile(sorted, tail), high: quantile(sorted, 1 - tail) };
}

/** Linear between order statistics (Hyndman and Fan's type 7). @param sorted ascending, at least one */
export function quantile(sorted: readonly number[], share: number): number {
  const place = share * (sorted.length - 1);
  const below = Math.floor(place);
  const low = sorted[below]!;
  const high = sorted[Math.min(below + 1, sorted.length - 1)]!;
  // Equal ends may be infinite, of which no difference can be taken.
  return low === high ? low : low + (place - below) * (high - low);
}

export interface Spread {
  readonly mean: number;
  /** Of a sample: divided by one less than there are; 0 of a single value. */
  readonly standardDeviation: number;
  /** 5th and 95th percentile. */
  readonly p5: number;
  readonly p95: number;
}

/** @param values at least one */
export function spreadOf(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b);
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return {
    mean,
    standardDeviation: Math.sqrt(squares / Math.max(1, values.length - 1)),
    p5: quantile(sorted, 0.05),
    p95: quantile(sorted, 0.95),
  };
}
