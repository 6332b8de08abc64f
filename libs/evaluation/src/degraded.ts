/** What becomes of probes that were made worse: whether there is a template, where the mate comes, and how it scores. */
import { dot } from './score-table.js';
import { reportedRate } from './reported.js';
import type { ReportedDegradation } from './report.js';

/** One probe of somebody who is enrolled, after it was made worse. */
export interface DegradedProbe {
  readonly subject: number;
  /** A template, or the code of why there is none. */
  readonly outcome: Float32Array | string;
}

export interface DegradationLevel {
  readonly kind: string;
  /** Null for the photographs as they are. */
  readonly level: number | null;
  readonly text: string;
}

/**
 * A probe without a template is one that was not found: whoever holds the photograph is told why, and finds nobody.
 *
 * @param gallery one template for each subject
 * @param probes one for each subject at most, so that exact intervals hold
 * @param score the threshold that a mate must reach not to be missed
 */
export function degradedFigures(
  level: DegradationLevel,
  gallery: readonly Float32Array[],
  probes: readonly DegradedProbe[],
  score: number,
  confidenceLevel: number,
): ReportedDegradation {
  const codes = new Map<string, number>();
  let first = 0;
  let firstTen = 0;
  let missed = 0;
  for (const { subject, outcome } of probes) {
    if (typeof outcome === 'string') {
      codes.set(outcome, (codes.get(outcome) ?? 0) + 1);
      missed++;
      continue;
    }
    const mate = dot(outcome, gallery[subject]!);
    let better = 0;
    gallery.forEach((template, other) => {
      if (other !== subject && dot(outcome, template) >= mate) better++;
    });
    if (better < 1) first++;
    if (better < 10) firstTen++;
    if (mate < score) missed++;
  }
  return {
    ...level,
    probes: probes.length,
    noTemplate: [...codes].map(([code, count]) => ({ code, count })).sort((a, b) => (a.code < b.code ? -1 : 1)),
    rank1: reportedRate(first, probes.length, confidenceLevel),
    rank10: reportedRate(firstTen, probes.length, confidenceLevel),
    missed: reportedRate(missed, probes.length, confidenceLevel),
  };
}
