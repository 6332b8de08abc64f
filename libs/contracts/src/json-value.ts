/** JSON values of records, held against their schema where they are read and where they are written. */
import type { z } from 'zod';
import { Refusal } from '#domain/errors.js';

/** What a schema gives from JSON, where no property is there and undefined. */
export type FromJson<T> = T extends string | number | boolean | null | Buffer
  ? T
  : { [K in keyof T]: FromJson<undefined extends T[K] ? Exclude<T[K], undefined> : T[K]> };

/** What a schema takes, from somebody who may keep it unchangeable. */
export type ReadonlyJson<T> = unknown extends T
  ? T
  : T extends string | number | boolean | null | undefined
    ? T
    : { readonly [K in keyof T]: ReadonlyJson<T[K]> };

/** @throws Refusal RECORD_NOT_JSON, RECORD_SCHEMA with the first place that differs */
export function parseJsonValue<T>(schema: z.ZodType<T>, value: Buffer | null): FromJson<T> {
  return check(schema, parseJson(value)) as FromJson<T>;
}

/**
 * As {@link parseJsonValue}, with everything that the value says, in the order in which it says it: what a later version
 * has added to the schema is not taken away by this one.
 *
 * @throws Refusal RECORD_NOT_JSON, RECORD_SCHEMA with the first place that differs
 */
export function parseWholeJsonValue<T>(schema: z.ZodType<T>, value: Buffer | null): FromJson<T> {
  const json = parseJson(value);
  check(schema, json);
  return json as FromJson<T>;
}

/**
 * The bytes of a record's value. What is in a log stays there, so what its readers would refuse is not written.
 *
 * @throws Error when the value does not fit: a defect of the writer
 */
export function encodeJsonValue<T>(schema: z.ZodType<unknown, T>, value: ReadonlyJson<T>): Buffer {
  const result = schema.safeParse(value);
  if (!result.success) {
    throw new Error(`A value that its readers would refuse is not written: ${firstIssue(result.error)}`);
  }
  return Buffer.from(JSON.stringify(value));
}

function parseJson(value: Buffer | null): unknown {
  try {
    return JSON.parse((value ?? Buffer.alloc(0)).toString('utf8'));
  } catch {
    // Without the parser's own message, which quotes the text.
    throw new Refusal('RECORD_NOT_JSON', 'The value is not JSON.');
  }
}

function check<T>(schema: z.ZodType<T>, json: unknown): T {
  const result = schema.safeParse(json);
  if (result.success) return result.data;
  throw new Refusal('RECORD_SCHEMA', `The value does not fit its schema: ${firstIssue(result.error)}`);
}

function firstIssue(error: z.ZodError): string {
  const issue = error.issues[0];
  return `${issue?.path.join('.') ?? ''} ${issue?.message ?? ''}`;
}
