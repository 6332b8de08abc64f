/** Whether a retrospective request that comes under the id of an earlier one is that one, sent again. */
import type { RetrospectiveSearchRequest } from '#domain/retrospective-request.js';
import type { RetrospectiveSearch } from '#domain/retrospective-search.js';
import { requestDigest, sameRequest } from '#platform/idempotency.js';

/** What came after its request has changed these fields of the search. */
const CHANGED_BY = { FACE_CHOSEN: 'face', OFFICER_REASSIGNED: 'investigatingOfficer' } as const;

/** @throws Refusal IDEMPOTENCY_KEY_REUSED */
export function refuseAnotherRequest(
  search: RetrospectiveSearch,
  request: RetrospectiveSearchRequest,
  probeSha256: string,
): void {
  const changed = search.history.flatMap(({ type }) => (type in CHANGED_BY ? [CHANGED_BY[type as never]] : []));
  const kept = (one: RetrospectiveSearchRequest, probe: string): string => {
    const fields = Object.entries({ ...one, probe }).filter(([name]) => !changed.includes(name as never));
    return requestDigest(Object.fromEntries(fields));
  };
  sameRequest(kept(request, probeSha256), kept(search.request, search.probeSha256));
}
