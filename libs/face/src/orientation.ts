/**
 * Which way up a picture is, when nothing says so. A detector finds upright "faces" in pictures that lie on their side or
 * stand on their head, sure of itself; what tells the true orientation is that its landmarks lie as in a face and that its
 * embedding has a high norm (measured, see docs/faces.md).
 *
 * A picture whose largest face is clearly good is never looked at again: the others cost nothing for it.
 */
import type { FaceLandmarks, UprightPicture } from '#domain/face.js';
import { openPixels, type DecodedImage } from './decode.js';
import type { FoundFace } from './face-finder.js';
import { giveBack } from './give-back.js';
import type { PackCalibration } from './model-pack.js';
import { looksUpright } from './quality.js';

const OTHER_ROTATIONS = [90, 180, 270] as const;

/** In a crowd that is upside down every face would otherwise be embedded in every orientation. */
const FACES_JUDGED_MAX = 3;

/** One picture in one orientation. */
export interface Orientation {
  readonly rotation: UprightPicture['rotation'];
  readonly image: DecodedImage;
  /** From left to right; of one that was turned, whatever the detector takes for a face. */
  readonly faces: readonly FoundFace[];
}

/** What is asked of the engine, cheapest first. */
export interface OrientationJudge {
  /** Whatever the detector takes for a face. */
  find(image: DecodedImage): Promise<readonly FoundFace[]>;
  landmarksOf(image: DecodedImage, face: FoundFace): Promise<FaceLandmarks>;
  /** 0 for a face whose points are one point. */
  normOf(image: DecodedImage, face: FoundFace): Promise<number>;
}

/**
 * @param first the picture as it came; its pixels are given back when another orientation is taken
 * @returns `first` unless another orientation is better by far; the same whatever face is meant afterwards
 */
export async function uprightOrientation(
  first: Orientation,
  judge: OrientationJudge,
  { orientation, uncertainFaces }: PackCalibration,
): Promise<Orientation> {
  if (orientation === undefined) return first;
  const certainMin = uncertainFaces?.confidenceBelow ?? 0;
  const hasGeometry = async (image: DecodedImage, face: FoundFace): Promise<boolean> =>
    hasFaceGeometry(await judge.landmarksOf(image, face), face, orientation.eyesByHeightMin);
  const [largest] = largestFaces(first.faces, certainMin);
  if (largest !== undefined && (await hasGeometry(first.image, largest))) {
    if ((await judge.normOf(first.image, largest)) >= orientation.clearNormMin) return first;
  }
  let best = { of: first, norm: 0 };
  // The picture as it came is given the benefit of the doubt: a profile has not the geometry either.
  for (const face of largestFaces(first.faces, certainMin)) {
    best.norm = Math.max(best.norm, await judge.normOf(first.image, face));
  }
  const images = [first.image];
  for (const rotation of OTHER_ROTATIONS) {
    const image = await turned(first.image, rotation);
    images.push(image);
    const faces = await judge.find(image);
    for (const face of largestFaces(faces, certainMin)) {
      // Most of what is found in a picture that is not upright ends here, before the costliest network.
      if (!(await hasGeometry(image, face))) continue;
      const norm = await judge.normOf(image, face);
      const better = norm >= best.norm + (best.of === first ? orientation.gainMin : 0);
      if (norm >= orientation.turnedNormMin && better) best = { of: { rotation, image, faces }, norm };
    }
  }
  for (const image of images) if (image !== best.of.image) giveBack(image.rgb);
  return best.of;
}

/** Eyes above nose above mouth, and the eyes as far apart as in a face of this height. */
function hasFaceGeometry(landmarks: FaceLandmarks, { box }: FoundFace, eyesByHeightMin: number): boolean {
  const { leftEye, rightEye } = landmarks;
  const eyeDistancePx = Math.hypot(rightEye.x - leftEye.x, rightEye.y - leftEye.y);
  return looksUpright(landmarks) && eyeDistancePx >= eyesByHeightMin * (box.bottom - box.top);
}

/** Of those that the detector is certain of, the largest first. */
function largestFaces(faces: readonly FoundFace[], certainMin: number): readonly FoundFace[] {
  const height = ({ box }: FoundFace): number => box.bottom - box.top;
  return faces
    .filter(({ confidence }) => confidence >= certainMin)
    .toSorted((a, b) => height(b) - height(a))
    .slice(0, FACES_JUDGED_MAX);
}

async function turned(image: DecodedImage, rotation: number): Promise<DecodedImage> {
  const { data, info } = await openPixels(image).rotate(rotation).raw().toBuffer({ resolveWithObject: true });
  return { ...image, width: info.width, height: info.height, rgb: data, wasUpright: false };
}
