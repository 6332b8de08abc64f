/**
 * The port behind which both engines stand, see vector-index.conformance.ts for what each must keep.
 *
 * An engine follows a {@link VectorStore}: it is told of each slot that was filled or is about to be cleared, and
 * answers searches with slots. `k` counts *subjects*: an answer has each subject once, by its best image, and is widened
 * until it has k of them or the whole shard was looked at. Scores are always the exact ones of the store.
 */
import type { UsedMode } from '#domain/gallery.js';

export interface SlotSearch {
  /** Float32Array of length `dimension`, finite and of norm 1; the caller has checked it. */
  readonly probe: Float32Array;
  /** Subjects wanted, 1 to {@link SUBJECTS_MAX}. */
  readonly k: number;
  /** Called for each slot that could be returned, so it must be quick; what it turns down does not count towards k. */
  readonly accepts?: (slot: number) => boolean;
}

export interface SlotHit {
  readonly slot: number;
  readonly score: number;
}

export interface SlotAnswer {
  /** What was really done: an approximate engine may find it better to be exact. */
  readonly mode: UsedMode;
  /** Best first, ties by imageId; each subject once; suppressed slots never. */
  readonly hits: readonly SlotHit[];
}

export interface VectorIndex {
  /** The store's slot has a template now. */
  add(slot: number): void;
  /** The store's slot is about to be cleared; what was derived from its template is overwritten before this returns. */
  remove(slot: number): void;
  search(search: SlotSearch): SlotAnswer;
  readonly memoryBytes: number;
}

/** More than any answer shows (50) or any evaluation asks for; keeps the work of one search bounded. */
export const SUBJECTS_MAX = 1000;
