/**
 * An image that one gallery has and the gallery of another model lacks, because the other model pack could not make a
 * template of the photograph that is held. Whoever switches is told how many there are, and why.
 */
import type { ImageId, ModelId, Offset, SubjectId } from './ids.js';

export interface GenerationGap {
  /** Of the gallery that lacks the image. */
  readonly modelId: ModelId;
  readonly imageId: ImageId;
  readonly subjectId: SubjectId;
  /** The `custody.images` record whose photograph could not be used. Inclusive. */
  readonly sourceOffset: Offset;
  /** Why: NO_FACE, FACE_UNUSABLE, FACE_NOT_FOUND_AGAIN, PHOTOGRAPH_NOT_FOUND and so on. */
  readonly code: string;
  readonly detail: string;
  /** ISO 8601 UTC. */
  readonly at: string;
}
