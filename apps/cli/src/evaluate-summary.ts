/** An evaluation in a shell: the figures that are asked for first. */
import Table from 'cli-table3';
import type { EvaluationReport, ReportedInterval } from '#evaluation/report.js';

export function summaryOf(report: EvaluationReport): string {
  const { data, closedSet, failureToEnrol, proposal } = report;
  const half = halfEnrolled(report);
  const search = table(
    ['open set', 'score', 'FNIR', '95 %', 'rests on'],
    half.operatingPoints.map((point) => [
      `FPIR ${percent(point.fpir)}`,
      point.score.toFixed(3),
      percent(point.fnir),
      percentRange(point.fnirInterval),
      `${point.falsePositiveSubjects} people, ${point.support}`,
    ]),
  );
  const verification = table(
    ['one to one', 'score', 'TAR', '95 %', 'rests on'],
    report.verification.points.map((point) => [
      `FMR ${point.fmr}`,
      point.score.toFixed(3),
      percent(point.tar),
      percentRange(point.tarInterval),
      `${point.falseMatches} pairs, ${point.support}`,
    ]),
  );
  return [
    '',
    `${data.templates} of ${data.images} photographs gave a template, of ${data.subjects} people, ${data.subjectsWithMates} with two or more`,
    ...failureToEnrol.byReason.map(({ code, count }) => `  no template: ${count} ${code}`),
    `closed set, ${closedSet.enrolled} enrolled, ${closedSet.probes} probes: ` +
      closedSet.ranks
        .map(({ rank, rate, interval }) => `rank-${rank} ${percent(rate)} (${percentRange(interval)})`)
        .join(', '),
    `open set, ${half.enrolled} enrolled, ${half.splits} splits`,
    search,
    verification,
    ...report.groups.attributes.flatMap(({ differences }) => differences.map(({ text }) => text)),
    ...(report.model.evaluationOnly ? ['The model pack is for evaluation only.'] : []),
    proposal.text,
    '',
  ].join('\n');
}

/** The open set with half of the people enrolled: there always is one. */
export function halfEnrolled({ openSet, data }: EvaluationReport): EvaluationReport['openSet'][number] {
  return openSet.find(({ enrolled }) => enrolled === Math.floor(data.subjects / 2))!;
}

/** Three significant digits at most. */
export function percent(rate: number): string {
  return `${Number((rate * 100).toPrecision(3))} %`;
}

export function percentRange({ low, high }: ReportedInterval): string {
  const of = (end: number | null): string => (end === null ? '?' : String(Number((end * 100).toPrecision(3))));
  return `${of(low)} to ${of(high)}`;
}

function table(head: string[], rows: string[][]): string {
  const made = new Table({ head, style: { head: [] } });
  made.push(...rows);
  return made.toString();
}
