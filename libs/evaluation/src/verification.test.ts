import { describe, expect, it } from 'vitest';
import { seededRandom } from './random.js';
import { ScoreTable } from './score-table.js';
import {
  fmrAt,
  matedPairs,
  nonMatedPairs,
  scoreAtFmr,
  verificationPoint,
  weightedFmr,
  type NonMatedPairs,
} from './verification.js';
import { matedHistogram, nonMatedHistogram } from './histogram.js';

/** 300 people with one image, whose pairs have scores that are all different: the k-th pair scores k / 50,000. */
const PEOPLE = 300;
const PAIRS = (PEOPLE * (PEOPLE - 1)) / 2;
let next = 0;
const many = new ScoreTable(new Array<number>(PEOPLE).fill(1), (a, b) => (a === b ? 1 : ++next / 50_000));
const pairs = nonMatedPairs(many);

describe('pairs of different people', () => {
  it('are all counted, and the hundredth that is most alike is kept in order', () => {
    expect(pairs.count).toBe(PAIRS);
    expect(pairs.scores.length).toBeGreaterThanOrEqual(PAIRS / 100);
    expect(pairs.scores.length).toBeLessThan(PAIRS / 10);
    expect(pairs.scores[0]).toBeCloseTo(PAIRS / 50_000, 6);
    expect([...pairs.scores]).toEqual([...pairs.scores].toSorted((a, b) => b - a));
  });

  it('give the score of a false match rate, and back', () => {
    // Of 44,850 pairs 448 may match at .01: the 448th from above and the one below it are at 44,403 and 44,402.
    expect(scoreAtFmr(pairs, 0.01)).toBeCloseTo(44_402.5 / 50_000, 6);
    expect(fmrAt(pairs, scoreAtFmr(pairs, 0.01))).toBe(448 / PAIRS);
    expect(fmrAt(pairs, scoreAtFmr(pairs, 0.001))).toBe(44 / PAIRS);
    expect(() => scoreAtFmr(pairs, 0.1)).toThrow(RangeError);
  });

  it('may be those of a group alone', () => {
    const some = nonMatedPairs(
      many,
      Array.from({ length: PEOPLE }, (_, i) => i < 10),
    );
    expect(some.count).toBe(45);
  });
});

describe('pairs of one person', () => {
  const table = new ScoreTable([3, 1, 2], (a, b) => (a + b) / 20);

  it('are every two images of each', () => {
    // Images 0 1 2 | 3 | 4 5: .05 .1 .15 of the first, .45 of the third.
    const { scores, subjects } = matedPairs(table);
    expect([...scores].map((s) => s.toFixed(2))).toEqual(['0.45', '0.15', '0.10', '0.05']);
    expect([...subjects]).toEqual([2, 0, 0, 0]);
  });

  it('are counted in bins, each once', () => {
    const { counts, from, binWidth } = matedHistogram(matedPairs(table));
    expect(counts.reduce((sum, n) => sum + n, 0)).toBe(4);
    expect(counts[Math.floor((0.45 - from) / binWidth)]).toBe(1);
    expect(nonMatedHistogram(table).counts.reduce((sum, n) => sum + n, 0)).toBe(11);
  });

  it('give a true accept rate with its interval', () => {
    const point = verificationPoint(
      matedPairs(new ScoreTable([2, 2, 2, 2], () => 0.95)),
      pairs,
      0.001,
      { subjects: 4, replicates: 200, level: 0.95 },
      seededRandom(1),
    );
    expect(point.tar).toBe(1);
    expect(point.falseMatches).toBe(44);
  });
});

describe('the false match rate of a bootstrap sample', () => {
  /** People 0, 1, 2 with 1, 2 and 1 images: 2 + 1 + 2 = 5 pairs, of which one of (0, 1) and one of (1, 2) match. */
  const five: NonMatedPairs = {
    count: 5,
    scores: Float64Array.of(0.9, 0.8),
    first: Int32Array.of(0, 1),
    second: Int32Array.of(1, 2),
  };

  it('is the rate itself when everybody is drawn once', () => {
    expect(weightedFmr(five, 0.5, Int32Array.of(1, 1, 1), [1, 2, 1])).toBeCloseTo(2 / 5, 12);
  });

  it('counts a pair as often as both were drawn together, and nobody with their copy', () => {
    // 0 twice, 1 once, 2 not: 2 · 1 · (1 · 2) = 4 pairs, of which 2 match.
    expect(weightedFmr(five, 0.5, Int32Array.of(2, 1, 0), [1, 2, 1])).toBeCloseTo(2 / 4, 12);
  });
});
