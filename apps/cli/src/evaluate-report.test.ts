import { createHash } from 'node:crypto';
import { beforeAll, describe, expect, it } from 'vitest';
import { parseThresholdsForm } from '#contracts/governance-forms.js';
import { checkThresholds } from '#domain/threshold.js';
import { evaluationOfInventedPeople } from '#evaluation/evaluation-for-tests.js';
import type { EvaluationReport } from '#evaluation/report.js';
import { reportHtml } from './evaluate-html.js';
import { labelCheckCsv } from './evaluate-labels.js';
import { summaryOf } from './evaluate-summary.js';
import { thresholdsOf } from './evaluate-thresholds.js';

let report: EvaluationReport;
beforeAll(async () => {
  report = await evaluationOfInventedPeople({ gallerySize: 100 });
});

describe('proposed thresholds', () => {
  const bytes = Buffer.from('the report');

  it('are what the service takes, name the report by its hash, and promise no rate of zero', () => {
    const contents = thresholdsOf(report, bytes);
    expect(contents.evaluation.reportSha256).toBe(createHash('sha256').update(bytes).digest('hex'));
    expect(() => checkThresholds(contents, true)).not.toThrow();
    expect(() => parseThresholdsForm({ ...contents, reason: 'The yearly evaluation of the model' })).not.toThrow();
    expect(contents.profiles.map(({ kind }) => kind)).toEqual(['operator', 'retrospective']);
    for (const { fpir, fnir } of contents.profiles[0]!.bands) expect([fpir, fnir]).not.toContain(0);
  });

  it('say which bands were not measured', () => {
    const extrapolated = report.proposal.bands.filter(({ basis }) => basis === 'extrapolated');
    expect(extrapolated.length).toBeGreaterThan(0);
    expect(thresholdsOf(report, bytes).evaluation.description).toMatch(
      /Bands that were not measured.*100 \(extrapolated/,
    );
  });

  it('are none where the data do not reach', async () => {
    const far = await evaluationOfInventedPeople({ gallerySize: 10_000_000 });
    expect(() => thresholdsOf(far, bytes)).toThrow('THRESHOLDS_UNSUPPORTED');
    expect(summaryOf(far)).toContain('REFUSED for a gallery of 10,000,000');
  });
});

describe('the report for people', () => {
  it('asks nothing of the network, and has every plot in itself', () => {
    const html = reportHtml(report);
    expect(html.match(/<svg /g)).toHaveLength(6);
    expect(html.replaceAll(/xmlns(:\w+)?="[^"]*"/g, '')).not.toMatch(/https?:|<script|src=|url\((?!#)/);
    expect(html).toContain("default-src 'none'");
  });

  it('shows every verdict on groups, and that the pack is for evaluation only', () => {
    const html = reportHtml(report);
    for (const { text } of report.groups.attributes[0]!.differences) expect(html).toContain(text);
    expect(html).toContain('for evaluation only');
  });

  it('takes names as text, not as markup', () => {
    const html = reportHtml({ ...report, data: { ...report.data, name: '<img src=x>' } });
    expect(html).toContain('&lt;img src=x&gt;');
    expect(html).not.toContain('<img');
  });
});

it('pairs to look at are the most alike of different people and the least alike of one', () => {
  const image = (path: string, ...template: number[]) => ({
    path,
    template: Float32Array.from(template),
    eyeDistancePx: 40,
  });
  const people = [
    { subject: 'a', failures: [], templates: [image('a/1.jpg', 1, 0), image('a/2.jpg', 0, 1)] },
    { subject: 'b', failures: [], templates: [image('b/1.jpg', 0.6, 0.8)] },
  ];
  expect(labelCheckCsv(people).split('\r\n')).toEqual([
    'what,score,first,second',
    '"different people, most alike",0.8000,"a/2.jpg","b/1.jpg"',
    '"different people, most alike",0.6000,"a/1.jpg","b/1.jpg"',
    '"one person, least alike",0.0000,"a/1.jpg","a/2.jpg"',
    '',
  ]);
});
