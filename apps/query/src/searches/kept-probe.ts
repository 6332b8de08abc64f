/** The probe of a retrospective search, which is kept until the search's retention ends. */
import { createHash } from 'node:crypto';
import type { RetrospectiveSearch } from '#domain/retrospective-search.js';
import { probeName, type ImageStore } from '#platform/image-store.js';

/**
 * @returns undefined when it is kept no longer, or when what is kept is another request's: for a moment, two owners may be
 *   handed two requests under one id
 */
export async function keptProbe(
  store: Pick<ImageStore, 'get'>,
  { searchId, probeSha256 }: Pick<RetrospectiveSearch, 'searchId' | 'probeSha256'>,
): Promise<Buffer | undefined> {
  const bytes = await store.get(probeName(searchId));
  if (bytes === undefined) return undefined;
  return createHash('sha256').update(bytes).digest('hex') === probeSha256 ? bytes : undefined;
}
