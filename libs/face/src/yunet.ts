/**
 * YuNet: faces with their five points from one network, at three strides. Input 1x3xHxW, the picture at the top left and
 * zeros right of it and below. Outputs for each stride s of 8, 16 and 32, row by row of cells: `cls_s` and `obj_s` (1xNx1),
 * `bbox_s` (1xNx4) and `kps_s` (1xNx10). Decoded as OpenCV's FaceDetectorYN does (Wu et al., "YuNet: A Tiny
 * Millisecond-level Face Detector", 2023).
 */
import { Tensor, type InferenceSession } from 'onnxruntime-node';
import type { FaceLandmarks, Point } from '#domain/face.js';
import { openPixels, type DecodedImage } from './decode.js';
import type { FaceFinder, FinderScratch, FoundFace } from './face-finder.js';
import { giveBack } from './give-back.js';
import type { DetectorParameters } from './model-pack.js';
import { fillPlanes, normalisationTable, openSession, unsuitable } from './network-input.js';
import { fromLeftToRight, suppressOverlaps } from './non-maximum.js';

const STRIDES = [8, 16, 32] as const;
/** The width and height of the input are multiples of the largest stride. */
const SIDE_MULTIPLE_PX = 32;

type Outputs = Readonly<Record<string, { readonly data: unknown }>>;

export class YunetFinder implements FaceFinder {
  readonly #table: Float32Array;

  private constructor(
    private readonly session: InferenceSession,
    private readonly parameters: DetectorParameters,
  ) {
    this.#table = normalisationTable(parameters.mean, parameters.scale);
  }

  /** @throws Failure MODEL_PACK_UNSUITABLE */
  static async open(path: string, parameters: DetectorParameters): Promise<YunetFinder> {
    const { inputWidth, inputHeight } = parameters;
    if (inputWidth % SIDE_MULTIPLE_PX !== 0 || inputHeight % SIDE_MULTIPLE_PX !== 0) {
      throw unsuitable('detector', `takes sides that are multiples of ${SIDE_MULTIPLE_PX}`);
    }
    const session = await openSession(path, 'detector', [1, 3, inputHeight, inputWidth]);
    const missing = STRIDES.flatMap((s) => [`cls_${s}`, `obj_${s}`, `bbox_${s}`, `kps_${s}`]).filter(
      (name) => !session.outputNames.includes(name),
    );
    if (missing.length > 0) {
      await session.release();
      throw unsuitable('detector', `does not give ${missing.join(', ')}`);
    }
    return new YunetFinder(session, parameters);
  }

  newScratch(): FinderScratch {
    const { inputWidth, inputHeight } = this.parameters;
    return { detector: new Float32Array(3 * inputWidth * inputHeight), landmarks: new Float32Array(0) };
  }

  async find(image: DecodedImage, { detector: input }: FinderScratch): Promise<FoundFace[]> {
    const { inputWidth, inputHeight, colour, confidenceThreshold, nmsIou } = this.parameters;
    // Never enlarged: the network knows faces from 10 to 300 pixels, and no detail is gained.
    const zoom = Math.min(1, inputWidth / image.width, inputHeight / image.height);
    const width = Math.max(1, Math.round(image.width * zoom));
    const height = Math.max(1, Math.round(image.height * zoom));
    const padded = await openPixels(image)
      .resize(width, height, { fit: 'fill', kernel: 'linear' })
      .extend({ right: inputWidth - width, bottom: inputHeight - height, background: '#000000' })
      .raw()
      .toBuffer();
    fillPlanes(padded, colour, this.#table, input);
    giveBack(padded);
    const tensor = new Tensor('float32', input, [1, 3, inputHeight, inputWidth]);
    const outputs: Outputs = await this.session.run({ [this.session.inputNames[0]!]: tensor });
    const zooms = { x: width / image.width, y: height / image.height };
    const faces = STRIDES.flatMap((stride) =>
      facesAtStride(outputs, stride, inputWidth / stride, confidenceThreshold, zooms, image),
    );
    for (const { data } of Object.values(outputs)) giveBack(data as Float32Array);
    return suppressOverlaps(faces, nmsIou).sort(fromLeftToRight);
  }

  async landmarksOf(image: DecodedImage, face: FoundFace, scratch: FinderScratch): Promise<FaceLandmarks> {
    if (face.landmarks !== undefined) return face.landmarks;
    // A face that somebody else describes by its box.
    const again = await this.find(image, scratch);
    const same = again.find(({ box }) => Object.entries(box).every(([side, at]) => face.box[side as 'left'] === at));
    if (same?.landmarks === undefined) throw new RangeError('there is no such face in the image');
    return same.landmarks;
  }

  async close(): Promise<void> {
    await this.session.release();
  }
}

/** Faces at or above the threshold, in the image's pixels, unordered. */
function facesAtStride(
  outputs: Outputs,
  stride: number,
  columns: number,
  threshold: number,
  zoom: Point,
  image: { readonly width: number; readonly height: number },
): FoundFace[] {
  const of = (name: string): Float32Array => outputs[`${name}_${stride}`]!.data as Float32Array;
  const [classes, objects, boxes, points] = [of('cls'), of('obj'), of('bbox'), of('kps')];
  const faces: FoundFace[] = [];
  for (let i = 0; i < classes.length; i++) {
    const confidence = Math.sqrt(clampToOne(classes[i]!) * clampToOne(objects[i]!));
    if (!(confidence >= threshold)) continue;
    const column = i % columns;
    const row = Math.floor(i / columns);
    const centreX = (column + boxes[4 * i]!) * stride;
    const centreY = (row + boxes[4 * i + 1]!) * stride;
    const halfWidth = (Math.exp(boxes[4 * i + 2]!) * stride) / 2;
    const halfHeight = (Math.exp(boxes[4 * i + 3]!) * stride) / 2;
    const box = {
      left: wholePixel((centreX - halfWidth) / zoom.x, image.width),
      top: wholePixel((centreY - halfHeight) / zoom.y, image.height),
      right: wholePixel((centreX + halfWidth) / zoom.x, image.width),
      bottom: wholePixel((centreY + halfHeight) / zoom.y, image.height),
    };
    if (!(box.right > box.left && box.bottom > box.top)) continue;
    const point = (j: number): Point => ({
      x: ((points[10 * i + 2 * j]! + column) * stride) / zoom.x,
      y: ((points[10 * i + 2 * j + 1]! + row) * stride) / zoom.y,
    });
    // The network calls the eye on the image's left the right one: it means the person's.
    const [leftEye, rightEye, noseTip, leftMouthCorner, rightMouthCorner] = [0, 1, 2, 3, 4].map(point) as Five;
    faces.push({ box, confidence, landmarks: { leftEye, rightEye, noseTip, leftMouthCorner, rightMouthCorner } });
  }
  return faces;
}

type Five = [Point, Point, Point, Point, Point];

function clampToOne(value: number): number {
  return Math.min(1, Math.max(0, value));
}

function wholePixel(at: number, sidePx: number): number {
  return Math.min(sidePx, Math.max(0, Math.round(at)));
}
