import { describe, expect, it } from 'vitest';
import { chanceWithinRank, exactInterval } from './counting.js';

describe('the exact interval of a proportion', () => {
  it('has, without an error, the upper end 1 − (tail)^(1/n)', () => {
    expect(exactInterval(0, 10, 0.95).low).toBe(0);
    expect(exactInterval(0, 10, 0.95).high).toBeCloseTo(1 - 0.025 ** (1 / 10), 10);
    expect(exactInterval(0, 1000, 0.95).high).toBeCloseTo(1 - 0.025 ** (1 / 1000), 10);
  });

  it('is what the tables of Clopper and Pearson say', () => {
    // 3 of 10: 6.67 to 65.25 %; 1 of 20: .13 to 24.87 %.
    expect(exactInterval(3, 10, 0.95).low).toBeCloseTo(0.06674, 4);
    expect(exactInterval(3, 10, 0.95).high).toBeCloseTo(0.65245, 4);
    expect(exactInterval(1, 20, 0.95).low).toBeCloseTo(0.001265, 5);
    expect(exactInterval(1, 20, 0.95).high).toBeCloseTo(0.24873, 4);
  });

  it('mirrors errors and successes', () => {
    const { low, high } = exactInterval(7, 40, 0.9);
    expect(exactInterval(33, 40, 0.9).low).toBeCloseTo(1 - high, 10);
    expect(exactInterval(33, 40, 0.9).high).toBeCloseTo(1 - low, 10);
  });

  it('says nothing of no trials', () => {
    expect(exactInterval(0, 0, 0.95)).toEqual({ low: 0, high: 1 });
  });
});

describe('the rank in a part of a gallery', () => {
  it('counts the draws that leave the better ones out', () => {
    // One of 4 others is better; 2 of the 4 are drawn. It is not among them in 3 of 6 draws.
    expect(chanceWithinRank(1, 1, 4, 2)).toBeCloseTo(0.5, 12);
    // Two of 5 are better, 3 are drawn: none of them in 1 of 10 draws, one in 6, both in 3.
    expect(chanceWithinRank(1, 2, 5, 3)).toBeCloseTo(0.1, 12);
    expect(chanceWithinRank(2, 2, 5, 3)).toBeCloseTo(0.7, 12);
    expect(chanceWithinRank(3, 2, 5, 3)).toBeCloseTo(1, 12);
  });

  it('is the rank itself in the whole gallery', () => {
    expect(chanceWithinRank(2, 1, 9, 9)).toBeCloseTo(1, 12);
    expect(chanceWithinRank(1, 1, 9, 9)).toBe(0);
  });
});
