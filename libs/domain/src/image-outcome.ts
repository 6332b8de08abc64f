/** What became of a custody image. Every record on `custody.images` ends as exactly one of these. */
import type { HeldBy } from './direction.js';
import type { DescribedFace, FaceBox, UprightPicture } from './face.js';
import type { ImageId, ModelId, Offset } from './ids.js';

interface OutcomeBase {
  readonly imageId: ImageId;
  /** ISO 8601. */
  readonly at: string;
  /** The record on `custody.images` that it is the outcome of. Inclusive. */
  readonly source: { readonly partition: number; readonly offset: Offset };
}

export type ImageOutcome = OutcomeBase &
  (
    | {
        readonly outcome: 'enrolled';
        readonly modelId: ModelId;
        /** The template's place on `gallery.templates`: searchable once the watermark passes it. Inclusive. */
        readonly template: { readonly partition: number; readonly offset: Offset };
        readonly faceBox: FaceBox;
        readonly facesFound: number;
        readonly embeddingNorm: number;
        readonly warnings: readonly string[];
        /** The warnings in words that a person can act on, in their order. */
        readonly advice?: readonly string[];
        /** Clockwise degrees by which the picture was turned, after what EXIF says, so as to be upright. */
        readonly rotation?: UprightPicture['rotation'];
      }
    | {
        readonly outcome: 'refused';
        readonly code: string;
        readonly detail: string;
        readonly faces?: readonly DescribedFace[];
        /** What the boxes of `faces` are given in. */
        readonly picture?: UprightPicture;
        /** Of QUALITY_TOO_LOW: what was too low. */
        readonly reasons?: readonly string[];
      }
    /** Not the image's fault: put aside as a dead letter, and can be replayed. */
    | { readonly outcome: 'failed'; readonly code: string; readonly detail: string }
    /** A later record, or an erasure, of the same image won. */
    | { readonly outcome: 'superseded'; readonly by: 'later-image' | 'erasure' }
    | {
        readonly outcome: 'erased';
        readonly authority: string;
        readonly reason: string;
        /** Searches leave the image out once they have read this record of `custody.dispositions`. Inclusive. */
        readonly disposition: { readonly partition: number; readonly offset: Offset };
      }
    /** An erasure that a hold forbids: the image is kept, and left out of searches. */
    | {
        readonly outcome: 'restricted';
        readonly authority: string;
        readonly reason: string;
        readonly heldBy: readonly HeldBy[];
        /** What lifts the restriction names it. */
        readonly restrictionId: string;
      }
  );
