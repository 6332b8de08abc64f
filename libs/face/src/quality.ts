/**
 * What can honestly be said about how useful a face is: three numbers, and warnings at the points where the default
 * pack's errors were measured to rise. A warning never refuses a face; people decide.
 */
import type { FaceLandmarks, Point } from '#domain/face.js';

export type QualityWarning = 'FACE_SMALL' | 'EMBEDDING_NORM_LOW' | 'CONFIDENCE_LOW' | 'LANDMARKS_IMPLAUSIBLE';

export interface FaceQuality {
  /** Between the middles of the eyes, pixels of the upright image. */
  readonly eyeDistancePx: number;
  readonly embeddingNorm: number;
  /** The detector's, 0 to 1. */
  readonly confidence: number;
  readonly warnings: readonly QualityWarning[];
}

/** Rank-1 of 840: .99 at 21 px, .81 at 12 px, .23 at 8 px. */
const EYE_DISTANCE_PX_MIN = 20;
/** False non-matches at threshold .335: 8.9 % below 2.8, 2.3 % from there to 3.2. */
const EMBEDDING_NORM_MIN = 2.8;
/** 99.9 % of faces score at least this; of 60 pictures without a face one does. */
const CONFIDENCE_MIN = 0.97;

export function judgeQuality(landmarks: FaceLandmarks, embeddingNorm: number, confidence: number): FaceQuality {
  const eyeDistancePx = Math.hypot(
    landmarks.rightEye.x - landmarks.leftEye.x,
    landmarks.rightEye.y - landmarks.leftEye.y,
  );
  const warnings: QualityWarning[] = [];
  if (eyeDistancePx < EYE_DISTANCE_PX_MIN) warnings.push('FACE_SMALL');
  if (embeddingNorm < EMBEDDING_NORM_MIN) warnings.push('EMBEDDING_NORM_LOW');
  if (confidence < CONFIDENCE_MIN) warnings.push('CONFIDENCE_LOW');
  if (!looksUpright(landmarks)) warnings.push('LANDMARKS_IMPLAUSIBLE');
  return { eyeDistancePx, embeddingNorm, confidence, warnings };
}

/** Eyes in order, nose below them, mouth below the nose; along the face's own axis, so a tilted head passes. */
function looksUpright(landmarks: FaceLandmarks): boolean {
  const eyes = middle(landmarks.leftEye, landmarks.rightEye);
  const mouth = middle(landmarks.leftMouthCorner, landmarks.rightMouthCorner);
  const axis = { x: mouth.x - eyes.x, y: mouth.y - eyes.y };
  const along =
    (axis.x * (landmarks.noseTip.x - eyes.x) + axis.y * (landmarks.noseTip.y - eyes.y)) / (axis.x ** 2 + axis.y ** 2);
  return landmarks.leftEye.x < landmarks.rightEye.x && axis.y > 0 && along > 0.1 && along < 0.95;
}

function middle(p: Point, q: Point): Point {
  return { x: (p.x + q.x) / 2, y: (p.y + q.y) / 2 };
}
