import { describe, expect, it } from 'vitest';
import { compareGroups, type GroupComparison } from './group-rates.js';
import { failureRate, verdictText } from './group-report.js';
import { seededRandom } from './random.js';
import { ScoreTable } from './score-table.js';
import { rankScores } from './thresholding.js';
import { matedPairs } from './verification.js';

const PEOPLE = 200;
const SIZE = { subjects: PEOPLE, replicates: 400, level: 0.95 };
const groupOf = Array.from({ length: PEOPLE }, (_, i) => (i < 100 ? 'A' : 'B'));

/**
 * 100 people in each group, two images each, of whom `missedA` and `missedB` do not match themselves; so many are also
 * shown somebody when they search.
 */
function compare(missedA: number, missedB: number): GroupComparison {
  const isHard = (person: number): boolean => (person < 100 ? person < missedA : person - 100 < missedB);
  const table = new ScoreTable(new Array<number>(PEOPLE).fill(2), (a, b) =>
    a >> 1 === b >> 1 ? (isHard(a >> 1) ? 0.1 : 0.9) : 0.2,
  );
  const everybody = groupOf.map((_, i) => i);
  const openSet = {
    mated: rankScores(
      everybody.map((i) => (isHard(i) ? 0.1 : 0.9)),
      everybody,
    ),
    nonMated: rankScores(
      everybody.map((i) => (isHard(i) ? 0.6 : 0.2)),
      everybody,
    ),
  };
  const data = { table, mated: matedPairs(table), openSet, pairScore: 0.5, searchScore: 0.5 };
  return compareGroups(data, groupOf, SIZE, seededRandom(1));
}

function verdicts({ differences }: GroupComparison): Record<string, string> {
  return Object.fromEntries(differences.map(({ measure, verdict }) => [measure, verdict]));
}

describe('rates of groups', () => {
  const [a, b] = compare(30, 6).groups;

  it('are each group’s own errors over its own trials', () => {
    expect(a!.rates.fnmr).toMatchObject({ rate: 0.3, errors: 30, trials: 100, errorSubjects: 30 });
    expect(b!.rates.fnir).toMatchObject({ rate: 0.06, errors: 6, trials: 100 });
    expect(a!.rates.fpir.rate).toBe(0.3);
    // 100 people of two images: 200 · 198 / 2 pairs of different people, none of which matches.
    expect(a!.rates.fmr).toMatchObject({ rate: 0, errors: 0, trials: 19_800 });
  });

  it('have the interval of a binomial where each person is one trial', () => {
    const half = 1.96 * Math.sqrt((0.3 * 0.7) / 100);
    expect(Math.abs(a!.rates.fnmr.interval.low - (0.3 - half))).toBeLessThan(0.03);
    expect(Math.abs(a!.rates.fnmr.interval.high - (0.3 + half))).toBeLessThan(0.03);
  });

  it('of no errors have the exact upper end for so many people', () => {
    expect(a!.rates.fmr.interval.low).toBe(0);
    expect(a!.rates.fmr.interval.high).toBeCloseTo(1 - 0.025 ** (1 / 100), 8);
  });
});

describe('the verdict on two groups', () => {
  it('is a difference where the interval of the ratio excludes 1', () => {
    const found = compare(30, 6);
    expect(verdicts(found)).toEqual({
      fmr: 'too-few-errors',
      fnmr: 'difference-shown',
      fpir: 'difference-shown',
      fnir: 'difference-shown',
    });
    expect(found.differences[1]).toMatchObject({ measure: 'fnmr', higher: 'A', lower: 'B' });
    expect(found.differences[1]!.ratio).toBeCloseTo(5, 12);
  });

  it('is not shown where it does not, and says what is not excluded', () => {
    const found = compare(12, 9);
    expect(verdicts(found)).toMatchObject({ fnmr: 'not-shown', fnir: 'not-shown' });
    const text = verdictText(found.differences[1]!, 0.95);
    expect(text).toContain('1.3 times as often in A as in B');
    expect(text).toContain('do not show a difference');
    expect(text).toContain('is not excluded');
  });

  it('is none where fewer than ten people met the error, however different the rates look', () => {
    const found = compare(8, 1);
    expect(verdicts(found)).toMatchObject({ fnmr: 'too-few-errors', fpir: 'too-few-errors' });
    expect(verdictText(found.differences[1]!, 0.95)).toContain('Nothing can be said');
  });

  it('leaves people out of whom the group is not known', () => {
    const table = new ScoreTable([1, 1, 1], () => 0.2);
    const none = rankScores([0.1], [0]);
    const data = { table, mated: none, openSet: { mated: none, nonMated: none }, pairScore: 0.5, searchScore: 0.5 };
    const { groups } = compareGroups(data, ['A', undefined, 'A'], { ...SIZE, subjects: 3 }, seededRandom(1));
    expect(groups.map(({ group, subjects }) => [group, subjects])).toEqual([['A', 2]]);
  });
});

describe('the failure to enrol', () => {
  it('is a share of the images, whose interval knows that one person’s fail together', () => {
    // 100 people with 4 images each, of 10 of whom all 4 fail: .1, with the error of 100 people, not of 400 images.
    const people = Array.from({ length: 100 }, (_, i) => ({ images: 4, failures: i < 10 ? 4 : 0 }));
    const { rate, count, of, interval } = failureRate(people, { ...SIZE, replicates: 2000 }, seededRandom(1));
    expect([rate, count, of]).toEqual([0.1, 40, 400]);
    const half = 1.96 * Math.sqrt((0.1 * 0.9) / 100);
    expect(interval.low).toBeCloseTo(0.1 - half, 1);
    expect(interval.high! - interval.low!).toBeGreaterThan(1.8 * half);
  });
});
