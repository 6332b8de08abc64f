/** What finds faces and their five points: one implementation for each kind of detector that a pack may bring. */
import type { DetectedFace, FaceLandmarks } from '#domain/face.js';
import type { DecodedImage } from './decode.js';

export interface FoundFace extends DetectedFace {
  /** Of a detector that finds the points together with the face, and of a face whose points are known. */
  readonly landmarks?: FaceLandmarks;
}

/** Inputs of a finder's networks, for one picture in flight, allocated once. */
export interface FinderScratch {
  readonly detector: Float32Array;
  readonly landmarks: Float32Array;
}

export interface FaceFinder {
  newScratch(): FinderScratch;
  /**
   * @param scratch overwritten
   * @returns from left to right, whole pixels; this order is what a face's index means everywhere. Not by confidence:
   *   faces differ there by less than another processor's rounding, and an index must mean the same face everywhere
   */
  find(image: DecodedImage, scratch: FinderScratch): Promise<FoundFace[]>;
  /** The face's own, when it has them. */
  landmarksOf(image: DecodedImage, face: FoundFace, scratch: FinderScratch): Promise<FaceLandmarks>;
  /** Frees the networks. */
  close(): Promise<void>;
}
