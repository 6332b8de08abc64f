/** From scores to thresholds and back. A candidate counts when its score is at or above the threshold. */

/** Scores, and the subject that each belongs to, most alike first. */
export interface RankedScores {
  /** Descending. */
  readonly scores: Float64Array;
  readonly subjects: Int32Array;
}

/** How much above a score that must not count a threshold is, where no greater score says how far it may go. */
const JUST_ABOVE = 1e-6;

export function rankScores(scores: readonly number[], subjects: readonly number[]): RankedScores {
  const order = Array.from(scores.keys()).sort((a, b) => scores[b]! - scores[a]!);
  return {
    scores: Float64Array.from(order, (i) => scores[i]!),
    subjects: Int32Array.from(order, (i) => subjects[i]!),
  };
}

/**
 * The lowest threshold at which at most this share of the scores counts: halfway between the last score that may count
 * and the next one, which may not.
 *
 * @param weights by subject, whole numbers; every score counts once when they are left out
 * @returns not a number when there is no score
 */
export function scoreAtRate({ scores, subjects }: RankedScores, rate: number, weights?: Int32Array): number {
  const total = weights === undefined ? scores.length : sumOfWeights(subjects, weights);
  if (total === 0) return Number.NaN;
  // Rates such as .01 of 300 would lose the third score to rounding.
  const allowed = Math.floor(rate * total + 1e-9);
  let counted = 0;
  let i = 0;
  for (; i < scores.length; i++) {
    counted += weights === undefined ? 1 : weights[subjects[i]!]!;
    if (counted > allowed) break;
  }
  if (i === scores.length) return scores[scores.length - 1]!;
  const first = scores[i]!;
  // Equal scores count together or not at all. Scores that were not drawn say where the gap ends, all the same.
  let above = i - 1;
  while (above >= 0 && scores[above] === first) above--;
  return above < 0 ? first + JUST_ABOVE : (scores[above]! + first) / 2;
}

/** Share of the scores at or above the threshold. @returns not a number when there is no score */
export function shareAtOrAbove({ scores, subjects }: RankedScores, threshold: number, weights?: Int32Array): number {
  const end = countAtOrAbove(scores, threshold);
  if (weights === undefined) return end / scores.length;
  let counted = 0;
  for (let i = 0; i < end; i++) counted += weights[subjects[i]!]!;
  return counted / sumOfWeights(subjects, weights);
}

/** How many different people a share rests on: that many, not the number of scores, decide how sure it is. */
export function subjectsAtOrAbove({ scores, subjects }: RankedScores, threshold: number): number {
  return new Set(subjects.subarray(0, countAtOrAbove(scores, threshold))).size;
}

/** @param descending sorted; by halving */
export function countAtOrAbove(descending: Float64Array, threshold: number): number {
  let low = 0;
  let high = descending.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (descending[middle]! >= threshold) low = middle + 1;
    else high = middle;
  }
  return low;
}

function sumOfWeights(subjects: Int32Array, weights: Int32Array): number {
  let sum = 0;
  for (let i = 0; i < subjects.length; i++) sum += weights[subjects[i]!]!;
  return sum;
}
