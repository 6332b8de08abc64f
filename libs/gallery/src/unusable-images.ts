/**
 * The images of a shard whose last record cannot be used and of which no earlier template is held: they are not
 * searched, and every answer about their partition must say so.
 *
 * An image leaves by a usable record, by a tombstone, or by an erasure that covers its record. One that a disposition
 * keeps out of searches stays known and is not counted: nothing that should be searched is missing.
 */
import { erasedSince, isErased, isSuppressed, type Disposition } from '#domain/disposition.js';
import type { ImageId, Offset } from '#domain/ids.js';

export interface UnusableImage {
  readonly partition: number;
  /** The `custody.images` record that the unusable one came from; undefined when it does not say. Inclusive. */
  readonly sourceOffset: Offset | undefined;
  /** When the broker took the record, milliseconds since 1970. */
  readonly timestampMs: number;
}

interface KnownImage extends UnusableImage {
  counted: boolean;
}

export class UnusableImages {
  readonly #images = new Map<ImageId, KnownImage>();
  readonly #counts = new Map<number, number>();

  get size(): number {
    return this.#images.size;
  }

  get(imageId: ImageId): UnusableImage | undefined {
    return this.#images.get(imageId);
  }

  /** Images of the partition that ought to be searched and cannot be. */
  count(partition: number): number {
    return this.#counts.get(partition) ?? 0;
  }

  set(imageId: ImageId, image: UnusableImage, disposition: Disposition | undefined): void {
    this.delete(imageId);
    this.#images.set(imageId, { ...image, counted: false });
    this.reconsider(imageId, disposition);
  }

  /** @returns whether it was there */
  delete(imageId: ImageId): boolean {
    const image = this.#images.get(imageId);
    if (image === undefined) return false;
    this.#setCounted(image, false);
    return this.#images.delete(imageId);
  }

  /** What the disposition that is in force now makes of the image. @returns whether it is forgotten, being erased */
  reconsider(imageId: ImageId, disposition: Disposition | undefined): boolean {
    const image = this.#images.get(imageId);
    if (image === undefined) return false;
    if (coversUnusable(disposition, image)) return this.delete(imageId);
    this.#setCounted(image, !isSuppressed(disposition, image.sourceOffset ?? (Number.MAX_SAFE_INTEGER as Offset)));
    return false;
  }

  *entries(): Generator<readonly [ImageId, UnusableImage]> {
    for (const [imageId, { partition, sourceOffset, timestampMs }] of this.#images) {
      yield [imageId, { partition, sourceOffset, timestampMs }];
    }
  }

  #setCounted(image: KnownImage, counted: boolean): void {
    if (image.counted === counted) return;
    image.counted = counted;
    this.#counts.set(image.partition, this.count(image.partition) + (counted ? 1 : -1));
  }
}

/**
 * Whether the erasure is also of this record. One that does not say where it came from is of the time when the broker
 * took it: an image that was enrolled again after its erasure must not be taken for erased.
 */
export function coversUnusable(disposition: Disposition | undefined, image: UnusableImage): boolean {
  if (image.sourceOffset !== undefined) return isErased(disposition, image.sourceOffset);
  const since = erasedSince(disposition);
  return since !== undefined && Date.parse(since) >= image.timestampMs;
}
