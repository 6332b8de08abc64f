/** Asks for an erasure and follows it to its receipt. */
import type { Settings } from '#platform/settings.js';
import { ServiceClient } from './service-client.js';

export interface EraseOptions {
  readonly reason: string;
  readonly authority: string;
}

interface Place {
  readonly partition: number;
  readonly offset: number;
}

interface ErasureAnswer {
  readonly erasureId: string;
  readonly state: 'AWAITING_APPROVAL' | 'CARRYING_OUT' | 'DONE';
  readonly images: readonly {
    readonly imageId: string;
    readonly outcome: string;
    readonly heldBy: readonly { readonly directionId: string; readonly kind: string }[];
    readonly receipt: {
      readonly disposition: Place | null;
      readonly tombstone: Place | null;
      readonly imageStoreEmptiedAt: string | null;
    };
  }[];
  readonly statement: string;
}

/** The null waits behind the images that were sent before it; longer than this nobody looks at a prompt. */
const FOLLOW_MS_MAX = 60_000;
const POLL_INTERVAL_MS = 500;

/** @param target one image, or every image of a subject */
export async function erase(
  settings: Settings,
  target: { readonly imageId: string } | { readonly subjectId: string },
  options: EraseOptions,
): Promise<void> {
  const client = new ServiceClient(settings, 'data-protection');
  let erasure = await client.call<ErasureAnswer>('POST', '/v1/erasures', { ...target, ...options });
  process.stdout.write(`erasure ${erasure.erasureId} is in the log\n`);
  const deadlineMs = performance.now() + FOLLOW_MS_MAX;
  while (erasure.state === 'CARRYING_OUT' && performance.now() < deadlineMs) {
    await new Promise((resolve) => setTimeout(resolve, POLL_INTERVAL_MS));
    erasure = await client.call<ErasureAnswer>('GET', `/v1/erasures/${erasure.erasureId}`);
  }
  for (const image of erasure.images) process.stdout.write(`${lineOf(image)}\n`);
  process.stdout.write(`${erasure.statement}\n`);
}

function lineOf({ imageId, outcome, heldBy, receipt }: ErasureAnswer['images'][number]): string {
  if (heldBy.length > 0) {
    return `${imageId}: ${outcome}, held by ${heldBy.map(({ kind, directionId }) => `${kind} ${directionId}`).join(', ')}`;
  }
  const { disposition, tombstone, imageStoreEmptiedAt } = receipt;
  const stores = [
    `disposition ${placeText(disposition)}`,
    `template ${placeText(tombstone)}`,
    `image store ${imageStoreEmptiedAt ?? 'not yet'}`,
  ];
  return `${imageId}: ${outcome} (${stores.join(', ')})`;
}

function placeText(place: Place | null): string {
  return place === null ? 'not yet' : `${place.partition}/${place.offset}`;
}
