import { createHash } from 'node:crypto';
import type { ImageId, Offset } from '#domain/ids.js';

/**
 * One figure for what a shard holds, to compare replicas by: each template's SHA-256, joined by exclusive or, so that
 * the order in which they came does not matter.
 */
export class GalleryDigest {
  readonly #sum = new Uint8Array(32);

  add(imageId: ImageId, sourceOffset: Offset, vector: Float32Array): void {
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
}
