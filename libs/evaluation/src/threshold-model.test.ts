import { describe, expect, it } from 'vitest';
import {
  backtest,
  extrapolationFactor,
  fitThresholdLine,
  largestGallery,
  predictScore,
  rarity,
} from './threshold-model.js';
import { bandSizes, proposeThresholds } from './threshold-proposal.js';
import { drawOpenSet } from './open-set.js';
import { seededRandom } from './random.js';
import { ScoreTable } from './score-table.js';

/** Scores of pairs with an exponential tail, P(score > t) = e^(-(t - .1) / .03): the largest of N is at .1 + .03 · x. */
const LOCATION = 0.1;
const SCALE = 0.03;
const exact = (enrolled: number, fpir: number): { enrolled: number; fpir: number; score: number } => ({
  enrolled,
  fpir,
  score: LOCATION + SCALE * rarity(enrolled, fpir),
});

describe('the line', () => {
  it('goes through thresholds that lie on one', () => {
    const line = fitThresholdLine([exact(100, 0.1), exact(100, 0.01), exact(400, 0.03)]);
    expect(line.intercept).toBeCloseTo(LOCATION, 10);
    expect(line.slope).toBeCloseTo(SCALE, 10);
    expect(predictScore(line, 10_000, 0.01)).toBeCloseTo(exact(10_000, 0.01).score, 10);
  });

  it('is that of least squares', () => {
    // x = 0, 1, 2 and y = 0, 1, 1: slope 1/2, intercept 1/6. A gallery of e^x at 1 − 1/e has the rarity x.
    const fpir = 1 - Math.exp(-1);
    const points = [0, 1, 1].map((score, i) => ({ enrolled: Math.exp(i), fpir, score }));
    const { slope, intercept } = fitThresholdLine(points);
    expect(slope).toBeCloseTo(1 / 2, 10);
    expect(intercept).toBeCloseTo(1 / 6, 10);
  });
});

describe('an extrapolation', () => {
  const measured = [exact(100, 0.1), exact(1000, 0.01)];

  it('is a factor of the gallery at one rate, and about the inverse of one of the rate', () => {
    expect(extrapolationFactor(measured, 1000, 0.01)).toBeCloseTo(1, 10);
    expect(extrapolationFactor(measured, 5000, 0.01)).toBeCloseTo(5, 10);
    expect(extrapolationFactor(measured, 1000, 0.001)).toBeCloseTo(10, 0);
  });

  it('ends at the largest gallery that is so far from what was measured', () => {
    expect(largestGallery(measured, 0.01, 1)).toBe(1000);
    expect(largestGallery(measured, 0.01, 10)).toBe(10_000);
  });

  it('is tried on points that the line has not seen', () => {
    const points = [exact(10, 0.1), exact(20, 0.1), exact(1000, 0.01), { ...exact(2000, 0.01), score: 0.5 }];
    const found = backtest(points)!;
    expect(found.predicted).toBeCloseTo(exact(2000, 0.01).score, 10);
    expect(found.measured).toBe(0.5);
    expect(found.factor).toBeGreaterThan(10);
    expect(backtest(points.slice(2))).toBeUndefined();
  });
});

describe('bands', () => {
  it('are the measured galleries, then doublings, up to the wanted one', () => {
    expect(bandSizes([100, 200], 1000, 5000)).toEqual([100, 200, 400, 800, 1000]);
    expect(bandSizes([100, 200], 150, 5000)).toEqual([100, 150]);
  });

  it('end where the line may not be drawn further', () => {
    expect(bandSizes([100, 200], 1_000_000, 700)).toEqual([100, 200, 400, 700]);
  });
});

describe('proposed thresholds', () => {
  /** 240 people, two images each: mates at .9, others with the exponential tail above. */
  const random = seededRandom(11);
  const table = new ScoreTable(new Array<number>(240).fill(2), (a, b) =>
    a >> 1 === b >> 1 ? 0.9 : Math.min(0.8, LOCATION - SCALE * Math.log(1 - random())),
  );
  const sets = [30, 60, 120].map((enrolled) => drawOpenSet(table, enrolled, 60, seededRandom(enrolled)));
  const size = { subjects: 240, replicates: 200, level: 0.95 };
  const propose = (fpir: number, gallerySize: number) =>
    proposeThresholds({ fpir, gallerySize }, sets, size, seededRandom(1), () => []);

  it('are, in a gallery that was measured, what the distribution gives', () => {
    const { bands, supported } = propose(0.1, 120);
    expect(supported).toBe(true);
    const last = bands.at(-1)!;
    expect(last).toMatchObject({ enrolledMax: 120, basis: 'measured', fnir: 0 });
    expect(Math.abs(last.score - exact(120, 0.1).score)).toBeLessThan(0.012);
    expect(last.scoreInterval.low!).toBeLessThan(exact(120, 0.1).score);
    expect(last.scoreInterval.high!).toBeGreaterThan(exact(120, 0.1).score);
  });

  it('say of a larger gallery that they are extrapolated, and are near the truth', () => {
    const { bands, supported, text } = propose(0.1, 5000);
    expect(supported).toBe(true);
    expect(text).toContain('EXTRAPOLATED');
    const last = bands.at(-1)!;
    expect(last).toMatchObject({ enrolledMax: 5000, basis: 'extrapolated', groups: [] });
    expect(last.extrapolationFactor).toBeGreaterThan(1);
    expect(last.extrapolationFactor).toBeLessThanOrEqual(10);
    expect(Math.abs(last.score - exact(5000, 0.1).score)).toBeLessThan(0.03);
  });

  it('are refused far beyond, with how many people it would take', () => {
    const { supported, text, bands } = propose(0.01, 1_000_000);
    expect(supported).toBe(false);
    expect(text).toMatch(/^REFUSED for a gallery of 1,000,000/);
    expect(text).toContain('20,000 different people would be needed');
    for (const { extrapolationFactor: factor } of bands) expect(factor).toBeLessThanOrEqual(10.001);
  });

  it('never fall as the gallery grows', () => {
    const scores = propose(0.1, 5000).bands.map(({ score }) => score);
    expect(scores).toEqual(scores.toSorted((a, b) => a - b));
  });
});
