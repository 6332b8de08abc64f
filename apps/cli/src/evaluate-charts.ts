/** Plots of an evaluation report as SVG text, made without a browser. */
import * as echarts from 'echarts';
import type { EChartsOption, SeriesOption } from 'echarts';
import type { EvaluationReport, ReportedAttribute, ReportedInterval } from '#evaluation/report.js';

const WIDTH_PX = 720;
const HEIGHT_PX = 420;
/** Of one line of a plot whose rows are groups or degradations. */
const ROW_PX = 26;
/** Okabe and Ito's colours, told apart by the colour-blind too. */
const COLOURS = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9', '#000000'];
const TEXT = { fontFamily: 'system-ui, sans-serif', fontSize: 12, color: '#222' };

function svg(option: EChartsOption, heightPx = HEIGHT_PX): string {
  const chart = echarts.init(null, null, { renderer: 'svg', ssr: true, width: WIDTH_PX, height: heightPx });
  chart.setOption({ animation: false, silent: true, color: COLOURS, textStyle: TEXT, ...option });
  const text = chart.renderToSVGString();
  chart.dispose();
  return text;
}

const GRID = { left: 80, right: 30, top: 50, bottom: 60 };
const LEGEND = { top: 6, textStyle: TEXT, itemWidth: 18, itemGap: 22, icon: 'roundRect' };

function axis(name: string, kind: 'x' | 'y', more: object = {}): object {
  return {
    name,
    nameLocation: 'middle',
    nameGap: kind === 'x' ? 34 : 56,
    nameTextStyle: TEXT,
    axisLabel: { ...TEXT },
    splitLine: { lineStyle: { color: '#e4e4e4' } },
    ...more,
  };
}

function logAxis(name: string, kind: 'x' | 'y', more: object = {}): object {
  return axis(name, kind, {
    type: 'log',
    axisLabel: { ...TEXT, formatter: rateLabel },
    minorTick: { show: true },
    ...more,
  });
}

function rateLabel(rate: number): string {
  return `${Number((rate * 100).toPrecision(3))} %`;
}

type Xy = readonly [number, number];

function line(name: string, points: readonly Xy[], more: object = {}): SeriesOption {
  return { name, type: 'line', showSymbol: false, data: points.map((point) => [...point]), ...more };
}

/** Points that a logarithmic scale has a place for. */
function positive(points: readonly Xy[]): Xy[] {
  return points.filter(([x, y]) => x > 0 && y > 0);
}

/** Detection error trade-off of searches: one line for each gallery size. */
export function openSetDet({ openSet }: EvaluationReport): string {
  return svg({
    grid: GRID,
    legend: LEGEND,
    xAxis: logAxis('FPIR: a search for somebody not enrolled shows somebody', 'x', { min: 0.001, max: 1 }),
    yAxis: logAxis('FNIR: somebody enrolled is missed', 'y', { min: 0.001, max: 1 }),
    series: openSet.map(({ enrolled, det }) =>
      line(`${enrolled} enrolled`, positive(det.map(({ fpir, fnir }) => [fpir, fnir])), { clip: true }),
    ),
  });
}

/** Detection error trade-off of comparisons one to one. */
export function verificationDet({ verification }: EvaluationReport): string {
  return svg({
    grid: GRID,
    xAxis: logAxis('FMR: two people are taken for one', 'x', {
      max: 0.01,
      axisLabel: { ...TEXT, formatter: (rate: number) => rate.toExponential(0) },
    }),
    yAxis: logAxis('FNMR: one person is taken for two', 'y', { max: 1 }),
    series: [
      line(
        'all pairs',
        // Above, non-mated pairs are not kept one by one.
        positive(verification.det.filter(({ fmr }) => fmr < 0.01).map(({ fmr, fnmr }) => [fmr, fnmr])),
      ),
    ],
  });
}

/** Cumulative match characteristic. */
export function cmc({ closedSet }: EvaluationReport): string {
  const least = Math.min(...closedSet.cmc.map(({ rate }) => rate));
  return svg({
    grid: GRID,
    xAxis: axis('rank', 'x', { type: 'value', min: 1, max: closedSet.cmc.at(-1)?.rank }),
    yAxis: axis('found within the rank', 'y', {
      type: 'value',
      min: Math.floor(least * 50) / 50,
      max: 1,
      axisLabel: { ...TEXT, formatter: rateLabel },
    }),
    series: [
      line(
        `${closedSet.enrolled} enrolled`,
        closedSet.cmc.map(({ rank, rate }) => [rank, rate]),
        { step: 'end' },
      ),
    ],
  });
}

/** Scores of pairs of one person and of two, each as a share of its own pairs. */
export function distributions({ distributions: { from, binWidth, mated, nonMated } }: EvaluationReport): string {
  const shares = (counts: readonly number[]): Xy[] => {
    const total = counts.reduce((sum, count) => sum + count, 0);
    return counts.map((count, i) => [Number((from + (i + 0.5) * binWidth).toFixed(3)), count / total]);
  };
  const lowest = [mated, nonMated].map((counts) => counts.findIndex((count) => count > 0));
  return svg({
    grid: GRID,
    legend: LEGEND,
    xAxis: axis('score', 'x', {
      type: 'value',
      min: Math.floor((from + Math.min(...lowest) * binWidth) * 5) / 5,
      max: 1,
      interval: 0.2,
      axisLabel: { ...TEXT, formatter: (s: number) => s.toFixed(1) },
    }),
    yAxis: axis('share of the pairs', 'y', {
      type: 'value',
      axisLine: { onZero: false },
      axisLabel: { ...TEXT, formatter: rateLabel },
    }),
    series: [
      line('two people', shares(nonMated), { areaStyle: { opacity: 0.2 } }),
      line('one person', shares(mated), { areaStyle: { opacity: 0.2 } }),
    ],
  });
}

/** How the threshold rises with the gallery: as measured, and as proposed. */
export function thresholdByGallery({ openSet, proposal }: EvaluationReport): string {
  const { wanted, bands } = proposal;
  const atRate = openSet.flatMap(({ enrolled, operatingPoints }) =>
    operatingPoints
      .filter(({ fpir }) => fpir === wanted.fpir)
      .map(({ score, scoreInterval }) => ({ enrolled, score, scoreInterval })),
  );
  const whiskers = (points: readonly { x: number; interval: ReportedInterval }[], colour: string): SeriesOption[] =>
    points.map(({ x, interval }) =>
      line(
        '95 %',
        [
          [x, interval.low ?? 0],
          [x, interval.high ?? 1],
        ],
        { lineStyle: { color: colour, width: 1.5 }, silent: true },
      ),
    );
  const proposed = bands.filter(({ basis }) => basis !== 'measured');
  return svg({
    grid: GRID,
    legend: { ...LEGEND, data: ['measured', 'from the fitted line'] },
    xAxis: axis('enrolled', 'x', {
      type: 'log',
      axisLabel: { ...TEXT, formatter: (n: number) => n.toLocaleString('en-GB') },
    }),
    yAxis: axis(`score at FPIR ${rateLabel(wanted.fpir)}`, 'y', {
      type: 'value',
      scale: true,
      axisLabel: { ...TEXT, formatter: (s: number) => s.toFixed(2) },
    }),
    series: [
      ...whiskers(
        atRate.map(({ enrolled, scoreInterval }) => ({ x: enrolled, interval: scoreInterval })),
        COLOURS[0]!,
      ),
      ...whiskers(
        proposed.map(({ enrolledMax, scoreInterval }) => ({ x: enrolledMax, interval: scoreInterval })),
        COLOURS[1]!,
      ),
      line(
        'measured',
        atRate.map(({ enrolled, score }) => [enrolled, score]),
        { showSymbol: true, symbolSize: 8, itemStyle: { color: COLOURS[0] }, lineStyle: { color: COLOURS[0] } },
      ),
      line(
        'from the fitted line',
        proposed.map(({ enrolledMax, score }) => [enrolledMax, score]),
        {
          showSymbol: true,
          symbol: 'diamond',
          symbolSize: 10,
          itemStyle: { color: COLOURS[1] },
          lineStyle: { color: COLOURS[1], type: 'dashed' },
        },
      ),
    ],
  });
}

const MEASURES = [
  ['fmr', 'FMR'],
  ['fnmr', 'FNMR'],
  ['fpir', 'FPIR'],
  ['fnir', 'FNIR'],
] as const;

/** Each group's rate with its interval, one line of the plot each. */
export function groupRates({ groups }: ReportedAttribute): string {
  const rows = MEASURES.flatMap(([measure, name]) =>
    groups.map((group, g) => ({
      label: `${name} · ${group.group}`,
      colour: COLOURS[g % COLOURS.length]!,
      ...group[measure],
    })),
  ).reverse();
  const lowest = Math.min(
    ...(rows.flatMap(({ rate, interval }) => [rate, interval.low]).filter((x) => x !== null && x > 0) as number[]),
  );
  const min = 10 ** Math.floor(Math.log10(lowest));
  return svg(
    {
      grid: { ...GRID, left: 150, top: 20 },
      xAxis: logAxis('rate, with its 95 % interval', 'x', { min, max: 1 }),
      yAxis: { type: 'category', data: rows.map(({ label }) => label), axisLabel: { ...TEXT } },
      series: rows.flatMap(({ label, colour, rate, interval }) => [
        {
          type: 'line',
          data: [
            [Math.max(min, interval.low ?? min), label],
            [interval.high ?? 1, label],
          ],
          showSymbol: true,
          symbol: 'rect',
          symbolSize: [2, 10],
          lineStyle: { color: colour, width: 2 },
          itemStyle: { color: colour },
        },
        ...(rate !== null && rate > 0
          ? [{ type: 'scatter', data: [[rate, label]], symbolSize: 10, itemStyle: { color: colour } } as SeriesOption]
          : []),
      ]),
    },
    90 + rows.length * ROW_PX,
  );
}

/** What each degradation leaves: found first, and not reaching the threshold. */
export function degradedProbes({ degraded }: EvaluationReport): string {
  const rows = degraded.levels.toReversed();
  const bars = (name: string, of: (row: (typeof rows)[number]) => number): SeriesOption => ({
    name,
    type: 'bar',
    barGap: '10%',
    data: rows.map(of),
  });
  return svg(
    {
      grid: { ...GRID, left: 220 },
      legend: LEGEND,
      xAxis: axis('share of the probes', 'x', {
        type: 'value',
        min: 0,
        max: 1,
        axisLabel: { ...TEXT, formatter: rateLabel },
      }),
      yAxis: { type: 'category', data: rows.map(({ text }) => text), axisLabel: { ...TEXT } },
      series: [bars('rank 1', ({ rank1 }) => rank1.rate), bars('missed at the threshold', ({ missed }) => missed.rate)],
    },
    120 + rows.length * ROW_PX,
  );
}
