/** Figures as a report holds them: rounded, without what JSON has no word for. */
import { exactInterval } from './counting.js';
import type { Interval } from './intervals.js';
import type { ReportedInterval, ReportedRate, ReportedSupport } from './report.js';

/** Six decimals: more than any figure is sure of, and the same text from every machine. */
const DECIMALS = 1e6;

/** Below 30 errors a rate is not within a third of the truth nine times of ten (Doddington's rule of 30). */
const SUPPORTED_MIN = 30;
const WEAK_MIN = 10;

export function rounded(value: number): number {
  return Math.round(value * DECIMALS) / DECIMALS;
}

/** Null for what is not a number, or is infinite. */
export function roundedOrNull(value: number): number | null {
  return Number.isFinite(value) ? rounded(value) : null;
}

export function reportedInterval({ low, high }: Interval): ReportedInterval {
  return { low: roundedOrNull(low), high: roundedOrNull(high) };
}

/** @param of trials by different people each, so that the exact interval holds */
export function reportedRate(count: number, of: number, level: number): ReportedRate {
  return {
    rate: of === 0 ? 0 : rounded(count / of),
    count,
    of,
    interval: reportedInterval(exactInterval(count, of, level)),
  };
}

/** @param errors by different people, or of different pairs */
export function supportOf(errors: number): ReportedSupport {
  if (errors >= SUPPORTED_MIN) return 'supported';
  return errors >= WEAK_MIN ? 'weak' : 'unsupported';
}
