import { describe, expect, it } from 'vitest';
import { drawWeights, percentileInterval, quantile, spreadOf } from './intervals.js';
import { seededRandom, shuffle } from './random.js';

describe('a bootstrap sample', () => {
  it('draws as many people as there are, with replacement', () => {
    const weights = drawWeights(1000, seededRandom(1));
    expect(weights.reduce((sum, weight) => sum + weight, 0)).toBe(1000);
    // About 1/e of the people are in no sample.
    const absent = weights.filter((weight) => weight === 0).length / 1000;
    expect(Math.abs(absent - Math.exp(-1))).toBeLessThan(0.05);
  });

  it('finds for a mean the interval that theory gives, its error being σ / √n', () => {
    const random = seededRandom(2);
    const values = Array.from({ length: 400 }, () => random());
    const means = Array.from({ length: 4000 }, () => {
      const weights = drawWeights(values.length, random);
      return values.reduce((sum, value, i) => sum + value * weights[i]!, 0) / values.length;
    });
    const { low, high } = percentileInterval(means, 0.95);
    const { mean, standardDeviation } = spreadOf(values);
    const half = (1.96 * standardDeviation) / Math.sqrt(values.length);
    expect(low).toBeCloseTo(mean - half, 2);
    expect(high).toBeCloseTo(mean + half, 2);
  });
});

describe('quantiles', () => {
  it('lie between the order statistics', () => {
    expect(quantile([1, 2, 3, 4], 0.5)).toBe(2.5);
    expect(quantile([0, 10], 0.25)).toBe(2.5);
    expect(quantile([7], 0.9)).toBe(7);
  });

  it('pass over what is no number, and say nothing of nothing', () => {
    expect(percentileInterval([Number.NaN, 5, 5], 0.9)).toEqual({ low: 5, high: 5 });
    expect(percentileInterval([Number.NaN], 0.9)).toEqual({ low: -Infinity, high: Infinity });
  });

  it('keep an infinite end', () => {
    expect(percentileInterval([1, Infinity, Infinity, Infinity], 0.9).high).toBe(Infinity);
  });
});

describe('the spread', () => {
  it('is that of a sample', () => {
    // Of 2, 4, 4, 4, 5, 5, 7, 9: mean 5, squares 32, over 7.
    const { mean, standardDeviation } = spreadOf([2, 4, 4, 4, 5, 5, 7, 9]);
    expect(mean).toBe(5);
    expect(standardDeviation).toBeCloseTo(Math.sqrt(32 / 7), 12);
    expect(spreadOf([3]).standardDeviation).toBe(0);
  });
});

describe('what is drawn', () => {
  it('is the same for the same seed, on every machine', () => {
    const random = seededRandom(1);
    // mulberry32's published sequence for seed 1.
    expect(Array.from({ length: 3 }, () => Math.floor(random() * 2 ** 32))).toEqual([2693262067, 11749833, 2265367787]);
  });

  it('is a permutation', () => {
    const items = [1, 2, 3, 4, 5];
    expect(shuffle(items, seededRandom(3)).toSorted()).toEqual(items);
    expect(items).toEqual([1, 2, 3, 4, 5]);
  });
});
