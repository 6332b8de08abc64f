/**
 * Where eyes, nose and mouth are: a 68-point network (1x1x64x64 grey → 1x136, x and y in [0, 1] of the crop) on a square
 * as tall as the detected box.
 */
import { Tensor, type InferenceSession } from 'onnxruntime-node';
import type { FaceBox, FaceLandmarks, Point } from '#domain/face.js';
import { openPixels, type DecodedImage } from './decode.js';
import { giveBack } from './give-back.js';
import { openSession, unsuitable } from './network-input.js';

const SIDE_PX = 64;
const POINTS = 68;

export const LANDMARK_INPUT_LENGTH = SIDE_PX * SIDE_PX;

export class LandmarkFinder {
  private constructor(readonly session: InferenceSession) {}

  /** @throws Failure MODEL_PACK_UNSUITABLE */
  static async open(path: string): Promise<LandmarkFinder> {
    const session = await openSession(path, 'landmark network', [1, 1, SIDE_PX, SIDE_PX]);
    const output = session.outputMetadata[0];
    if (session.outputNames.length !== 1 || output?.isTensor !== true || output.shape.at(-1) !== 2 * POINTS) {
      await session.release();
      throw unsuitable('landmark network', `does not give ${POINTS} points`);
    }
    return new LandmarkFinder(session);
  }

  /** @param input scratch of {@link LANDMARK_INPUT_LENGTH}, overwritten */
  async find(image: DecodedImage, box: FaceBox, input: Float32Array): Promise<FaceLandmarks> {
    const crop = squareCrop(box, image);
    const small = await openPixels(image)
      .extract(crop)
      .resize(SIDE_PX, SIDE_PX, { fit: 'fill', kernel: 'lanczos3' })
      .raw()
      .toBuffer();
    fillGrey(small, input);
    giveBack(small);
    const tensor = new Tensor('float32', input, [1, 1, SIDE_PX, SIDE_PX]);
    const outputs = await this.session.run({ [this.session.inputNames[0]!]: tensor });
    const output = outputs[this.session.outputNames[0]!]!.data as Float32Array;
    const landmarks = fivePoints(output, crop);
    giveBack(output);
    return landmarks;
  }
}

interface Crop {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

/** A square on the box's centre, as tall as the box, cut off at the image's edges. */
export function squareCrop(box: FaceBox, image: { readonly width: number; readonly height: number }): Crop {
  const side = box.bottom - box.top;
  const centreX = (box.left + box.right) / 2;
  const left = Math.max(0, Math.round(centreX - side / 2));
  const right = Math.min(image.width, Math.round(centreX + side / 2));
  return { left, top: box.top, width: Math.max(1, right - left), height: side };
}

/** ITU-R BT.601 luma over 256. */
function fillGrey(rgb: Uint8Array, out: Float32Array): void {
  for (let i = 0, p = 0; i < out.length; i++, p += 3) {
    out[i] = (0.299 * rgb[p]! + 0.587 * rgb[p + 1]! + 0.114 * rgb[p + 2]!) / 256;
  }
}

/** Of the 68 points of the iBUG 300-W scheme: the middle of each eye's six, nose tip, mouth corners. */
function fivePoints(output: Float32Array, crop: Crop): FaceLandmarks {
  const at = (first: number, last = first): Point => {
    let x = 0;
    let y = 0;
    for (let i = first; i <= last; i++) {
      x += output[2 * i]!;
      y += output[2 * i + 1]!;
    }
    const count = last - first + 1;
    return { x: (x / count) * crop.width + crop.left, y: (y / count) * crop.height + crop.top };
  };
  return {
    leftEye: at(36, 41),
    rightEye: at(42, 47),
    noseTip: at(30),
    leftMouthCorner: at(48),
    rightMouthCorner: at(54),
  };
}
