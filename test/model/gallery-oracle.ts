/**
 * What the gallery should hold, as plainly as can be: a map of what is enrolled, a map of what a disposition says, and a
 * double-precision look at every template for each search.
 */
import {
  erasedSince,
  erasedThrough,
  isErased,
  isSuppressed,
  mergeDisposition,
  type Disposition,
} from '#domain/disposition.js';
import { TEMPLATE_PARTITIONS } from '#domain/gallery.js';
import { offset, type ImageId, type Offset } from '#domain/ids.js';
import { GalleryDigest } from '#gallery/gallery-digest.js';
import type { Enrolment, GalleryLog } from './gallery-log.js';

/** A record that nobody can use, and of which no usable one came before. */
interface Missing {
  readonly sourceOffset: number | undefined;
  readonly atMs: number;
}

export interface Expected {
  readonly imageId: string;
  readonly subjectId: string;
  readonly score: number;
}

export class GalleryOracle {
  readonly enrolled = new Map<string, Enrolment>();
  readonly missing = new Map<string, Missing>();
  readonly dispositions = new Map<string, Disposition>();

  constructor(private readonly log: GalleryLog) {}

  template(enrolment: Enrolment): void {
    const { imageId } = enrolment.metadata;
    const held = this.enrolled.get(imageId);
    if (held !== undefined && enrolment.sourceOffset < held.sourceOffset) return;
    if (isErased(this.dispositions.get(imageId), offset(enrolment.sourceOffset))) return;
    this.missing.delete(imageId);
    this.enrolled.set(imageId, enrolment);
  }

  unusable(imageId: string, sourceOffset: number | undefined): void {
    if (this.enrolled.has(imageId)) return;
    this.missing.set(imageId, { sourceOffset, atMs: this.log.nowMs });
    this.#forgetErased(imageId);
  }

  disposition(imageId: string, disposition: Disposition | null): void {
    const inForce = mergeDisposition(this.dispositions.get(imageId), disposition);
    if (inForce === undefined) this.dispositions.delete(imageId);
    else this.dispositions.set(imageId, inForce);
    this.#forgetErased(imageId);
  }

  isHidden(imageId: string): boolean {
    const disposition = this.dispositions.get(imageId);
    const { sourceOffset } = this.enrolled.get(imageId) ?? { sourceOffset: Number.MAX_SAFE_INTEGER };
    return isSuppressed(disposition, offset(sourceOffset));
  }

  isErasedWhole(imageId: string): boolean {
    return erasedThrough(this.dispositions.get(imageId)) !== undefined && !this.enrolled.has(imageId);
  }

  /** @param most subjects at most. @returns the best image of each subject, best first, ties by imageId */
  search(probe: Float32Array, most: number): Expected[] {
    const best = new Map<string, Expected>();
    for (const [imageId, { metadata, vector }] of this.enrolled) {
      if (this.isHidden(imageId)) continue;
      const found = { imageId, subjectId: metadata.subjectId, score: scoreOf(probe, vector) };
      const other = best.get(metadata.subjectId);
      if (other === undefined || isBefore(found, other)) best.set(metadata.subjectId, found);
    }
    return [...best.values()].sort((a, b) => (isBefore(a, b) ? -1 : 1)).slice(0, most);
  }

  scoreOf(probe: Float32Array, imageId: string): number | undefined {
    const held = this.enrolled.get(imageId);
    return held === undefined || this.isHidden(imageId) ? undefined : scoreOf(probe, held.vector);
  }

  /** By partition. */
  coverage(): { readonly enrolled: number[]; readonly unusable: number[]; readonly digests: string[] } {
    const none = (): number[] => new Array<number>(TEMPLATE_PARTITIONS).fill(0);
    const enrolled = none();
    const unusable = none();
    const digests = enrolled.map(() => new GalleryDigest());
    for (const [imageId, { sourceOffset, vector }] of this.enrolled) {
      const partition = this.log.partitionOf(imageId);
      if (!this.isHidden(imageId)) enrolled[partition]!++;
      digests[partition]!.toggle(imageId as ImageId, sourceOffset as Offset, vector);
    }
    for (const imageId of this.missing.keys()) if (!this.isHidden(imageId)) unusable[this.log.partitionOf(imageId)]!++;
    return { enrolled, unusable, digests: digests.map((digest) => digest.hex()) };
  }

  #forgetErased(imageId: string): void {
    const disposition = this.dispositions.get(imageId);
    const through = erasedThrough(disposition);
    if (disposition === undefined || through === undefined) return;
    if ((this.enrolled.get(imageId)?.sourceOffset ?? Infinity) <= through) this.enrolled.delete(imageId);
    const missing = this.missing.get(imageId);
    if (missing === undefined) return;
    const isOlder = Date.parse(erasedSince(disposition) ?? '') >= missing.atMs;
    if (missing.sourceOffset === undefined ? isOlder : missing.sourceOffset <= through) this.missing.delete(imageId);
  }
}

function scoreOf(probe: Float32Array, vector: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < probe.length; i++) sum += probe[i]! * vector[i]!;
  return Math.min(1, Math.max(-1, sum));
}

function isBefore(a: Expected, b: Expected): boolean {
  return a.score > b.score || (a.score === b.score && a.imageId < b.imageId);
}
