import { describe, expect, it } from 'vitest';
import { closedSet, countWithinRank, rateWithinRank } from './closed-set.js';
import { ScoreTable } from './score-table.js';

/** People of 2, 2 and 1 images: 0 1 | 2 3 | 4. The second person's probe finds the first person before its own mate. */
const SCORES = [
  [1, 0.8, 0.3, 0.5, 0.1],
  [0.8, 1, 0.2, 0.1, 0.1],
  [0.3, 0.2, 1, 0.4, 0.2],
  [0.5, 0.1, 0.4, 1, 0.4],
  [0.1, 0.1, 0.2, 0.4, 1],
];
const found = closedSet(new ScoreTable([2, 2, 1], (a, b) => SCORES[a]![b]!));

describe('ranks', () => {
  it('are of the second image of each person against the first of everybody; equal scores count against', () => {
    // Probe 1: its mate .8 beats .2 and .1. Probe 3: its mate .4 is beaten by .5 and met by .4.
    expect(found).toEqual({ enrolled: 3, better: [0, 2] });
  });

  it('add up to the cumulative match characteristic', () => {
    expect([1, 2, 3].map((rank) => countWithinRank(found, rank))).toEqual([1, 1, 2]);
  });

  it('in smaller galleries are the mean over all of them', () => {
    // With one of the two others beside the mate, the second probe always loses; alone with it, it is first.
    expect(rateWithinRank(found, 1, 2)).toBeCloseTo(0.5, 12);
    expect(rateWithinRank(found, 1, 1)).toBeCloseTo(1, 12);
    expect(rateWithinRank(found, 1, 3)).toBeCloseTo(0.5, 12);
  });
});
