/** Who must agree to an erasure, how far one has come, and which hold comes too late. */
import type { ErasedImage, Erasure, ErasureDestruction, ErasureReceipt, HeldBy } from './direction.js';
import type { ImageId, Offset, SubjectId } from './ids.js';

/**
 * Whether a second person must agree. One person's images are one decision, up to a number; images of several people,
 * or of nobody known, who may be several, are never one person's decision.
 *
 * @param subjects of each image; undefined where it is not known
 * @param imagesAloneMax inclusive: as many images of one person as one may decide about alone
 */
export function needsApproval(subjects: readonly (SubjectId | undefined)[], imagesAloneMax: number): boolean {
  if (subjects.length > imagesAloneMax) return true;
  const known = new Set(subjects.filter((subject) => subject !== undefined));
  const unknown = subjects.filter((subject) => subject === undefined).length;
  return known.size + unknown > 1;
}

export type ErasureState = 'AWAITING_APPROVAL' | 'CARRYING_OUT' | 'DONE';

interface Place {
  readonly partition: number;
  readonly offset: Offset;
}

export interface ImageProgress {
  readonly imageId: ImageId;
  /** `erasing`: searches leave it out, and it is not yet destroyed in every store. */
  readonly outcome: 'awaiting-approval' | 'erasing' | 'erased' | 'restricted-instead';
  readonly heldBy: readonly HeldBy[];
  readonly restrictionId: string | null;
  /** The null on `custody.images` that asks for it. Inclusive. */
  readonly source: Place | null;
  /** Store by store; null where it is not done yet. */
  readonly receipt: {
    /** On `custody.dispositions`: whoever has read it leaves the image out of searches. */
    readonly disposition: Place | null;
    /** On `gallery.templates`. */
    readonly tombstone: Place | null;
    readonly imageStoreEmptiedAt: string | null;
  };
  /** Store by store, since when it holds nothing of the image; null while it may. Empty before it is looked at. */
  readonly destroyed: Readonly<Record<string, string | null>>;
  /** Since when no store holds anything of the image. */
  readonly destroyedAt: string | null;
}

/**
 * @param receiptOf the receipt of this erasure for an image
 * @param destructionOf what is destroyed of what came from this record of `custody.images` or before
 */
export function erasureProgress(
  erasure: Erasure,
  receiptOf: (id: ImageId) => ErasureReceipt | undefined,
  destructionOf: (id: ImageId, through: Offset) => ErasureDestruction | undefined,
): { readonly state: ErasureState; readonly images: readonly ImageProgress[] } {
  const decided = new Map(erasure.images?.map((image) => [image.imageId, image]));
  const images = erasure.target.imageIds.map((id) => {
    const receipt = receiptOf(id);
    const through = (receipt?.source ?? decided.get(id)?.source)?.offset;
    const destruction = through === undefined ? undefined : destructionOf(id, through);
    return imageProgress(erasure, id, decided.get(id), receipt, destruction);
  });
  const isDone = images.every(({ outcome }) => outcome === 'erased' || outcome === 'restricted-instead');
  const state = erasure.state === 'awaiting-approval' ? 'AWAITING_APPROVAL' : isDone ? 'DONE' : 'CARRYING_OUT';
  return { state, images };
}

function imageProgress(
  erasure: Erasure,
  imageId: ImageId,
  decided: ErasedImage | undefined,
  receipt: ErasureReceipt | undefined,
  destruction: ErasureDestruction | undefined,
): ImageProgress {
  const common = { imageId, heldBy: decided?.heldBy ?? [], restrictionId: decided?.restrictionId ?? null };
  const receiptOfStores = {
    disposition: receipt?.disposition ?? decided?.disposition ?? null,
    tombstone: receipt?.tombstone ?? null,
    imageStoreEmptiedAt: receipt?.imageStoreEmptiedAt ?? null,
  };
  return {
    ...common,
    outcome: outcomeOf(erasure, decided, receipt, destruction),
    source: receipt?.source ?? decided?.source ?? null,
    receipt: receiptOfStores,
    destroyed: Object.fromEntries((destruction?.stores ?? []).map(({ store, at }) => [store, at])),
    destroyedAt: destruction?.completedAt ?? null,
  };
}

function outcomeOf(
  erasure: Erasure,
  decided: ErasedImage | undefined,
  receipt: ErasureReceipt | undefined,
  destruction: ErasureDestruction | undefined,
): ImageProgress['outcome'] {
  if (erasure.state === 'awaiting-approval') return 'awaiting-approval';
  if (decided?.outcome === 'restricted-instead') return 'restricted-instead';
  return receipt === undefined || destruction?.completedAt === undefined ? 'erasing' : 'erased';
}

/**
 * Whether the erasure takes the image that is held although somebody has it held now: it was decided before. What was
 * enrolled after its null is not covered.
 *
 * @param heldFrom the source offset of the image that is in the gallery; undefined when none is
 */
export function isTooLateFor(erasure: Erasure, imageId: ImageId, heldFrom: Offset | undefined): boolean {
  if (erasure.state !== 'decided' || !erasure.target.imageIds.includes(imageId)) return false;
  const decided = erasure.images?.find((image) => image.imageId === imageId);
  if (decided?.outcome === 'restricted-instead') return false;
  const through = decided?.source?.offset;
  return heldFrom === undefined || through === undefined || heldFrom <= through;
}
