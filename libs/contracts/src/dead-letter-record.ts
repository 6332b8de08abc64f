/**
 * `<topic>.dead-letters`: what could not be handled, as a reference to its source with the cause. Never the value, which
 * may be an image or a template and would outlive its erasure there.
 */
import { z } from 'zod';
import { cloudEventHeaders, JSON_CONTENT, type Headers } from './cloud-events.js';
import { encodeJsonValue, parseJsonValue } from './json-value.js';
import { instantSchema, partitionSchema } from './record-schemas.js';

export const DEAD_LETTER_TYPE = 'custody.dead-letter.v1';

/** The source's key is in it as UTF-8, as much of it as is kept. */
export const deadLetterSchema = z.object({
  topic: z.string(),
  partition: partitionSchema,
  offset: z.number().int().nonnegative().meta({ description: 'Inclusive: the record’s own.' }),
  key: z.string().nullable(),
  code: z.string().meta({ description: 'See docs/errors.md.' }),
  detail: z.string(),
  attempts: z.number().int().nonnegative(),
  at: instantSchema,
});

export type DeadLetter = Readonly<z.infer<typeof deadLetterSchema>>;

/** @param source which service says so */
export function deadLetterHeaders(letter: DeadLetter, source: string, now?: Date): Headers {
  const subject = `${letter.topic}/${letter.partition}/${letter.offset}`;
  return cloudEventHeaders({ type: DEAD_LETTER_TYPE, source, subject, contentType: JSON_CONTENT }, now);
}

export function encodeDeadLetter(letter: DeadLetter): Buffer {
  return encodeJsonValue(deadLetterSchema, letter);
}

/** @throws Refusal RECORD_NOT_JSON, RECORD_SCHEMA */
export function parseDeadLetter(value: Buffer | null): DeadLetter {
  return parseJsonValue(deadLetterSchema, value);
}
