/**
 * What a POST about a search hands back, and a later request hands in, so that every replica answers it from a view that
 * shows what the POST has done. Opaque to clients: base64url of JSON.
 */
import { z } from 'zod';
import { searchIdSchema } from '#contracts/record-schemas.js';
import { Refusal } from '#domain/errors.js';
import type { SearchId } from '#domain/ids.js';

export const CONSISTENCY_TOKEN_HEADER = 'consistency-token';

export interface ConsistencyToken {
  readonly searchId: SearchId;
  /** Of the search, that or a later one. */
  readonly version: number;
}

const tokenSchema = z.strictObject({ searchId: searchIdSchema, version: z.number().int().positive() });

export function formatConsistencyToken({ searchId, version }: ConsistencyToken): string {
  // A request that waits for an owner is seen as soon as there is a first version.
  return Buffer.from(JSON.stringify({ searchId, version: Math.max(version, 1) })).toString('base64url');
}

/** @throws Refusal BAD_CONSISTENCY_TOKEN */
export function parseConsistencyToken(text: string): ConsistencyToken {
  try {
    return tokenSchema.parse(JSON.parse(Buffer.from(text, 'base64url').toString('utf8')));
  } catch (cause) {
    throw new Refusal(
      'BAD_CONSISTENCY_TOKEN',
      'A Consistency-Token is sent back as the answer to a POST gave it.',
      undefined,
      { cause },
    );
  }
}
