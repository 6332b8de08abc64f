import { readFile } from 'node:fs/promises';
import { beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { evaluationOfInventedPeople } from './evaluation-for-tests.js';
import { canBeEvaluated } from './evaluation.js';
import { evaluationReportSchema, type EvaluationReport } from './report.js';

const SCHEMA_FILE = new URL('../../../docs/evaluation/report.schema.json', import.meta.url);

describe('the report', () => {
  let report: EvaluationReport;
  beforeAll(async () => {
    report = await evaluationOfInventedPeople({ gallerySize: 5000 });
  });

  it('is of the published format', () => {
    expect(evaluationReportSchema.parse(JSON.parse(JSON.stringify(report)))).toEqual(report);
  });

  it('counts every photograph once: a template, or a reason', () => {
    const { data, failureToEnrol } = report;
    expect(data).toMatchObject({ images: 124, templates: 121, subjects: 60, subjectsWithMates: 60 });
    expect(failureToEnrol).toMatchObject({ count: 3, of: 124 });
    expect(failureToEnrol.byReason).toEqual([
      { code: 'NO_FACE', count: 2 },
      { code: 'MULTIPLE_FACES', count: 1 },
    ]);
  });

  it('has an open set with half of the people, in which more is missed as less may be shown', () => {
    const half = report.openSet.find(({ enrolled }) => enrolled === 30)!;
    const fnirs = half.operatingPoints.map(({ fnir }) => fnir);
    expect(fnirs).toEqual(fnirs.toSorted((a, b) => a - b));
    for (const { fnir, fnirInterval, fnirWithFailures } of half.operatingPoints) {
      expect(fnirInterval.low).toBeLessThanOrEqual(fnir);
      expect(fnirInterval.high).toBeGreaterThanOrEqual(fnir);
      expect(fnirWithFailures).toBeCloseTo(1 - (1 - fnir) * (1 - 3 / 124) ** 2, 5);
    }
  });

  it('finds more within more ranks, and in smaller galleries', () => {
    const rates = report.closedSet.cmc.map(({ rate }) => rate);
    expect(rates).toEqual(rates.toSorted((a, b) => a - b));
    const rank1 = report.closedSet.bySize.map((size) => size.rank1);
    expect(rank1).toEqual(rank1.toSorted((a, b) => b - a));
    expect(rank1.at(-1)).toBeCloseTo(report.closedSet.ranks[0]!.rate, 5);
  });

  it('calls a rate that few people decide unsupported', () => {
    for (const { operatingPoints } of report.openSet) {
      for (const { falsePositiveSubjects, support } of operatingPoints) {
        expect(support).toBe(
          falsePositiveSubjects >= 30 ? 'supported' : falsePositiveSubjects >= 10 ? 'weak' : 'unsupported',
        );
      }
    }
    expect(report.verification.points.at(-1)?.support).toBe('unsupported');
  });

  it('has a comparison of each measure between the two groups', () => {
    const [attribute] = report.groups.attributes;
    expect(attribute?.groups.map(({ group, subjects }) => [group, subjects])).toEqual([
      ['F', 30],
      ['M', 30],
    ]);
    expect(attribute?.differences.map(({ measure }) => measure)).toEqual(['fmr', 'fnmr', 'fpir', 'fnir']);
  });

  it('is the same for the same seed', async () => {
    expect(await evaluationOfInventedPeople({ gallerySize: 5000 })).toEqual(report);
  });
});

it('has its schema in the documents', async () => {
  expect(JSON.parse(await readFile(SCHEMA_FILE, 'utf8'))).toEqual(z.toJSONSchema(evaluationReportSchema));
});

it('is not made of too few people', () => {
  const person = (images: number) => ({
    templates: Array.from({ length: images }, () => Float32Array.of(1, 0)),
    failures: [],
    groups: {},
  });
  expect(canBeEvaluated(Array.from({ length: 20 }, () => person(1)))).toBe(false);
  expect(canBeEvaluated(Array.from({ length: 9 }, () => person(2)))).toBe(false);
  expect(canBeEvaluated([...Array.from({ length: 8 }, () => person(1)), person(2), person(2)])).toBe(true);
});
