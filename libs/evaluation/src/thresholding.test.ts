import { describe, expect, it } from 'vitest';
import { countAtOrAbove, rankScores, scoreAtRate, shareAtOrAbove, subjectsAtOrAbove } from './thresholding.js';

const ten = rankScores([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.0], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);

describe('the threshold for a rate', () => {
  it('lies halfway between the last score that counts and the first that does not', () => {
    expect(scoreAtRate(ten, 0.1)).toBeCloseTo(0.85, 12);
    expect(scoreAtRate(ten, 0.3)).toBeCloseTo(0.65, 12);
  });

  it('lets no more than the rate through', () => {
    for (const rate of [0, 0.05, 0.1, 0.15, 0.2, 0.5, 0.99]) {
      expect(shareAtOrAbove(ten, scoreAtRate(ten, rate))).toBeLessThanOrEqual(rate + 1e-12);
    }
  });

  it('is above every score where none may count', () => {
    const threshold = scoreAtRate(ten, 0.05);
    expect(threshold).toBeGreaterThan(0.9);
    expect(threshold).toBeLessThan(0.9001);
  });

  it('lets equal scores through together or not at all', () => {
    const tied = rankScores([0.9, 0.5, 0.5, 0.5, 0.1], [0, 1, 2, 3, 4]);
    expect(scoreAtRate(tied, 0.4)).toBeCloseTo(0.7, 12);
    expect(scoreAtRate(tied, 0.8)).toBeCloseTo(0.3, 12);
  });

  it('is that of the sample when people are drawn more than once or not at all', () => {
    // The best is not drawn, the second twice: of 10 draws one may count, so neither of its two may.
    const weights = Int32Array.from([1, 1, 1, 1, 1, 1, 1, 2, 0, 1]);
    expect(scoreAtRate(ten, 0.1, weights)).toBeGreaterThan(0.8);
    expect(scoreAtRate(ten, 0.2, weights)).toBeCloseTo(0.75, 12);
    expect(shareAtOrAbove(ten, 0.75, weights)).toBeCloseTo(0.2, 12);
  });

  it('is no number of no scores', () => {
    expect(scoreAtRate(rankScores([], []), 0.1)).toBeNaN();
  });
});

describe('counting', () => {
  it('takes a score that equals the threshold', () => {
    expect(countAtOrAbove(ten.scores, 0.9)).toBe(1);
    expect(countAtOrAbove(ten.scores, -1)).toBe(10);
    expect(countAtOrAbove(ten.scores, 2)).toBe(0);
  });

  it('counts people, not scores', () => {
    const twice = rankScores([0.9, 0.8, 0.7], [4, 4, 5]);
    expect(subjectsAtOrAbove(twice, 0.8)).toBe(1);
    expect(subjectsAtOrAbove(twice, 0.7)).toBe(2);
  });
});
