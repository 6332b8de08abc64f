/** Exact probabilities of counts: intervals of a proportion, and ranks in a gallery that is a part of a larger one. */
import type { Interval } from './intervals.js';

/** Steps of halving after which a double does not change any more. */
const BISECTIONS = 60;

/** Coefficients of Lanczos' approximation (g = 7, n = 9), relative error below 1e-14. */
const LANCZOS = [
  0.99999999999980993, 676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059,
  12.507343278686905, -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7,
];

/** ln Γ(x) for x > 0. */
function logGamma(x: number): number {
  if (x < 0.5) return Math.log(Math.PI / Math.sin(Math.PI * x)) - logGamma(1 - x);
  let sum = LANCZOS[0]!;
  for (let i = 1; i < LANCZOS.length; i++) sum += LANCZOS[i]! / (x - 1 + i);
  const t = x + 6.5;
  return 0.5 * Math.log(2 * Math.PI) + (x - 0.5) * Math.log(t) - t + Math.log(sum);
}

/** ln of n choose k; −∞ where there is no way. */
function logChoose(n: number, k: number): number {
  if (k < 0 || k > n) return -Infinity;
  return logGamma(n + 1) - logGamma(k + 1) - logGamma(n - k + 1);
}

/** P(X ≤ k), X binomial of n trials at probability p. */
function binomialAtMost(k: number, n: number, p: number): number {
  if (k >= n) return 1;
  if (p <= 0) return 1;
  if (p >= 1) return 0;
  let sum = 0;
  for (let i = 0; i <= k; i++) sum += Math.exp(logChoose(n, i) + i * Math.log(p) + (n - i) * Math.log1p(-p));
  return Math.min(1, sum);
}

/**
 * The interval of Clopper and Pearson (1934) for a proportion of independent trials: at no true proportion is it wrong
 * more often than 1 − level. Without any error its lower end is 0 and its upper end, at .95, about 3.7 / trials.
 *
 * @param count of `trials`; trials that are not independent, such as two images of one person, make it too narrow
 */
export function exactInterval(count: number, trials: number, level: number): Interval {
  if (trials === 0) return { low: 0, high: 1 };
  const tail = (1 - level) / 2;
  const solve = (isTooHigh: (p: number) => boolean): number => {
    let low = 0;
    let high = 1;
    for (let i = 0; i < BISECTIONS; i++) {
      const p = (low + high) / 2;
      if (isTooHigh(p)) high = p;
      else low = p;
    }
    return (low + high) / 2;
  };
  return {
    low: count === 0 ? 0 : solve((p) => 1 - binomialAtMost(count - 1, trials, p) > tail),
    high: count === trials ? 1 : solve((p) => binomialAtMost(count, trials, p) < tail),
  };
}

/**
 * With which probability a mate that `better` of `others` people beat is within the first `rank` of a gallery that holds
 * the mate and a random `drawn` of those others (hypergeometric: fewer than `rank` of the better ones are drawn).
 */
export function chanceWithinRank(rank: number, better: number, others: number, drawn: number): number {
  const all = logChoose(others, drawn);
  let sum = 0;
  for (let k = 0; k < rank && k <= better; k++) {
    sum += Math.exp(logChoose(better, k) + logChoose(others - better, drawn - k) - all);
  }
  return Math.min(1, sum);
}
