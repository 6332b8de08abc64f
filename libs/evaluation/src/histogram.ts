/** How scores are distributed: counts in bins of one width. */
import type { ScoreTable } from './score-table.js';
import type { RankedScores } from './thresholding.js';
import { forEachNonMated } from './verification.js';

export interface Histogram {
  /** Lower edge of the first bin, inclusive. */
  readonly from: number;
  readonly binWidth: number;
  readonly counts: readonly number[];
}

const FROM = -1;
const BIN_WIDTH = 0.02;
const BINS = Math.round(2 / BIN_WIDTH);

export function matedHistogram({ scores }: RankedScores): Histogram {
  const counts = new Array<number>(BINS).fill(0);
  for (const score of scores) counts[binOf(score)]!++;
  return { from: FROM, binWidth: BIN_WIDTH, counts };
}

export function nonMatedHistogram(table: ScoreTable): Histogram {
  const counts = new Array<number>(BINS).fill(0);
  forEachNonMated(table, undefined, (score) => counts[binOf(score)]!++);
  return { from: FROM, binWidth: BIN_WIDTH, counts };
}

/** A cosine may be above 1 by rounding. */
function binOf(score: number): number {
  return Math.min(BINS - 1, Math.max(0, Math.floor((score - FROM) / BIN_WIDTH + 1e-9)));
}
