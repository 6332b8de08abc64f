import { z } from 'zod';
import { dateOrInstantSchema } from './record-schemas.js';
import { parse } from './search-forms.js';

/** Fewer than five is the usual bound of published police statistics. */
export const SUPPRESS_BELOW_DEFAULT = 5;

export const usageReportQuerySchema = z.strictObject({
  from: dateOrInstantSchema.optional(),
  to: dateOrInstantSchema.optional(),
  suppressBelow: z.coerce.number().int().min(0).max(1000).default(SUPPRESS_BELOW_DEFAULT),
});

export interface UsageReportQuery {
  /** ISO 8601 UTC: from then, inclusive, to then, exclusive. */
  readonly from: string | undefined;
  readonly to: string | undefined;
  readonly suppressBelow: number;
}

/** @throws Refusal BAD_REQUEST */
export function parseUsageReportQuery(query: unknown): UsageReportQuery {
  const { from, to, suppressBelow } = parse(usageReportQuerySchema, query);
  return { from: instantOf(from), to: instantOf(to), suppressBelow };
}

/** A date is its first instant in UTC; instants in one form can be compared as text. */
function instantOf(text: string | undefined): string | undefined {
  return text === undefined ? undefined : new Date(text).toISOString();
}
