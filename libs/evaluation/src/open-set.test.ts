import { describe, expect, it } from 'vitest';
import {
  compareFnir,
  drawOpenSet,
  fnirAt,
  fnirAtFpir,
  fpirAt,
  operatingPoint,
  planSplit,
  poolSplits,
  scoreAtFpir,
  scoreSplit,
  type OpenSetScores,
} from './open-set.js';
import { seededRandom } from './random.js';
import { ScoreTable } from './score-table.js';
import { rankScores } from './thresholding.js';

/** Four people; the first two have two images. Images 0 1 | 2 3 | 4 | 5. */
const SCORES = [
  [1, 0.8, 0.3, 0.2, 0.1, 0.6],
  [0.8, 1, 0.25, 0.2, 0.15, 0.5],
  [0.3, 0.25, 1, 0.4, 0.7, 0.05],
  [0.2, 0.2, 0.4, 1, 0.35, 0.1],
  [0.1, 0.15, 0.7, 0.35, 1, 0.45],
  [0.6, 0.5, 0.05, 0.1, 0.45, 1],
];
const table = new ScoreTable([2, 2, 1, 1], (a, b) => SCORES[a]![b]!);

describe('a split', () => {
  it('enrols one image each, and leaves everybody else to search without being there', () => {
    const random = seededRandom(5);
    for (let i = 0; i < 50; i++) {
      const { gallery, matedProbes, nonMatedProbes } = planSplit(table.imagesOf, 2, random);
      const enrolled = gallery.map((image) => table.subjectOf[image]);
      expect(new Set(enrolled).size).toBe(2);
      expect(nonMatedProbes).toHaveLength(2);
      for (const probe of nonMatedProbes) expect(enrolled).not.toContain(table.subjectOf[probe]);
      for (const { probe, mates } of matedProbes) {
        const mate = mates[0]!;
        expect(mates).toHaveLength(1);
        expect(probe).not.toBe(mate);
        expect(gallery).toContain(mate);
        expect(table.subjectOf[probe]).toBe(table.subjectOf[mate]);
      }
    }
  });

  it('cannot enrol everybody', () => {
    expect(() => planSplit(table.imagesOf, 4, seededRandom(1))).toThrow(RangeError);
  });

  it('scores a probe by the best of its own enrolled images', () => {
    const three = new ScoreTable([3, 1], (a, b) => (a === b ? 1 : (a + b) / 10));
    const plan = { gallery: [0, 1], matedProbes: [{ probe: 2, mates: [0, 1] }], nonMatedProbes: [3] };
    expect(scoreSplit(three, plan).mated.scores[0]).toBeCloseTo(0.3, 6);
  });

  it('scores a mated probe by its mate, and another by the best of the gallery', () => {
    const plan = {
      gallery: [0, 2],
      matedProbes: [
        { probe: 1, mates: [0] },
        { probe: 3, mates: [2] },
      ],
      nonMatedProbes: [4, 5],
    };
    const { mated, nonMated } = scoreSplit(table, plan);
    expect([...mated.scores].map((s) => s.toFixed(2))).toEqual(['0.80', '0.40']);
    expect([...mated.subjects]).toEqual([0, 1]);
    expect([...nonMated.scores].map((s) => s.toFixed(2))).toEqual(['0.70', '0.60']);
    expect([...nonMated.subjects]).toEqual([2, 3]);
  });
});

describe('rates of searches', () => {
  const scores: OpenSetScores = {
    nonMated: rankScores([0.1, 0.2, 0.3, 0.4, 0.5], [0, 1, 2, 3, 4]),
    mated: rankScores([0.35, 0.45, 0.9, 0.95], [5, 6, 7, 8]),
  };

  it('are, by hand, 2 of 5 shown somebody and 1 of 4 missed', () => {
    expect(fpirAt(scores, 0.4)).toBe(0.4);
    expect(fnirAt(scores, 0.4)).toBe(0.25);
  });

  it('meet at the threshold for a rate: one of five may be shown somebody, so .45 decides', () => {
    expect(scoreAtFpir(scores, 0.2)).toBeCloseTo(0.45, 12);
    expect(fnirAtFpir(scores, 0.2)).toBe(0.25);
  });

  it('count every probe of every split together', () => {
    const pooled = poolSplits([scores, { ...scores, mated: rankScores([0.1], [5]) }]);
    expect(fnirAt(pooled, 0.4)).toBeCloseTo(2 / 5, 12);
    expect(fpirAt(pooled, 0.4)).toBe(0.4);
  });
});

describe('intervals of searches', () => {
  /** 400 people of whom every tenth mate is missed whatever the threshold: FNIR .1, by theory ± 1.96 · √(.1 · .9 / 400). */
  const people = Array.from({ length: 400 }, (_, i) => i);
  const scores: OpenSetScores = {
    nonMated: rankScores(
      people.map((i) => i / 1000),
      people,
    ),
    mated: rankScores(
      people.map((i) => (i % 10 === 0 ? -1 : 0.99)),
      people,
    ),
  };
  const size = { subjects: 400, replicates: 2000, level: 0.95 };

  it('have the width that a binomial gives, when each person searches once', () => {
    const point = operatingPoint({ enrolled: 1, splits: [scores], pooled: scores }, 0.01, size, seededRandom(1));
    const half = 1.96 * Math.sqrt((0.1 * 0.9) / 400);
    expect(point.fnir).toBeCloseTo(0.1, 12);
    expect(point.fnirInterval.low).toBeCloseTo(0.1 - half, 2);
    expect(point.fnirInterval.high).toBeCloseTo(0.1 + half, 2);
    expect(point.falsePositiveSubjects).toBe(4);
  });

  it('do not shrink when the same people search in a hundred splits', () => {
    const splits = Array.from({ length: 100 }, () => scores);
    const point = operatingPoint({ enrolled: 1, splits, pooled: poolSplits(splits) }, 0.01, size, seededRandom(1));
    expect(point.fnirInterval.high - point.fnirInterval.low).toBeGreaterThan(0.05);
    expect(point.falsePositiveSubjects).toBe(4);
  });

  it('of a paired difference leave out what is hard about the people', () => {
    // Half of those missed are found afterwards: a difference of -.05, whose error is that of 20 people, not of 400.
    const after: OpenSetScores = {
      ...scores,
      mated: rankScores(
        people.map((i) => (i % 20 === 0 ? -1 : 0.99)),
        people,
      ),
    };
    const found = compareFnir(scores, after, 0.01, size, seededRandom(1));
    expect(found.before).toBeCloseTo(0.1, 12);
    expect(found.difference).toBeCloseTo(-0.05, 12);
    const half = 1.96 * Math.sqrt((0.05 * 0.95) / 400);
    expect(found.interval.low).toBeCloseTo(-0.05 - half, 2);
    expect(found.interval.high).toBeCloseTo(-0.05 + half, 2);
    const same = compareFnir(scores, scores, 0.01, size, seededRandom(1));
    expect(same.interval).toEqual({ low: 0, high: 0 });
  });
});

it('draws the same open set for the same seed', () => {
  const draw = (seed: number): OpenSetScores => drawOpenSet(table, 2, 5, seededRandom(seed)).pooled;
  expect(draw(1)).toEqual(draw(1));
});
