/**
 * What the gallery holds and how it is asked. Shared by the index, which answers, and the query service, which asks.
 */
import type { FaceBox } from './face.js';
import type { ImageId, Offset, SubjectId } from './ids.js';

/** The template topic's partition count, for ever: a keyed topic never grows. Even for S = 1, 2, 3, 4, 6, 8, 12, 24. */
export const TEMPLATE_PARTITIONS = 24;

export type Sex = 'female' | 'male' | 'other' | 'unknown';
/** The person's age when the image was taken. */
export type AgeBand = '10-17' | '18-24' | '25-34' | '35-49' | '50-64' | '65+' | 'unknown';

/** What is kept with a template, so that a candidate can be shown and filtered without asking anybody. */
export interface TemplateMetadata {
  readonly imageId: ImageId;
  readonly subjectId: SubjectId;
  readonly force?: string;
  readonly custodyReference?: string;
  /** ISO 8601. */
  readonly capturedAt?: string;
  readonly sex?: Sex;
  readonly ageBand?: AgeBand;
  readonly faceBox?: FaceBox;
  /** L2 norm of the embedding before normalising; predicts how useful the image is. */
  readonly embeddingNorm?: number;
}

/**
 * Why an image is held and what its template was made from, as the template's record says it. Whoever writes the record
 * again needs it; no search asks for it.
 */
export interface TemplateKeeping {
  readonly lawfulBasis?: string;
  /** ISO 8601 date or instant, as the custody system gave it. */
  readonly reviewDue?: string;
  /** Index of the face that the template is of, among those found, from left to right. */
  readonly face?: number;
  /** Of a corrected image: the `custody.images` record that its photograph first came from. Inclusive. */
  readonly photographFrom?: Offset;
}

/**
 * Where a template came from: its record on `custody.images`, whose partition equals that of the template because both
 * are keyed by imageId and have as many partitions. A later source wins over an earlier one, whatever order they
 * arrive in, and a template at or below the offset of an erasure is never applied.
 */
export interface TemplateSource {
  /** Inclusive: the offset of the record itself. */
  readonly sourceOffset: Offset;
  /** When the image was accepted by the broker, milliseconds since 1970. */
  readonly acceptedAtMs: number;
}

/** `auto` chooses by the size of the shard. */
export type SearchMode = 'exact' | 'approximate' | 'auto';
/** The mode that was used. */
export type UsedMode = 'exact' | 'approximate';

/** Each part that is present must hold; a template without the attribute does not pass. */
export interface GalleryFilter {
  readonly force?: string;
  /** Inclusive, ISO 8601. */
  readonly capturedFrom?: string;
  /** Exclusive, ISO 8601. */
  readonly capturedTo?: string;
  readonly sex?: Sex;
  readonly ageBand?: AgeBand;
  readonly excludeImageIds?: readonly ImageId[];
}

/** One subject's best image for a probe. */
export interface GalleryCandidate extends TemplateMetadata {
  /** Cosine of probe and template, accumulated in double precision; -1 to 1. */
  readonly score: number;
  /** The `custody.images` record that the template came from, so that whoever merges can apply dispositions. Inclusive. */
  readonly sourceOffset: Offset;
}

/** How far, and over how much, one template partition was searched. */
export interface PartitionCoverage {
  readonly partition: number;
  /** Exclusive: every record below it was taken into account. */
  readonly watermark: Offset;
  /** Templates of the partition that could have been returned (suppressed ones are not counted). */
  readonly enrolled: number;
  /** Images of the partition whose last record cannot be used, so that they are not searched. */
  readonly unusable: number;
  /** How long the oldest record not yet applied has been waiting; 0 when there is none. */
  readonly behindMs: number;
}

/** Best first; ties by imageId, so that answers are equal to the byte on every replica. */
export function compareCandidates(
  a: { readonly score: number; readonly imageId: string },
  b: { readonly score: number; readonly imageId: string },
): number {
  if (a.score !== b.score) return b.score - a.score;
  return a.imageId < b.imageId ? -1 : a.imageId > b.imageId ? 1 : 0;
}
