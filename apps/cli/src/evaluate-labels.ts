/**
 * Pairs to look at before figures are believed: the most alike of different people (one person under two names?) and the
 * least alike of one person (two people under one name?). Names photographs, so it is a file of its own and no part of a
 * report.
 */
import { dot } from '#evaluation/score-table.js';
import type { SubjectTemplates, TemplateOfImage } from './evaluate-templates.js';

const PAIRS_EACH = 50;

interface Pair {
  readonly score: number;
  readonly a: TemplateOfImage;
  readonly b: TemplateOfImage;
}

/** RFC 4180. */
export function labelCheckCsv(people: readonly SubjectTemplates[]): string {
  const images = people.flatMap(({ subject, templates }) => templates.map((image) => ({ subject, image })));
  const different: Pair[] = [];
  const same: Pair[] = [];
  for (let i = 0; i < images.length; i++) {
    for (let j = i + 1; j < images.length; j++) {
      const [a, b] = [images[i]!, images[j]!];
      const pair = { score: dot(a.image.template, b.image.template), a: a.image, b: b.image };
      if (a.subject === b.subject) keep(same, pair, (x, y) => x.score - y.score);
      else keep(different, pair, (x, y) => y.score - x.score);
    }
  }
  const rows = [
    ...different.map((pair) => row('different people, most alike', pair)),
    ...same.map((pair) => row('one person, least alike', pair)),
  ];
  return ['what,score,first,second', ...rows].map((line) => `${line}\r\n`).join('');
}

/** The first {@link PAIRS_EACH} by an order, sorted. */
function keep(pairs: Pair[], pair: Pair, order: (x: Pair, y: Pair) => number): void {
  if (pairs.length === PAIRS_EACH && order(pair, pairs.at(-1)!) >= 0) return;
  const place = pairs.findIndex((other) => order(pair, other) < 0);
  pairs.splice(place === -1 ? pairs.length : place, 0, pair);
  if (pairs.length > PAIRS_EACH) pairs.pop();
}

function row(what: string, { score, a, b }: Pair): string {
  return [`"${what}"`, score.toFixed(4), quoted(a.path), quoted(b.path)].join(',');
}

function quoted(text: string): string {
  return `"${text.replaceAll('"', '""')}"`;
}
