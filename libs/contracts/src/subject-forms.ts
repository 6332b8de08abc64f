/** What is asked about a person. */
import { z } from 'zod';
import { Refusal } from '#domain/errors.js';
import { instantSchema } from './record-schemas.js';
import { parse } from './search-forms.js';

export const searchableQuerySchema = z.strictObject({
  /** An instant, not in the future. */
  at: instantSchema,
});

/** @returns ISO 8601, UTC. @throws Refusal BAD_REQUEST */
export function parseSearchableQuery(query: unknown, now: Date = new Date()): string {
  const at = new Date(parse(searchableQuerySchema, query).at);
  if (at > now) throw new Refusal('BAD_REQUEST', 'at: what is to come is not known.', { field: 'at' });
  return at.toISOString();
}
