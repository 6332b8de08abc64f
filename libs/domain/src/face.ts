import { Refusal } from './errors.js';
import { reportQuality, type FaceQuality, type QualityReport } from './face-quality.js';

/** Pixels of the upright image (after EXIF orientation), origin top left; right and bottom are exclusive. */
export interface FaceBox {
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
}

export interface Point {
  readonly x: number;
  readonly y: number;
}

/** Left and right are the image's, not the person's. Pixels of the upright image. */
export interface FaceLandmarks {
  readonly leftEye: Point;
  readonly rightEye: Point;
  readonly noseTip: Point;
  readonly leftMouthCorner: Point;
  readonly rightMouthCorner: Point;
}

/** One face that the detector found. */
export interface DetectedFace {
  readonly box: FaceBox;
  /** The detector's confidence, 0 to 1. */
  readonly confidence: number;
}

/** Which face of the image is meant: the index of a returned box, or a rule that the caller states. */
export type FaceChoice = number | 'largest' | 'central';

/** Two faces of one picture never share so much: the detector would have taken them for one. */
const SAME_FACE_IOU_MIN = 0.5;

/** @throws Refusal BAD_FACE_CHOICE */
export function parseFaceChoice(text: string): FaceChoice {
  if (text === 'largest' || text === 'central') return text;
  if (/^\d{1,3}$/.test(text)) return Number(text);
  throw new Refusal('BAD_FACE_CHOICE', 'face is the index of a returned box, "largest" or "central".');
}

/**
 * Chooses the face that the caller means. Without a choice, an image with more than one face is refused: the software
 * never decides who is meant.
 *
 * @param faces in the order that the caller was or will be shown them
 * @returns the index into `faces`
 * @throws Refusal NO_FACE, MULTIPLE_FACES (with the boxes), FACE_INDEX_OUT_OF_RANGE
 */
export function chooseFace(
  faces: readonly DetectedFace[],
  imageSize: { readonly width: number; readonly height: number },
  choice: FaceChoice | undefined,
): number {
  if (faces.length === 0) throw new Refusal('NO_FACE', 'No face was found in the image.');
  if (typeof choice === 'number') {
    if (choice >= faces.length) {
      throw new Refusal(
        'FACE_INDEX_OUT_OF_RANGE',
        `The image has ${faces.length} face(s); face ${choice} does not exist.`,
        {
          faces: describeFaces(faces),
        },
      );
    }
    return choice;
  }
  if (choice === undefined) {
    if (faces.length > 1) {
      throw new Refusal('MULTIPLE_FACES', `The image has ${faces.length} faces: say which one is meant.`, {
        faces: describeFaces(faces),
      });
    }
    return 0;
  }
  const cost = choice === 'largest' ? negativeArea : squaredDistanceFromCentre(imageSize);
  let best = 0;
  for (let i = 1; i < faces.length; i++) {
    if (cost(faces[i]!.box) < cost(faces[best]!.box)) best = i;
  }
  return best;
}

/** What a caller is shown of a face, so as to choose one. */
export interface DescribedFace {
  readonly index: number;
  readonly box: FaceBox;
  readonly confidence: number;
  /** Absent when it was not measured: eyes, nose and mouth are where no face has them, most often. */
  readonly quality?: QualityReport;
}

/** The picture that boxes are given in. */
export interface UprightPicture {
  readonly width: number;
  readonly height: number;
  /** Clockwise degrees by which it was turned, after what EXIF says, so as to be upright. */
  readonly rotation: 0 | 90 | 180 | 270;
}

/** @param qualities in the order of the faces */
export function describeFaces(
  faces: readonly DetectedFace[],
  qualities: readonly (FaceQuality | undefined)[] = [],
): readonly DescribedFace[] {
  return faces.map((face, index) => {
    const quality = qualities[index];
    const described = { index, box: face.box, confidence: face.confidence };
    return quality === undefined ? described : { ...described, quality: reportQuality(quality) };
  });
}

function negativeArea(box: FaceBox): number {
  return -(box.right - box.left) * (box.bottom - box.top);
}

function squaredDistanceFromCentre(size: {
  readonly width: number;
  readonly height: number;
}): (box: FaceBox) => number {
  return (box) => {
    const dx = (box.left + box.right) / 2 - size.width / 2;
    const dy = (box.top + box.bottom) / 2 - size.height / 2;
    return dx * dx + dy * dy;
  };
}

/** 0 for boxes that share nothing, 1 for equal ones. */
export function intersectionOverUnion(a: FaceBox, b: FaceBox): number {
  const width = Math.min(a.right, b.right) - Math.max(a.left, b.left);
  const height = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
  if (width <= 0 || height <= 0) return 0;
  return (width * height) / (area(a) + area(b) - width * height);
}

function area(box: FaceBox): number {
  return (box.right - box.left) * (box.bottom - box.top);
}

/**
 * Which of the faces found is the one that was found there before, in the same picture encoded again.
 *
 * @returns the index into `faces`; undefined when none covers the box by half
 */
export function sameFace(faces: readonly { readonly box: FaceBox }[], box: FaceBox): number | undefined {
  let best: number | undefined;
  let bestShare = SAME_FACE_IOU_MIN;
  faces.forEach((face, i) => {
    const share = intersectionOverUnion(face.box, box);
    if (share < bestShare) return;
    best = i;
    bestShare = share;
  });
  return best;
}
