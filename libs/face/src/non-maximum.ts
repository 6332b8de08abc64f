/** What every detector does last: of boxes that overlap one stays, and the rest are put in their order. */
import { intersectionOverUnion, type DetectedFace } from '#domain/face.js';

/** More than a photograph of a crowd yields at a detector's resolution; bounds what a caller is sent. */
const FACES_MAX = 100;

/** Greedy: the most confident face stays, whatever overlaps it by more than `iouMax` goes. Most confident first. */
export function suppressOverlaps<Face extends DetectedFace>(faces: readonly Face[], iouMax: number): Face[] {
  const kept: Face[] = [];
  for (const face of faces.toSorted(byConfidence)) {
    if (kept.length === FACES_MAX) break;
    if (kept.every((other) => intersectionOverUnion(face.box, other.box) <= iouMax)) kept.push(face);
  }
  return kept;
}

export function fromLeftToRight(a: DetectedFace, b: DetectedFace): number {
  return a.box.left - b.box.left || a.box.top - b.box.top;
}

function byConfidence(a: DetectedFace, b: DetectedFace): number {
  return b.confidence - a.confidence || fromLeftToRight(a, b);
}
