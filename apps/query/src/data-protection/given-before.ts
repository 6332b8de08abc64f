import type { Direction } from '#domain/direction.js';
import type { DirectionFollower } from '#kafka/direction-follower.js';
import { sameRequest } from '#platform/idempotency.js';

/**
 * What an earlier request with the same `Idempotency-Key` made, on whichever replica.
 *
 * @param directionId follows from the person, the route and the key
 * @param key undefined when the request came without one: then nothing was made before
 * @throws Refusal IDEMPOTENCY_KEY_REUSED when that request was another; Failure DIRECTIONS_BEHIND
 */
export async function givenBefore(
  directions: Pick<DirectionFollower, 'get' | 'upToDate'>,
  directionId: string,
  key: string | undefined,
  requestSha256: string,
): Promise<Direction | undefined> {
  if (key === undefined) return undefined;
  await directions.upToDate();
  const first = directions.get(directionId);
  if (first !== undefined) sameRequest(requestSha256, first.requestSha256);
  return first;
}
