import type { z } from 'zod';
import { Refusal } from '#domain/errors.js';

/** @throws Refusal RECORD_NOT_JSON, RECORD_SCHEMA with the first place that differs */
export function parseJsonValue<T>(schema: z.ZodType<T>, value: Buffer | null): T {
  let parsed: unknown;
  try {
    parsed = JSON.parse((value ?? Buffer.alloc(0)).toString('utf8'));
  } catch {
    // Without the parser's own message, which quotes the text.
    throw new Refusal('RECORD_NOT_JSON', 'The value is not JSON.');
  }
  const result = schema.safeParse(parsed);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  throw new Refusal(
    'RECORD_SCHEMA',
    `The value does not fit its schema: ${issue?.path.join('.') ?? ''} ${issue?.message ?? ''}`,
  );
}
