/** An evaluation report for people, in one file that asks nothing of the network: words, tables, plots. */
import type { EvaluationReport, ReportedRate } from '#evaluation/report.js';
import {
  cmc,
  degradedProbes,
  distributions,
  groupRates,
  openSetDet,
  thresholdByGallery,
  verificationDet,
} from './evaluate-charts.js';
import { halfEnrolled, percent, percentRange } from './evaluate-summary.js';

const STYLE = `
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 960px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { margin-top: 2.2rem; border-bottom: 1px solid #ccc; font-size: 1.25rem; }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; }
th, td { border: 1px solid #ddd; padding: .2rem .5rem; text-align: right; white-space: nowrap; font-size: 13px; } th { background: #f4f4f4; }
th:first-child, td:first-child { text-align: left; }
.warning { background: #fff3cd; border-left: 4px solid #e69f00; padding: .6rem 1rem; }
.refused { background: #fde2e0; border-left: 4px solid #d55e00; padding: .6rem 1rem; }
.note { color: #555; } figure { margin: 1rem 0; } figcaption { color: #555; } svg { max-width: 100%; height: auto; }
`;

export function reportHtml(report: EvaluationReport): string {
  const { data, model } = report;
  const body = [
    `<h1>Evaluation: ${escape(model.name)} ${escape(model.version)} on ${escape(data.name)}</h1>`,
    paragraph(
      `Model pack ${model.modelId}, licence ${model.licence}; software ${report.software}; ${report.generatedAt}. ` +
        `${data.templates} of ${data.images} photographs gave a template, of ${data.subjects} people, ` +
        `${data.subjectsWithMates} of them with two or more. Face taken of several: ${data.face}.` +
        (data.subjectsLeftOut > 0 ? ` ${data.subjectsLeftOut} people were left out.` : ''),
    ),
    ...(model.evaluationOnly
      ? [paragraph('This model pack is for evaluation only, not for policing.', 'warning')]
      : []),
    ...searches(report),
    ...proposal(report),
    ...closed(report),
    ...verification(report),
    ...groups(report),
    ...failures(report),
    ...degraded(report),
    '<h2>What these figures are, and are not</h2>',
    `<ul>${report.notes.map((note) => `<li>${escape(note)}</li>`).join('')}</ul>`,
    paragraph(
      `Seed ${report.method.seed}; ${report.method.splits} splits; ${report.method.replicates} bootstrap samples; intervals ` +
        `at ${percent(report.method.confidenceLevel)}. Terms: ISO/IEC 19795-1, NIST FRTE 1:N.`,
      'note',
    ),
  ];
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Evaluation: ${escape(model.name)} on ${escape(data.name)}</title><style>${STYLE}</style></head>
<body>${body.join('\n')}</body></html>
`;
}

function searches(report: EvaluationReport): string[] {
  const half = halfEnrolled(report);
  return [
    '<h2>Searches (open set)</h2>',
    paragraph(
      `Some are enrolled, everybody else searches without being there. With ${half.enrolled} enrolled, over ${half.splits} random splits:`,
    ),
    table(
      ['FPIR', 'score', '95 %', 'FNIR', '95 %', 'splits: mean ± sd', 'failures counted', 'decided by'],
      half.operatingPoints.map((point) => [
        percent(point.fpir),
        point.score.toFixed(3),
        scoreRange(point.scoreInterval),
        percent(point.fnir),
        percentRange(point.fnirInterval),
        `${percent(point.fnirOfSplits.mean)} ± ${(point.fnirOfSplits.standardDeviation * 100).toFixed(1)}`,
        percent(point.fnirWithFailures),
        `${point.falsePositiveSubjects} people: ${point.support}`,
      ]),
    ),
    figure(openSetDet(report), 'Errors against each other, over every threshold, by the size of the gallery.'),
    '<h3>By the size of the gallery</h3>',
    table(
      ['enrolled', 'score at FPIR 1 %', '95 %', 'FNIR', '95 %', 'decided by'],
      report.openSet.flatMap(({ enrolled, operatingPoints }) =>
        operatingPoints
          .filter(({ fpir }) => fpir === 0.01)
          .map((point) => [
            String(enrolled),
            point.score.toFixed(3),
            scoreRange(point.scoreInterval),
            percent(point.fnir),
            percentRange(point.fnirInterval),
            `${point.falsePositiveSubjects} people: ${point.support}`,
          ]),
      ),
    ),
  ];
}

function proposal(report: EvaluationReport): string[] {
  const { wanted, text, bands, model, supported } = report.proposal;
  const backtest = model?.backtest ?? null;
  return [
    `<h2>Proposed thresholds: FPIR ${percent(wanted.fpir)}, gallery ${wanted.gallerySize.toLocaleString('en-GB')}</h2>`,
    paragraph(text, supported ? undefined : 'refused'),
    table(
      ['enrolled, at most', 'score', '95 %', 'FNIR', '95 %', 'basis'],
      bands.map((band) => [
        band.enrolledMax.toLocaleString('en-GB'),
        band.score.toFixed(3),
        scoreRange(band.scoreInterval),
        band.fnir === null ? '–' : percent(band.fnir),
        percentRange(band.fnirInterval),
        band.basis === 'extrapolated' ? `EXTRAPOLATED ${band.extrapolationFactor.toFixed(1)} times` : band.basis,
      ]),
    ),
    figure(thresholdByGallery(report), 'The threshold rises with the gallery. Bars are 95 % intervals.'),
    ...(model === null
      ? []
      : [
          paragraph(
            `Line: score = ${model.intercept.toFixed(4)} + ${model.slope.toFixed(4)} × (ln N − ln(−ln(1 − FPIR))), through ${model.points} measured points` +
              (backtest === null
                ? '; too few of them to try it on points that it was not fitted to.'
                : `. Fitted without the last ${backtest.factor.toFixed(0)}-fold it foretold ${backtest.predicted.toFixed(3)} for ` +
                  `${backtest.enrolled} enrolled at FPIR ${percent(backtest.fpir)}, where ${backtest.measured.toFixed(3)} was measured.`),
            'note',
          ),
        ]),
  ];
}

function closed(report: EvaluationReport): string[] {
  const { closedSet } = report;
  return [
    '<h2>Ranks (closed set)</h2>',
    paragraph(
      `Everybody who searches is enrolled: ${closedSet.enrolled} enrolled, ${closedSet.probes} probes, one a person.`,
    ),
    table(
      ['', 'rate', '95 %'],
      closedSet.ranks.map(({ rank, rate, interval }) => [`rank ${rank}`, percent(rate), percentRange(interval)]),
    ),
    figure(cmc(report), 'Cumulative match characteristic.'),
    table(
      ['enrolled', 'rank 1', 'rank 10', 'rank 50'],
      closedSet.bySize.map(({ enrolled, rank1, rank10, rank50 }) => [
        String(enrolled),
        percent(rank1),
        percent(rank10),
        percent(rank50),
      ]),
    ),
  ];
}

function verification(report: EvaluationReport): string[] {
  const { points, matedPairs, nonMatedPairs } = report.verification;
  return [
    '<h2>Comparisons one to one</h2>',
    paragraph(
      `${matedPairs.toLocaleString('en-GB')} pairs of one person, ${nonMatedPairs.toLocaleString('en-GB')} of different people.`,
    ),
    table(
      ['FMR', 'score', 'TAR', '95 %', 'decided by'],
      points.map((point) => [
        point.fmr.toExponential(0),
        point.score.toFixed(3),
        percent(point.tar),
        percentRange(point.tarInterval),
        `${point.falseMatches} pairs: ${point.support}`,
      ]),
    ),
    figure(verificationDet(report), 'False non-matches against false matches.'),
    figure(distributions(report), 'Scores of pairs of different people and of one person.'),
  ];
}

function groups(report: EvaluationReport): string[] {
  const { attributes, pairScore, searchScore } = report.groups;
  if (attributes.length === 0) {
    return ['<h2>Groups of people</h2>', paragraph('Not measured: no groups were given.', 'warning')];
  }
  return attributes.flatMap((attribute) => [
    `<h2>Groups of people, by ${escape(attribute.attribute)}</h2>`,
    paragraph(
      `At one threshold for everybody: FMR and FNMR at ${pairScore?.toFixed(3)}, FPIR and FNIR at ${searchScore?.toFixed(3)}.`,
    ),
    table(
      ['group', 'people', 'FMR', '95 %', 'FNMR', '95 %', 'FPIR', '95 %', 'FNIR', '95 %', 'no template'],
      attribute.groups.map((group) => [
        group.group,
        String(group.subjects),
        ...([group.fmr, group.fnmr, group.fpir, group.fnir] as const).flatMap(({ rate, interval }) => [
          rate === null ? '–' : percent(rate),
          percentRange(interval),
        ]),
        rateText(group.failureToEnrol),
      ]),
    ),
    figure(groupRates(attribute), 'Rates of each group, on a logarithmic scale.'),
    `<ul>${attribute.differences.map(({ text }) => `<li>${escape(text)}</li>`).join('')}</ul>`,
  ]);
}

function failures({ failureToEnrol }: EvaluationReport): string[] {
  return [
    '<h2>Photographs without a template</h2>',
    paragraph(rateText(failureToEnrol)),
    ...(failureToEnrol.byReason.length === 0
      ? []
      : [
          table(
            ['reason', 'photographs'],
            failureToEnrol.byReason.map(({ code, count }) => [code, String(count)]),
          ),
        ]),
  ];
}

function degraded(report: EvaluationReport): string[] {
  const { levels, score, enrolled } = report.degraded;
  if (levels.length === 0) return [];
  return [
    '<h2>Poorer photographs</h2>',
    paragraph(
      `${levels[0]!.probes} probes, made worse, against ${enrolled} enrolled; missed is below ${score?.toFixed(3)}, or no template.`,
    ),
    figure(degradedProbes(report), 'Found first, and missed at the threshold.'),
    table(
      ['probes', 'rank 1', '95 %', 'rank 10', 'missed', '95 %', 'no template'],
      levels.map((level) => [
        level.text,
        percent(level.rank1.rate),
        percentRange(level.rank1.interval),
        percent(level.rank10.rate),
        percent(level.missed.rate),
        percentRange(level.missed.interval),
        level.noTemplate.map(({ code, count }) => `${count} ${code}`).join(', ') || '0',
      ]),
    ),
  ];
}

function rateText({ rate, count, of, interval }: ReportedRate): string {
  return `${count} of ${of}, ${percent(rate)} (${percentRange(interval)})`;
}

function scoreRange({ low, high }: { low: number | null; high: number | null }): string {
  return `${low?.toFixed(3) ?? '?'} to ${high?.toFixed(3) ?? '?'}`;
}

function paragraph(text: string, className?: string): string {
  return `<p${className === undefined ? '' : ` class="${className}"`}>${escape(text)}</p>`;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = (tag: 'th' | 'td', texts: readonly string[]): string =>
    `<tr>${texts.map((text) => `<${tag}>${escape(text)}</${tag}>`).join('')}</tr>`;
  return `<table><thead>${cells('th', head)}</thead><tbody>${rows.map((row) => cells('td', row)).join('\n')}</tbody></table>`;
}

/** @param svg made here; its texts were escaped by the library that made it */
function figure(svg: string, caption: string): string {
  return `<figure>${svg}<figcaption>${escape(caption)}</figcaption></figure>`;
}

function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}
