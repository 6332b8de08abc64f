/**
 * Where the faces are: the Ultra-Light-Fast-Generic detector (`input` 1x3xHxW → `scores` 1xNx2, `boxes` 1xNx4, boxes
 * already decoded to corners in [0, 1]), a threshold, and non-maximum suppression; the points are another network's.
 */
import { Tensor, type InferenceSession } from 'onnxruntime-node';
import type { DetectedFace, FaceLandmarks } from '#domain/face.js';
import { openPixels, type DecodedImage } from './decode.js';
import type { FaceFinder, FinderScratch, FoundFace } from './face-finder.js';
import { giveBack } from './give-back.js';
import { LANDMARK_INPUT_LENGTH, LandmarkFinder } from './landmarks.js';
import type { DetectorParameters } from './model-pack.js';
import { fillPlanes, normalisationTable, openSession, unsuitable } from './network-input.js';
import { fromLeftToRight, suppressOverlaps } from './non-maximum.js';

export class UlfgFinder implements FaceFinder {
  readonly #table: Float32Array;

  private constructor(
    private readonly session: InferenceSession,
    private readonly landmarkFinder: LandmarkFinder,
    private readonly parameters: DetectorParameters,
  ) {
    this.#table = normalisationTable(parameters.mean, parameters.scale);
  }

  /** @throws Failure MODEL_PACK_UNSUITABLE */
  static async open(path: string, landmarksPath: string, parameters: DetectorParameters): Promise<UlfgFinder> {
    const { inputWidth, inputHeight } = parameters;
    const session = await openSession(path, 'detector', [1, 3, inputHeight, inputWidth]);
    if (!session.outputNames.includes('scores') || !session.outputNames.includes('boxes')) {
      await session.release();
      throw unsuitable('detector', `gives ${session.outputNames.join(', ')}, not scores and boxes`);
    }
    return new UlfgFinder(session, await LandmarkFinder.open(landmarksPath), parameters);
  }

  newScratch(): FinderScratch {
    const { inputWidth, inputHeight } = this.parameters;
    return {
      detector: new Float32Array(3 * inputWidth * inputHeight),
      landmarks: new Float32Array(LANDMARK_INPUT_LENGTH),
    };
  }

  async find(image: DecodedImage, { detector: input }: FinderScratch): Promise<FoundFace[]> {
    const { inputWidth, inputHeight, colour, confidenceThreshold, nmsIou } = this.parameters;
    const small = await openPixels(image)
      .resize(inputWidth, inputHeight, { fit: 'fill', kernel: 'linear' })
      .raw()
      .toBuffer();
    fillPlanes(small, colour, this.#table, input);
    giveBack(small);
    const tensor = new Tensor('float32', input, [1, 3, inputHeight, inputWidth]);
    const outputs = await this.session.run({ [this.session.inputNames[0]!]: tensor });
    const scores = outputs['scores']!.data as Float32Array;
    const boxes = outputs['boxes']!.data as Float32Array;
    const confident = confidentFaces(scores, boxes, confidenceThreshold, image);
    giveBack(scores);
    giveBack(boxes);
    return suppressOverlaps(confident, nmsIou).sort(fromLeftToRight);
  }

  landmarksOf(image: DecodedImage, face: FoundFace, scratch: FinderScratch): Promise<FaceLandmarks> {
    if (face.landmarks !== undefined) return Promise.resolve(face.landmarks);
    return this.landmarkFinder.find(image, face.box, scratch.landmarks);
  }

  async close(): Promise<void> {
    await this.session.release();
    await this.landmarkFinder.session.release();
  }
}

/** Boxes at or above the threshold, in whole pixels within the image, unordered. */
function confidentFaces(
  scores: Float32Array,
  boxes: Float32Array,
  threshold: number,
  image: { readonly width: number; readonly height: number },
): DetectedFace[] {
  const faces: DetectedFace[] = [];
  for (let i = 0; 2 * i + 1 < scores.length; i++) {
    const confidence = scores[2 * i + 1]!;
    if (!(confidence >= threshold)) continue;
    const box = {
      left: wholePixel(boxes[4 * i]!, image.width),
      top: wholePixel(boxes[4 * i + 1]!, image.height),
      right: wholePixel(boxes[4 * i + 2]!, image.width),
      bottom: wholePixel(boxes[4 * i + 3]!, image.height),
    };
    if (box.right > box.left && box.bottom > box.top) faces.push({ box, confidence });
  }
  return faces;
}

function wholePixel(fraction: number, sidePx: number): number {
  return Math.min(sidePx, Math.max(0, Math.round(fraction * sidePx)));
}
