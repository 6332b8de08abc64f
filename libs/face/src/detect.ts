/**
 * Where the faces are: the Ultra-Light-Fast-Generic detector (`input` 1x3xHxW → `scores` 1xNx2, `boxes` 1xNx4, boxes
 * already decoded to corners in [0, 1]), a threshold, and non-maximum suppression.
 */
import { Tensor, type InferenceSession } from 'onnxruntime-node';
import { intersectionOverUnion, type DetectedFace } from '#domain/face.js';
import { openPixels, type DecodedImage } from './decode.js';
import type { DetectorParameters } from './model-pack.js';
import { fillPlanes, normalisationTable, openSession, unsuitable } from './network-input.js';

/** More than a photograph of a crowd yields at the detector's resolution; bounds what a caller is sent. */
const FACES_MAX = 100;

export class FaceDetector {
  readonly #table: Float32Array;

  private constructor(
    readonly session: InferenceSession,
    readonly parameters: DetectorParameters,
  ) {
    this.#table = normalisationTable(parameters.mean, parameters.scale);
  }

  /** @throws Failure MODEL_PACK_UNSUITABLE */
  static async open(path: string, parameters: DetectorParameters): Promise<FaceDetector> {
    const { inputWidth, inputHeight } = parameters;
    const session = await openSession(path, 'detector', [1, 3, inputHeight, inputWidth]);
    if (!session.outputNames.includes('scores') || !session.outputNames.includes('boxes')) {
      await session.release();
      throw unsuitable('detector', `gives ${session.outputNames.join(', ')}, not scores and boxes`);
    }
    return new FaceDetector(session, parameters);
  }

  get inputLength(): number {
    return 3 * this.parameters.inputWidth * this.parameters.inputHeight;
  }

  /**
   * @param input scratch of `inputLength`, overwritten
   * @returns from left to right, whole pixels; this order is what a face's index means everywhere. Not by confidence:
   *   faces differ there by less than another processor's rounding, and an index must mean the same face everywhere
   */
  async detect(image: DecodedImage, input: Float32Array): Promise<DetectedFace[]> {
    const { inputWidth, inputHeight, colour, confidenceThreshold, nmsIou } = this.parameters;
    const small = await openPixels(image)
      .resize(inputWidth, inputHeight, { fit: 'fill', kernel: 'linear' })
      .raw()
      .toBuffer();
    fillPlanes(small, colour, this.#table, input);
    const tensor = new Tensor('float32', input, [1, 3, inputHeight, inputWidth]);
    const outputs = await this.session.run({ [this.session.inputNames[0]!]: tensor });
    const scores = outputs['scores']!.data as Float32Array;
    const boxes = outputs['boxes']!.data as Float32Array;
    return suppressOverlaps(confidentFaces(scores, boxes, confidenceThreshold, image), nmsIou).sort(fromLeftToRight);
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

/** Greedy: the most confident face stays, whatever overlaps it by more than `iouMax` goes. Most confident first. */
export function suppressOverlaps(faces: readonly DetectedFace[], iouMax: number): DetectedFace[] {
  const kept: DetectedFace[] = [];
  for (const face of faces.toSorted(byConfidence)) {
    if (kept.length === FACES_MAX) break;
    if (kept.every((other) => intersectionOverUnion(face.box, other.box) <= iouMax)) kept.push(face);
  }
  return kept;
}

function fromLeftToRight(a: DetectedFace, b: DetectedFace): number {
  return a.box.left - b.box.left || a.box.top - b.box.top;
}

function byConfidence(a: DetectedFace, b: DetectedFace): number {
  return b.confidence - a.confidence || fromLeftToRight(a, b);
}
