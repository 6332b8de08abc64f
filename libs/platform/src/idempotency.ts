/**
 * A request that is sent again, because its answer was lost on the way, must not be done twice. Ids of what a POST makes
 * are derived from the caller's `Idempotency-Key`, so that the repetition arrives at the same id on every replica,
 * without a store of keys.
 */
import { createHash, randomUUID } from 'node:crypto';
import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { Request } from 'express';
import { Refusal } from '#domain/errors.js';

export const IDEMPOTENCY_KEY_HEADER = 'idempotency-key';
const PRINTABLE_ASCII = /^[\x20-\x7e]{1,128}$/;

/** @throws Refusal BAD_IDEMPOTENCY_KEY */
export function parseIdempotencyKey(header: string | readonly string[] | undefined): string | undefined {
  if (header === undefined) return undefined;
  if (typeof header !== 'string' || !PRINTABLE_ASCII.test(header)) {
    throw new Refusal('BAD_IDEMPOTENCY_KEY', 'An Idempotency-Key is 1 to 128 printable ASCII characters, sent once.');
  }
  return header;
}

/** The request's `Idempotency-Key`, or undefined. */
export const IdempotencyKey = createParamDecorator((_: unknown, context: ExecutionContext): string | undefined =>
  parseIdempotencyKey(context.switchToHttp().getRequest<Request>().headers[IDEMPOTENCY_KEY_HEADER]),
);

/**
 * The id of what the request makes: the same for the same person, route and key, and random without a key. Of the form
 * of a UUID version 8 (RFC 9562, section 5.8): the first 122 free bits of SHA-256 over the three.
 *
 * @param route with the ids in it, for example `POST /v1/searches/operator`: one key on two routes makes two things
 */
export function idempotentId(actorId: string, route: string, key: string | undefined): string {
  if (key === undefined) return randomUUID();
  const bytes = createHash('sha256')
    .update(JSON.stringify([actorId, route, key]))
    .digest()
    .subarray(0, 16);
  bytes[6] = (bytes[6]! & 0x0f) | 0x80;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  const hex = bytes.toString('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}

/**
 * SHA-256, hexadecimal, of what was asked for: kept with what was made, so that a key that comes again with another
 * request is told apart from a repetition.
 *
 * @param fields JSON values, in any order of their names
 */
export function requestDigest(fields: Readonly<Record<string, unknown>>): string {
  const sorted = Object.fromEntries(Object.entries(fields).sort(([a], [b]) => (a < b ? -1 : 1)));
  return createHash('sha256').update(JSON.stringify(sorted)).digest('hex');
}

/** @throws Refusal IDEMPOTENCY_KEY_REUSED when the first request under this key was another one */
export function sameRequest(digest: string, digestOfFirst: string | undefined): void {
  if (digest === digestOfFirst) return;
  throw new Refusal('IDEMPOTENCY_KEY_REUSED', 'This Idempotency-Key was used before, for another request.');
}
