/**
 * A dashboard as a picture: its panels in Grafana's grid with what Prometheus answered, as SVG text made without a browser.
 * Not how Grafana draws them to the pixel; the questions, the lines, units and limits are the same.
 */
import * as echarts from 'echarts';
import type { SeriesOption } from 'echarts';
import type { Series } from '#testkit/prometheus-for-tests.js';
import type { DashboardPanel } from './dashboard-panels.js';

export interface AnsweredPanel {
  readonly panel: DashboardPanel;
  /** One for each of its queries. */
  readonly answers: readonly { readonly legend: string; readonly series: readonly Series[] }[];
}

interface Line {
  readonly name: string;
  readonly colour: string;
  readonly points: Series['points'];
}

interface Size {
  readonly width: number;
  readonly height: number;
}

const COLUMN_PX = 50;
const ROW_PX = 30;
const GAP_PX = 8;
const HEADER_PX = 44;
const PANEL_TITLE_PX = 28;
const LEGEND_LINE_PX = 16;
const LEGEND_LINES_MAX = 4;
/** Of a letter of 11 px, on average: with room to spare, because whose font it is is not known here. */
const LETTER_PX = 6.3;
const CAPITAL_PX = 8;
/** Okabe and Ito's colours, told apart by the colour-blind too. */
const COLOURS = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9', '#555555', '#8c6d31'];
/** Grafana's names, dark enough to be written on in white. */
const STATES: Readonly<Record<string, string>> = { green: '#2b7a4b', orange: '#c4690b', red: '#b3261e' };
const PLAIN = '#3b4a5a';
const FONT = 'system-ui, sans-serif';
const TEXT = { fontFamily: FONT, fontSize: 11, color: '#444' };

export function dashboardPicture(title: string, panels: readonly AnsweredPanel[]): string {
  const rows = Math.max(...panels.map(({ panel: { place } }) => place.y + place.h));
  const size = { width: 24 * COLUMN_PX + GAP_PX, height: HEADER_PX + rows * ROW_PX + GAP_PX };
  const drawn = panels.map((answered) => {
    const { x, y, w, h } = answered.panel.place;
    const inside = { width: w * COLUMN_PX - GAP_PX, height: h * ROW_PX - GAP_PX };
    return `<g transform="translate(${x * COLUMN_PX + GAP_PX} ${HEADER_PX + y * ROW_PX})">${card(answered, inside)}</g>`;
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${size.width} ${size.height}" font-family="${FONT}">`,
    `<rect width="${size.width}" height="${size.height}" fill="#f2f3f5"/>`,
    words(GAP_PX + 4, 28, title, 18, '#222', 600),
    ...drawn,
    '</svg>\n',
  ].join('\n');
}

function card(answered: AnsweredPanel, size: Size): string {
  const frame = `<rect width="${size.width}" height="${size.height}" rx="4" fill="#fff" stroke="#dcdfe3"/>`;
  const inside = { width: size.width, height: size.height - PANEL_TITLE_PX };
  const drawn = drawnPanel(answered, inside);
  return `${frame}${words(10, 19, answered.panel.title, 13, '#222', 600)}<g transform="translate(0 ${PANEL_TITLE_PX})">${drawn}</g>`;
}

function drawnPanel(answered: AnsweredPanel, size: Size): string {
  const lines = linesOf(answered);
  if (lines.length === 0) {
    const nothing = answered.panel.noValue ?? 'no data';
    return words(size.width / 2, size.height / 2, nothing, 16, '#777', 400, 'middle');
  }
  return answered.panel.type === 'stat' ? tiles(answered.panel, lines, size) : chart(answered.panel, lines, size);
}

function linesOf({ answers }: AnsweredPanel): readonly Line[] {
  return answers
    .flatMap(({ legend, series }) => series.map(({ labels, points }) => ({ name: named(legend, labels), points })))
    .map((line, i) => ({ ...line, colour: COLOURS[i % COLOURS.length]! }));
}

/** Grafana's `{{label}}`. */
function named(legend: string, labels: Readonly<Record<string, string>>): string {
  return legend.replaceAll(/\{\{(\w+)\}\}/g, (_, label: string) => labels[label] ?? '').trim();
}

/** One value each, as big as there is room for, on the colour of its state. */
function tiles(panel: DashboardPanel, lines: readonly Line[], { width, height }: Size): string {
  const tile = { width: (width - GAP_PX) / lines.length - GAP_PX, height: height - GAP_PX };
  return lines
    .map(({ name, points }, i) => {
      const value = points.at(-1)![1];
      const left = GAP_PX + i * (tile.width + GAP_PX);
      const colour = panel.thresholds.length > 1 ? stateOf(panel, value) : PLAIN;
      const middle = left + tile.width / 2;
      const alone = lines.length === 1 && !panel.queries[0]!.legend.includes('{{');
      const parts = [
        `<rect x="${round(left)}" width="${round(tile.width)}" height="${tile.height}" rx="3" fill="${colour}"/>`,
        words(middle, tile.height / 2 + (alone ? 9 : 3), shown(value, panel), alone ? 26 : 22, '#fff', 600, 'middle'),
      ];
      if (!alone) parts.push(words(middle, tile.height - 9, name, 11, '#fff', 400, 'middle'));
      return parts.join('');
    })
    .join('');
}

function stateOf({ thresholds }: DashboardPanel, value: number): string {
  const reached = thresholds.findLast((threshold) => threshold.value === null || value >= threshold.value);
  return STATES[reached?.color ?? ''] ?? PLAIN;
}

function chart(panel: DashboardPanel, lines: readonly Line[], size: Size): string {
  const legend = legendOf(lines, size.width);
  const plot = { width: size.width, height: size.height - legend.height };
  const times = [...new Set(lines.flatMap(({ points }) => points.map(([timeS]) => timeS)))].toSorted((a, b) => a - b);
  const [begin, end] = [times[0]!, times.at(-1)!];
  const values = lines.flatMap(({ points }) => points.map(([, value]) => value)).filter(Number.isFinite);
  const highest = Math.max(...values);
  const instance = echarts.init(null, null, { renderer: 'svg', ssr: true, ...plot });
  instance.setOption({
    animation: false,
    silent: true,
    textStyle: TEXT,
    grid: { left: 62, right: 18, top: 8, bottom: 24 },
    xAxis: {
      type: 'value',
      min: 0,
      max: (end - begin) / 60,
      axisLabel: { ...TEXT, formatter: (minutes: number) => (Number.isInteger(minutes) ? `${minutes} min` : '') },
      splitLine: { show: false },
    },
    yAxis: {
      type: 'value',
      ...valueRange(panel, values),
      splitNumber: 4,
      axisLabel: { ...TEXT, formatter: (value: number) => shown(value, panel) },
      splitLine: { lineStyle: { color: '#e8e8e8' } },
    },
    series: lines.map((line, i): SeriesOption => ({
      type: 'line',
      showSymbol: false,
      data: pointsOf(line, times, panel.stacked).map(([timeS, value]) => [(timeS - begin) / 60, value]),
      lineStyle: { color: line.colour, width: 1.5 },
      itemStyle: { color: line.colour },
      ...(panel.stacked && { stack: 'all', areaStyle: { color: line.colour, opacity: 0.3 } }),
      ...(i === 0 && { markLine: limits(panel, highest) }),
    })),
  });
  const text = instance.renderToSVGString();
  instance.dispose();
  return `${lean(text)}<g transform="translate(0 ${plot.height})">${legend.text}</g>`;
}

/** At every time that any line has: what is stacked must lie above the same moment, so that nothing counts as 0 there. */
function pointsOf({ points }: Line, times: readonly number[], stacked: boolean): [number, number | null][] {
  const known = new Map(points);
  return times.map((timeS) => {
    const value = known.get(timeS) ?? NaN;
    return [timeS, Number.isFinite(value) ? value : stacked ? 0 : null];
  });
}

/** Of the axis. A line at nothing is drawn at the bottom, not in the middle of nothing. */
function valueRange({ min, max, decimals, unit, thresholds }: DashboardPanel, values: readonly number[]): object {
  const highest = Math.max(...values);
  if (highest === 0 && min === 0) return { min, max: max ?? 1, interval: max ?? 1 };
  if (min === undefined && max !== undefined) {
    const lowest = Math.min(...values, ...thresholds.map(({ value }) => value ?? max));
    return { min: max - 2 * (max - lowest), max };
  }
  return {
    ...(min === undefined ? { scale: true } : { min }),
    ...(max !== undefined && { max, interval: max / 4 }),
    ...(decimals === 0 && { minInterval: 1 }),
    ...(unit === 'bytes' && { interval: 2 ** Math.ceil(Math.log2(highest / 4)) }),
  };
}

/** Where the limits are in sight: like Grafana, no axis is stretched for them. */
function limits({ thresholds, max }: DashboardPanel, highest: number): object {
  const seen = thresholds.filter(({ value }) => value !== null && value <= Math.max(highest, max ?? 0));
  return {
    symbol: 'none',
    label: { show: false },
    data: seen.map(({ value, color }) => ({
      yAxis: value,
      // Below a good value all is red: its line is that of the limit.
      lineStyle: { color: STATES[color === 'green' ? 'red' : color], type: 'dashed', width: 1 },
    })),
  };
}

function legendOf(lines: readonly Line[], width: number): { readonly text: string; readonly height: number } {
  let [x, y, left] = [16, 8, 0];
  const parts: string[] = [];
  for (const { name, colour } of lines) {
    const takes = 22 + widthOf(name) + 14;
    if (x + takes > width && x > 16) [x, y] = [16, y + LEGEND_LINE_PX];
    if (y > LEGEND_LINES_MAX * LEGEND_LINE_PX) {
      left++;
      continue;
    }
    parts.push(
      `<path d="M${round(x)} ${y - 4}h14" stroke="${colour}" stroke-width="3"/>`,
      words(x + 19, y, name, 11, '#444'),
    );
    x += takes;
  }
  if (left > 0)
    parts.push(words(width - 12, LEGEND_LINES_MAX * LEGEND_LINE_PX, `and ${left} more`, 11, '#777', 400, 'end'));
  return { text: parts.join(''), height: Math.min(y, LEGEND_LINES_MAX * LEGEND_LINE_PX) + 8 };
}

function widthOf(text: string): number {
  const capitals = text.match(/[A-Z_]/g)?.length ?? 0;
  return text.length * LETTER_PX + capitals * (CAPITAL_PX - LETTER_PX);
}

/** A value in its unit, as short as Grafana writes it. */
function shown(value: number, { unit, decimals }: DashboardPanel): string {
  if (!Number.isFinite(value)) return '–';
  const brief = (number: number): string =>
    (decimals === undefined || (decimals === 0 && Math.abs(number) < 1 && number !== 0)
      ? Number(number.toPrecision(3))
      : Number(number.toFixed(decimals))
    ).toLocaleString('en-GB');
  switch (unit) {
    case 's':
      if (value === 0) return '0 s';
      if (Math.abs(value) < 1) return `${brief(value * 1000)} ms`;
      return Math.abs(value) < 120 ? `${brief(value)} s` : `${brief(value / 60)} min`;
    case 'percentunit':
      return `${brief(value * 100)} %`;
    case 'bytes':
      return value < 2 ** 30 ? `${Math.round(value / 2 ** 20)} MiB` : `${brief(value / 2 ** 30)} GiB`;
    case 'cpm':
      return `${brief(value)}/min`;
    case 'locale':
    case 'short':
      return brief(value);
    default:
      throw new Error(`there is no way to write a value in ${unit}`);
  }
}

function words(
  x: number,
  y: number,
  text: string,
  sizePx: number,
  colour: string,
  weight = 400,
  anchor: 'start' | 'middle' | 'end' = 'start',
): string {
  const escaped = text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
  return `<text x="${round(x)}" y="${round(y)}" font-size="${sizePx}" font-weight="${weight}" fill="${colour}" text-anchor="${anchor}">${escaped}</text>`;
}

function round(px: number): number {
  return Math.round(px * 10) / 10;
}

/** Tenths of a pixel are enough, a level stretch needs its ends alone, and what is the same everywhere is said once. */
function lean(svg: string): string {
  const drawn = svg
    .replaceAll(/ (?:d|points|transform|[xy][12]?)="[^"]*"/g, (attribute) =>
      attribute.replaceAll(/\d+\.\d{2,}/g, (number) => String(round(Number(number)))),
    )
    .replaceAll(/ d="M[\d.L -]+Z?"/g, (path) => {
      const points = path.slice(5, -1).split('L');
      const heights = points.map((point) => point.split(' ').at(-1));
      const needed = (_: string, i: number): boolean => heights[i] !== heights[i - 1] || heights[i] !== heights[i + 1];
      return ` d="M${points.filter(needed).join('L')}"`;
    })
    .replaceAll(/ (?:font-family|pointer-events|class)="[^"]*"| style="[^"]*"/g, '')
    .replaceAll(/<style *>[\s\S]*?<\/style>\n*/g, '');
  return `<g font-size="${TEXT.fontSize}">${drawn}</g>`;
}
