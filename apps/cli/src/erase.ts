/** Asks for an erasure and follows it to its receipt, store by store. */
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
    readonly receipt: { readonly disposition: Place | null; readonly tombstone: Place | null };
    readonly destroyed: Readonly<Record<string, string | null>>;
  }[];
  readonly late: boolean;
  readonly statement: string;
}

/** Beyond the bound, it is late: that is seen too. */
const FOLLOW_BEYOND_MS = 15_000;
/** Longer than this nobody looks at a prompt: in production, compaction takes hours. */
const FOLLOW_MS_MAX = 180_000;
/** Each look is in the audit. */
const POLL_INTERVAL_MS = 2_000;

/** @param target one image, or every image of a subject */
export async function erase(
  settings: Settings,
  target: { readonly imageId: string } | { readonly subjectId: string },
  options: EraseOptions,
): Promise<void> {
  const client = new ServiceClient(settings, 'data-protection');
  let erasure = await client.call<ErasureAnswer>('POST', '/v1/erasures', { ...target, ...options });
  process.stdout.write(`erasure ${erasure.erasureId} is in the log\n`);
  const followMs = Math.min(FOLLOW_MS_MAX, settings.ERASURE_DESTRUCTION_SECONDS * 1000 + FOLLOW_BEYOND_MS);
  const deadlineMs = performance.now() + followMs;
  while (erasure.state === 'CARRYING_OUT' && performance.now() < deadlineMs) {
    await new Promise((resolve) => setTimeout(resolve, POLL_INTERVAL_MS));
    erasure = await client.call<ErasureAnswer>('GET', `/v1/erasures/${erasure.erasureId}`);
  }
  for (const image of erasure.images) process.stdout.write(linesOf(image));
  process.stdout.write(`${erasure.statement}${erasure.late ? ' It takes longer than it may.' : ''}\n`);
}

function linesOf({ imageId, outcome, heldBy, receipt, destroyed }: ErasureAnswer['images'][number]): string {
  if (heldBy.length > 0) {
    return `${imageId}: ${outcome}, held by ${heldBy.map(({ kind, directionId }) => `${kind} ${directionId}`).join(', ')}\n`;
  }
  const rows = [
    ['disposition', placeText(receipt.disposition)],
    ['tombstone', placeText(receipt.tombstone)],
    ...Object.entries(destroyed).map(([store, at]) => [store, at ?? 'not yet']),
  ];
  const width = Math.max(...rows.map(([store]) => store!.length));
  return [`${imageId}: ${outcome}`, ...rows.map(([store, at]) => `  ${store!.padEnd(width)}  ${at}`), ''].join('\n');
}

function placeText(place: Place | null): string {
  return place === null ? 'not yet' : `${place.partition}/${place.offset}`;
}
