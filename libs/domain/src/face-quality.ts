/**
 * How useful a face is, in numbers, and what to do about it, in words. The numbers are measured in the face pipeline;
 * the limits come with the model pack, because they are where that pack's errors were measured to rise.
 *
 * The names follow ISO/IEC 29794-5:2025 and its reference implementation OFIQ where the same is meant (inter-eye
 * distance, head pose, sharpness, luminance mean, under- and over-exposure); the values are this project's own.
 */

export interface FaceMeasures {
  /** Between the middles of the eyes, pixels of the upright image. */
  readonly eyeDistancePx: number;
  /** L2 norm of the embedding before normalising: the pack's own prediction of how useful the face is. */
  readonly embeddingNorm: number;
  /** The detector's, 0 to 1. */
  readonly confidence: number;
  /** Turned to a side: 0 looks into the camera, positive turns to the image's right. */
  readonly yawDegrees: number;
  /** Positive looks up. */
  readonly pitchDegrees: number;
  /** Tilted towards a shoulder: positive is clockwise in the image. */
  readonly rollDegrees: number;
  /**
   * Variance of the Laplacian of the aligned face's luminance, over the variance of the luminance, so that light does not
   * count: low is blurred, or enlarged from few pixels.
   */
  readonly sharpness: number;
  /** Of the aligned face, 0 to 255. */
  readonly luminanceMean: number;
  /** Share of the aligned face that is nearly black (luminance at most 25). */
  readonly underExposedShare: number;
  /** Share of the aligned face that is nearly white (luminance at least 247). */
  readonly overExposedShare: number;
}

/** What is judged, and where; a limit that is absent is not judged. All are inclusive: what is equal passes. */
export interface QualityLimits {
  readonly eyeDistancePxMin?: number | undefined;
  readonly embeddingNormMin?: number | undefined;
  readonly confidenceMin?: number | undefined;
  /** Of yaw to either side. */
  readonly yawDegreesMax?: number | undefined;
  /** Of pitch up or down. */
  readonly pitchDegreesMax?: number | undefined;
  readonly sharpnessMin?: number | undefined;
  readonly luminanceMeanMin?: number | undefined;
  readonly luminanceMeanMax?: number | undefined;
  readonly underExposedShareMax?: number | undefined;
  readonly overExposedShareMax?: number | undefined;
}

/** In the order of what is worth mending first. */
const ADVICE = {
  FACE_SMALL: 'The face is small in the picture: go nearer, or send the original instead of a thumbnail.',
  FACE_TURNED: 'The face is turned away: photograph it from the front.',
  FACE_UP_OR_DOWN: 'The face looks up or down: hold the camera at the height of the eyes.',
  FACE_BLURRED: 'The face is blurred or enlarged from few pixels: hold the camera still and focus on the face.',
  FACE_DARK: 'The face is too dark: put light on the face, not behind it.',
  FACE_BRIGHT: 'The face is too bright: take it out of direct light or flash.',
  CONFIDENCE_LOW: 'This may be no face, or one that is half hidden: check the box, and uncover the face.',
  LANDMARKS_IMPLAUSIBLE: 'Eyes, nose and mouth were not found where a face has them: check the box and the picture.',
  EMBEDDING_NORM_LOW:
    'The face shows too little that tells people apart: take another picture, sharp and from the front.',
} as const;

export type QualityWarning = keyof typeof ADVICE;
export const QUALITY_WARNINGS = Object.keys(ADVICE) as readonly QualityWarning[];

export interface FaceQuality extends FaceMeasures {
  /** People decide; a warning refuses nothing. */
  readonly warnings: readonly QualityWarning[];
  /** Why the face is not to be enrolled. Empty for one that may be. */
  readonly refusals: readonly QualityWarning[];
}

/** What to do about it, in words for a custody suite: in the same order. */
export function adviceFor(warnings: readonly QualityWarning[]): readonly string[] {
  return warnings.map((warning) => ADVICE[warning]);
}

/** Of a face as people and systems are told of it: the measures, rounded to what they are good for, and what to do. */
export interface QualityReport {
  readonly eyeDistancePx: number;
  /** Below about 2.8 the default pack misses one genuine probe in eleven. */
  readonly embeddingNorm: number;
  readonly detectionConfidence: number;
  /** The rest is absent from records of a time when it was not measured. */
  readonly yawDegrees?: number;
  readonly pitchDegrees?: number;
  readonly rollDegrees?: number;
  readonly sharpness?: number;
  readonly luminanceMean?: number;
  readonly underExposedShare?: number;
  readonly overExposedShare?: number;
  readonly warnings: readonly string[];
  /** The warnings in words that a person can act on, in their order. */
  readonly advice?: readonly string[];
}

export function reportQuality(quality: FaceQuality): QualityReport {
  return {
    eyeDistancePx: quality.eyeDistancePx,
    embeddingNorm: quality.embeddingNorm,
    detectionConfidence: quality.confidence,
    yawDegrees: rounded(quality.yawDegrees, 0),
    pitchDegrees: rounded(quality.pitchDegrees, 0),
    rollDegrees: rounded(quality.rollDegrees, 0),
    sharpness: rounded(quality.sharpness, 4),
    luminanceMean: rounded(quality.luminanceMean, 0),
    underExposedShare: rounded(quality.underExposedShare, 3),
    overExposedShare: rounded(quality.overExposedShare, 3),
    warnings: quality.warnings,
    advice: adviceFor(quality.warnings),
  };
}

/** What of a face is beyond its limits. */
export function beyondLimits(measures: FaceMeasures, limits: QualityLimits): readonly QualityWarning[] {
  const { luminanceMean } = measures;
  const beyond: Record<Exclude<QualityWarning, 'LANDMARKS_IMPLAUSIBLE'>, boolean> = {
    FACE_SMALL: below(measures.eyeDistancePx, limits.eyeDistancePxMin),
    FACE_TURNED: above(Math.abs(measures.yawDegrees), limits.yawDegreesMax),
    FACE_UP_OR_DOWN: above(Math.abs(measures.pitchDegrees), limits.pitchDegreesMax),
    FACE_BLURRED: below(measures.sharpness, limits.sharpnessMin),
    FACE_DARK:
      below(luminanceMean, limits.luminanceMeanMin) || above(measures.underExposedShare, limits.underExposedShareMax),
    FACE_BRIGHT:
      above(luminanceMean, limits.luminanceMeanMax) || above(measures.overExposedShare, limits.overExposedShareMax),
    CONFIDENCE_LOW: below(measures.confidence, limits.confidenceMin),
    EMBEDDING_NORM_LOW: below(measures.embeddingNorm, limits.embeddingNormMin),
  };
  return QUALITY_WARNINGS.filter((warning) => warning !== 'LANDMARKS_IMPLAUSIBLE' && beyond[warning]);
}

function below(value: number, min: number | undefined): boolean {
  return min !== undefined && value < min;
}

function above(value: number, max: number | undefined): boolean {
  return max !== undefined && value > max;
}

/** Adding 0 makes a zero of minus zero, which JSON would not bring back. */
function rounded(value: number, digits: number): number {
  return Number(value.toFixed(digits)) + 0;
}
