/** What a shard is told to do by its log, and what it answers. */
import type { TemplateKeeping, TemplateMetadata, TemplateSource } from '#domain/gallery.js';
import type { ImageId, Offset } from '#domain/ids.js';
import type { UnusableImage } from './unusable-images.js';

export type TemplateChange = {
  readonly partition: number;
  /** Of the record on the template topic; inclusive. */
  readonly offset: Offset;
  readonly imageId: ImageId;
  /** When the broker took the record, milliseconds since 1970. */
  readonly timestampMs: number;
} & (
  | {
      readonly kind: 'template';
      /** Float32Array of length `dimension`, of norm 1. */
      readonly vector: Float32Array;
      readonly metadata: TemplateMetadata;
      readonly source: TemplateSource;
      readonly keeping?: TemplateKeeping;
    }
  /** `sourceOffset` where it follows from a later photograph: what came from there or before goes. Inclusive. */
  | { readonly kind: 'tombstone'; readonly sourceOffset?: Offset }
  /** A record that could not be decoded; `sourceOffset` where it says at least that. */
  | { readonly kind: 'unusable'; readonly reason: string; readonly sourceOffset?: Offset }
);

export interface UnusableTemplate {
  readonly partition: number;
  /** Inclusive. */
  readonly offset: Offset;
  readonly imageId: ImageId;
  readonly reason: string;
}

export interface UnusableOverwrite extends UnusableImage {
  readonly imageId: ImageId;
}

/** Sums up one or more changes. */
export interface ApplyResult {
  /** Templates that are in force now, new or again. */
  applied: number;
  /** Templates that a tombstone removed. */
  removed: number;
  /** Never applied, because their source is erased: the log needs their tombstone again. */
  resurrections: ImageId[];
  /** Lost against the template that is held, or unusable: the log needs that one again, see `republishable`. */
  staleOverwrites: ImageId[];
  /** Of images that count as unusable: something erased stands in the log now where that should be said. */
  unusableOverwrites: UnusableOverwrite[];
  /** Never applied: not a template of this model. */
  unusable: UnusableTemplate[];
}

export function emptyApplyResult(): ApplyResult {
  return { applied: 0, removed: 0, resurrections: [], staleOverwrites: [], unusableOverwrites: [], unusable: [] };
}
