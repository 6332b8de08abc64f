/** Measures how useful a face is, from its five points and from the pixels that the embedder sees. */
import type { FaceLandmarks, Point } from '#domain/face.js';
import { beyondLimits, QUALITY_WARNINGS, type FaceMeasures, type FaceQuality } from '#domain/face-quality.js';
import type { AlignedPixels } from './align.js';
import type { PackCalibration } from './model-pack.js';

/**
 * Of the five points on a generic head, in the proportions of the model that OpenCV's head-pose example uses (eyes 306
 * apart, mouth 320 below, nose tip 130 ahead of both): by how much the nose tip stands out, in distances between the
 * eyes, and in distances from eyes to mouth.
 */
const NOSE_DEPTH_BY_EYE_DISTANCE = 130 / 306;
const NOSE_DEPTH_BY_FACE_HEIGHT = 130 / 320;
/** Where the nose tip lies between eyes (0) and mouth (1) of a face that looks into the camera: as in the ArcFace template. */
const NOSE_PLACE_FRONTAL = 0.496;

/** The part of the aligned 112 x 112 face that hardly ever shows hair, collar or background. Right and bottom exclusive. */
const INNER = { left: 20, top: 20, right: 92, bottom: 108 } as const;
/** The alignment template's side, for which the part above is given. */
const TEMPLATE_SIDE_PX = 112;
/** Where OFIQ draws the lines of under- and over-exposure. */
const DARK_LUMINANCE_MAX = 25;
const BRIGHT_LUMINANCE_MIN = 247;
/** Below, there are no more than rounding errors of the pixels. */
const VARIANCE_MIN = 0.5;

/** @param aligned what the embedder was fed for this face */
export function measureFace(
  landmarks: FaceLandmarks,
  aligned: AlignedPixels,
  embeddingNorm: number,
  confidence: number,
): FaceMeasures {
  return { embeddingNorm, confidence, ...measurePose(landmarks), ...measurePixels(aligned) };
}

export function judgeQuality(
  measures: FaceMeasures,
  landmarks: FaceLandmarks,
  { warn, refuseEnrolment }: PackCalibration['quality'],
): FaceQuality {
  const beyond = new Set(beyondLimits(measures, warn));
  if (!looksUpright(landmarks)) beyond.add('LANDMARKS_IMPLAUSIBLE');
  return {
    ...measures,
    warnings: QUALITY_WARNINGS.filter((warning) => beyond.has(warning)),
    refusals: beyondLimits(measures, refuseEnrolment),
  };
}

/**
 * From the five points under weak perspective: roll is the slope of the line between the eyes; along that line the nose
 * tip is displaced by depth · sin(yaw) and the eyes are depth-free, so tan(yaw) = displacement / eye distance / relative
 * depth; pitch likewise along the face's own axis. Good to some 10 degrees: enough to say what to do better.
 */
function measurePose(landmarks: FaceLandmarks) {
  const { leftEye, rightEye, noseTip } = landmarks;
  const eyeDistancePx = Math.hypot(rightEye.x - leftEye.x, rightEye.y - leftEye.y);
  const eyes = middle(leftEye, rightEye);
  const mouth = middle(landmarks.leftMouthCorner, landmarks.rightMouthCorner);
  const across = { x: (rightEye.x - leftEye.x) / eyeDistancePx, y: (rightEye.y - leftEye.y) / eyeDistancePx };
  const centre = middle(eyes, mouth);
  const aside = (noseTip.x - centre.x) * across.x + (noseTip.y - centre.y) * across.y;
  return {
    eyeDistancePx,
    yawDegrees: degrees(Math.atan2(aside, eyeDistancePx * NOSE_DEPTH_BY_EYE_DISTANCE)),
    pitchDegrees: degrees(Math.atan((NOSE_PLACE_FRONTAL - nosePlace(landmarks)) / NOSE_DEPTH_BY_FACE_HEIGHT)),
    rollDegrees: degrees(Math.atan2(across.y, across.x)),
  };
}

/** One pass over the luminance: cheap beside the network that was just run on the same pixels. */
function measurePixels({ values, sidePx, redAt, greenAt, blueAt, step, mean, scale }: AlignedPixels) {
  const luminance = new Float32Array(sidePx * sidePx);
  for (let i = 0, p = 0; i < luminance.length; i++, p += step) {
    luminance[i] =
      (0.299 * values[redAt + p]! + 0.587 * values[greenAt + p]! + 0.114 * values[blueAt + p]!) * scale + mean;
  }
  const zoom = sidePx / TEMPLATE_SIDE_PX;
  const [left, top, right, bottom] = [INNER.left, INNER.top, INNER.right, INNER.bottom].map((at) =>
    Math.round(at * zoom),
  );
  let sum = 0;
  let squares = 0;
  let dark = 0;
  let bright = 0;
  let laplacianSum = 0;
  let laplacianSquares = 0;
  for (let y = top!; y < bottom!; y++) {
    for (let i = y * sidePx + left!, end = y * sidePx + right!; i < end; i++) {
      const here = luminance[i]!;
      sum += here;
      squares += here * here;
      if (here <= DARK_LUMINANCE_MAX) dark++;
      if (here >= BRIGHT_LUMINANCE_MIN) bright++;
      const laplacian =
        4 * here - luminance[i - 1]! - luminance[i + 1]! - luminance[i - sidePx]! - luminance[i + sidePx]!;
      laplacianSum += laplacian;
      laplacianSquares += laplacian * laplacian;
    }
  }
  const count = (right! - left!) * (bottom! - top!);
  const luminanceMean = sum / count;
  const variance = squares / count - luminanceMean ** 2;
  const laplacianVariance = laplacianSquares / count - (laplacianSum / count) ** 2;
  return {
    // An even grey has nothing that could be sharp.
    sharpness: variance < VARIANCE_MIN ? 0 : laplacianVariance / variance,
    luminanceMean,
    underExposedShare: dark / count,
    overExposedShare: bright / count,
  };
}

/** Eyes in order, nose below them, mouth below the nose; along the face's own axis, so a tilted head passes. */
export function looksUpright(landmarks: FaceLandmarks): boolean {
  const eyes = middle(landmarks.leftEye, landmarks.rightEye);
  const mouth = middle(landmarks.leftMouthCorner, landmarks.rightMouthCorner);
  const place = nosePlace(landmarks);
  return landmarks.leftEye.x < landmarks.rightEye.x && mouth.y > eyes.y && place > 0.1 && place < 0.95;
}

/** Where the nose tip lies along the line from the middle of the eyes (0) to the middle of the mouth (1). */
function nosePlace({ leftEye, rightEye, noseTip, leftMouthCorner, rightMouthCorner }: FaceLandmarks): number {
  const eyes = middle(leftEye, rightEye);
  const mouth = middle(leftMouthCorner, rightMouthCorner);
  const axis = { x: mouth.x - eyes.x, y: mouth.y - eyes.y };
  return (axis.x * (noseTip.x - eyes.x) + axis.y * (noseTip.y - eyes.y)) / (axis.x ** 2 + axis.y ** 2);
}

function middle(p: Point, q: Point): Point {
  return { x: (p.x + q.x) / 2, y: (p.y + q.y) / 2 };
}

function degrees(radians: number): number {
  return (radians * 180) / Math.PI;
}
