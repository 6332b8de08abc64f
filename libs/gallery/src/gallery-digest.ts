import { createHash } from 'node:crypto';
import type { ImageId, Offset } from '#domain/ids.js';

const DIGEST_BYTES = 32;

/**
 * One figure for what a shard holds, to compare replicas by: each template's SHA-256, joined by exclusive or, so that
 * the order in which they came does not matter.
 */
export class GalleryDigest {
  readonly #sum = new Uint8Array(DIGEST_BYTES);

  /** Adds a template, or takes one out that was added before. */
  toggle(imageId: ImageId, sourceOffset: Offset, vector: Float32Array): void {
    const bytes = createHash('sha256')
      .update(`${imageId}\n${sourceOffset}\n`)
      .update(new Uint8Array(vector.buffer, vector.byteOffset, vector.byteLength))
      .digest();
    for (let i = 0; i < this.#sum.length; i++) this.#sum[i] = this.#sum[i]! ^ bytes[i]!;
  }

  /** 64 hexadecimal digits. */
  hex(): string {
    return Buffer.from(this.#sum).toString('hex');
  }

  /** Goes on from what {@link hex} gave. @throws RangeError when it is not 64 hexadecimal digits */
  resume(hex: string): void {
    if (!/^[0-9a-f]{64}$/.test(hex)) throw new RangeError('a digest has 64 hexadecimal digits');
    this.#sum.set(Buffer.from(hex, 'hex'));
  }
}
