/** What a shard holds, what it is asked, and what it answers. */
import type {
  GalleryCandidate,
  GalleryFilter,
  PartitionCoverage,
  SearchMode,
  TemplateKeeping,
  TemplateMetadata,
  TemplateSource,
  UsedMode,
} from '#domain/gallery.js';
import type { ImageId } from '#domain/ids.js';

export interface GalleryEntry {
  readonly partition: number;
  readonly metadata: TemplateMetadata;
  readonly source: TemplateSource;
  /** Absent when the record said none of it. */
  readonly keeping?: TemplateKeeping;
}

export interface HeldTemplate extends GalleryEntry {
  readonly imageId: ImageId;
  /** A copy. */
  readonly vector: Float32Array;
}

export interface GalleryQuery {
  /** Float32Array of length `dimension`, of norm 1. */
  readonly probe: Float32Array;
  /** Subjects wanted, 1 to 1000. */
  readonly k: number;
  readonly mode: SearchMode;
  readonly filter?: GalleryFilter | undefined;
}

export interface GalleryAnswer {
  readonly mode: UsedMode;
  /** Best first, ties by imageId; one for each subject. */
  readonly candidates: GalleryCandidate[];
}

/** How far behind the log's end that is, only who reads the log can say. */
export type ShardCoverage = Omit<PartitionCoverage, 'behindMs'>;

/** What a partition holds at its watermark. */
export interface PartitionDigest extends ShardCoverage {
  /** 64 hexadecimal digits: equal for two replicas that hold the same of the partition. */
  readonly digest: string;
}
