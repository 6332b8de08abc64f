/**
 * The same work as the face engine and the exact search, with nothing around it: no queue, no limits, no choices, one
 * picture at a time, written for speed alone. The benches divide by it, to say what the product's parts cost. It shares
 * no code with the product, so that a slowdown there cannot slow this too; a test holds that both give the same templates.
 */
import { join } from 'node:path';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import sharp from 'sharp';

const DETECTOR_WIDTH = 320;
const DETECTOR_HEIGHT = 240;
const CONFIDENCE_MIN = 0.9;
const NMS_IOU = 0.4;
const LANDMARK_SIDE = 64;
const FACE_SIDE = 112;
const FACE_PLANE = FACE_SIDE * FACE_SIDE;
const REFERENCE_X = [38.2946, 73.5318, 56.0252, 41.5493, 70.7299];
const REFERENCE_Y = [51.6963, 51.5014, 71.7366, 92.3655, 92.2041];
const PIXEL = Float32Array.from({ length: 256 }, (_, value) => (value - 127) / 128);

const SESSION_OPTIONS: InferenceSession.SessionOptions = {
  executionProviders: ['cpu'],
  intraOpNumThreads: 1,
  interOpNumThreads: 1,
  executionMode: 'sequential',
  graphOptimizationLevel: 'all',
};

interface Pixels {
  readonly rgb: Uint8Array;
  readonly width: number;
  readonly height: number;
}

type Box = readonly [left: number, top: number, right: number, bottom: number];

export class ReferencePipeline {
  // Reused from picture to picture: `run` must not be called again before it has resolved.
  readonly #detectorInput = new Float32Array(3 * DETECTOR_WIDTH * DETECTOR_HEIGHT);
  readonly #landmarkInput = new Float32Array(LANDMARK_SIDE * LANDMARK_SIDE);
  readonly #faceInput = new Float32Array(3 * FACE_PLANE);
  readonly #points = new Float64Array(10);

  private constructor(
    readonly detector: InferenceSession,
    readonly landmarks: InferenceSession,
    readonly embedder: InferenceSession,
  ) {}

  /** @param packFolder the default model pack's folder */
  static async open(packFolder: string): Promise<ReferencePipeline> {
    sharp.concurrency(1);
    sharp.cache(false);
    const session = (file: string): Promise<InferenceSession> =>
      InferenceSession.create(join(packFolder, 'model', file), SESSION_OPTIONS);
    return new ReferencePipeline(
      await session('fr_detect.onnx'),
      await session('fr_landmark.onnx'),
      await session('fr_feature.onnx'),
    );
  }

  /**
   * @param faceRule the face nearest to the middle, or an index from left to right
   * @returns an L2-normalised template of 512
   */
  async run(bytes: Uint8Array, faceRule: 'central' | number): Promise<{ template: Float32Array }> {
    const image = await decode(bytes);
    const boxes = await this.#detect(image);
    const box = typeof faceRule === 'number' ? boxes[faceRule] : central(boxes, image);
    if (box === undefined) throw new Error('no such face');
    await this.#findPoints(image, box);
    warp(image, this.#points, this.#faceInput);
    const input = new Tensor('float32', this.#faceInput, [1, 3, FACE_SIDE, FACE_SIDE]);
    const { output } = await this.embedder.run({ input });
    return { template: normalised(output!.data as Float32Array) };
  }

  /**
   * Brute force in single precision.
   *
   * @param gallery n templates, one after the other
   * @returns the k nearest, best first
   */
  search(template: Float32Array, gallery: Float32Array, k: number): { index: number; score: number }[] {
    const dimension = template.length;
    const best: { index: number; score: number }[] = [];
    let worst = -Infinity;
    for (let index = 0, base = 0; base < gallery.length; index++, base += dimension) {
      let s0 = 0;
      let s1 = 0;
      let s2 = 0;
      let s3 = 0;
      for (let d = 0; d < dimension; d += 4) {
        s0 += template[d]! * gallery[base + d]!;
        s1 += template[d + 1]! * gallery[base + d + 1]!;
        s2 += template[d + 2]! * gallery[base + d + 2]!;
        s3 += template[d + 3]! * gallery[base + d + 3]!;
      }
      const score = s0 + s1 + (s2 + s3);
      if (best.length === k && score <= worst) continue;
      let at = best.length;
      while (at > 0 && best[at - 1]!.score < score) at--;
      best.splice(at, 0, { index, score });
      if (best.length > k) best.pop();
      worst = best.at(-1)!.score;
    }
    return best;
  }

  async close(): Promise<void> {
    await this.detector.release();
    await this.landmarks.release();
    await this.embedder.release();
  }

  async #detect(image: Pixels): Promise<Box[]> {
    const small = await raw(image)
      .resize(DETECTOR_WIDTH, DETECTOR_HEIGHT, { fit: 'fill', kernel: 'linear' })
      .raw()
      .toBuffer();
    const plane = DETECTOR_WIDTH * DETECTOR_HEIGHT;
    const filled = this.#detectorInput;
    for (let i = 0, p = 0; i < plane; i++, p += 3) {
      filled[i] = PIXEL[small[p]!]!;
      filled[plane + i] = PIXEL[small[p + 1]!]!;
      filled[2 * plane + i] = PIXEL[small[p + 2]!]!;
    }
    const input = new Tensor('float32', filled, [1, 3, DETECTOR_HEIGHT, DETECTOR_WIDTH]);
    const outputs = await this.detector.run({ input });
    return boxesOf(outputs['scores']!.data as Float32Array, outputs['boxes']!.data as Float32Array, image);
  }

  /** Leaves x and y of eyes, nose and mouth corners in `#points`. */
  async #findPoints(image: Pixels, [boxLeft, top, boxRight, bottom]: Box): Promise<void> {
    const side = bottom - top;
    const centre = (boxLeft + boxRight) / 2;
    const left = Math.max(0, Math.round(centre - side / 2));
    const width = Math.max(1, Math.min(image.width, Math.round(centre + side / 2)) - left);
    const small = await raw(image)
      .extract({ left, top, width, height: side })
      .resize(LANDMARK_SIDE, LANDMARK_SIDE, { fit: 'fill', kernel: 'lanczos3' })
      .raw()
      .toBuffer();
    const filled = this.#landmarkInput;
    for (let i = 0, p = 0; i < filled.length; i++, p += 3) {
      filled[i] = (0.299 * small[p]! + 0.587 * small[p + 1]! + 0.114 * small[p + 2]!) / 256;
    }
    const input = new Tensor('float32', filled, [1, 1, LANDMARK_SIDE, LANDMARK_SIDE]);
    const { output } = await this.landmarks.run({ input });
    const marks = output!.data as Float32Array;
    const points = this.#points.fill(0);
    for (let i = 0; i < 6; i++) {
      points[0]! += marks[2 * (36 + i)]! / 6;
      points[1]! += marks[2 * (36 + i) + 1]! / 6;
      points[2]! += marks[2 * (42 + i)]! / 6;
      points[3]! += marks[2 * (42 + i) + 1]! / 6;
    }
    points.set([marks[60]!, marks[61]!, marks[96]!, marks[97]!, marks[108]!, marks[109]!], 4);
    for (let i = 0; i < 10; i += 2) {
      points[i] = points[i]! * width + left;
      points[i + 1] = points[i + 1]! * side + top;
    }
  }
}

async function decode(bytes: Uint8Array): Promise<Pixels> {
  const { data, info } = await sharp(bytes)
    .autoOrient()
    .flatten({ background: { r: 127, g: 127, b: 127 } })
    .toColourspace('srgb')
    .raw({ depth: 'uchar' })
    .toBuffer({ resolveWithObject: true });
  if (info.channels !== 3) throw new Error('the reference takes colour pictures only');
  return { rgb: data, width: info.width, height: info.height };
}

function raw(image: Pixels): ReturnType<typeof sharp> {
  return sharp(image.rgb, { raw: { width: image.width, height: image.height, channels: 3 } });
}

function boxesOf(scores: Float32Array, boxes: Float32Array, image: Pixels): Box[] {
  const found: { box: Box; score: number }[] = [];
  for (let i = 0, s = 1; s < scores.length; i += 4, s += 2) {
    if (scores[s]! < CONFIDENCE_MIN) continue;
    const box: Box = [
      Math.min(image.width, Math.max(0, Math.round(boxes[i]! * image.width))),
      Math.min(image.height, Math.max(0, Math.round(boxes[i + 1]! * image.height))),
      Math.min(image.width, Math.max(0, Math.round(boxes[i + 2]! * image.width))),
      Math.min(image.height, Math.max(0, Math.round(boxes[i + 3]! * image.height))),
    ];
    found.push({ box, score: scores[s]! });
  }
  found.sort((p, q) => q.score - p.score);
  const kept: Box[] = [];
  for (const { box } of found) if (kept.every((other) => iou(box, other) <= NMS_IOU)) kept.push(box);
  return kept.sort((p, q) => p[0] - q[0] || p[1] - q[1]);
}

function iou(p: Box, q: Box): number {
  const width = Math.min(p[2], q[2]) - Math.max(p[0], q[0]);
  const height = Math.min(p[3], q[3]) - Math.max(p[1], q[1]);
  if (width <= 0 || height <= 0) return 0;
  const shared = width * height;
  return shared / ((p[2] - p[0]) * (p[3] - p[1]) + (q[2] - q[0]) * (q[3] - q[1]) - shared);
}

function central(boxes: readonly Box[], image: Pixels): Box | undefined {
  let best: Box | undefined;
  let least = Infinity;
  for (const box of boxes) {
    const distance = ((box[0] + box[2] - image.width) / 2) ** 2 + ((box[1] + box[3] - image.height) / 2) ** 2;
    if (distance < least) [best, least] = [box, distance];
  }
  return best;
}

/** Similarity to the ArcFace points by least squares, then its inverse, bilinear, black outside; BGR planes. */
function warp({ rgb, width, height }: Pixels, points: Float64Array, out: Float32Array): void {
  let mx = 0;
  let my = 0;
  let mu = 0;
  let mv = 0;
  for (let i = 0; i < 5; i++) {
    mx += points[2 * i]! / 5;
    my += points[2 * i + 1]! / 5;
    mu += REFERENCE_X[i]! / 5;
    mv += REFERENCE_Y[i]! / 5;
  }
  let spread = 0;
  let a = 0;
  let b = 0;
  for (let i = 0; i < 5; i++) {
    const x = points[2 * i]! - mx;
    const y = points[2 * i + 1]! - my;
    const u = REFERENCE_X[i]! - mu;
    const v = REFERENCE_Y[i]! - mv;
    spread += x * x + y * y;
    a += x * u + y * v;
    b += x * v - y * u;
  }
  a /= spread;
  b /= spread;
  const tx = mu - a * mx + b * my;
  const ty = mv - b * mx - a * my;
  const ia = a / (a * a + b * b);
  const ib = b / (a * a + b * b);
  const stride = 3 * width;
  for (let v = 0, o = 0; v < FACE_SIDE; v++) {
    let x = ia * -tx + ib * (v - ty);
    let y = ia * (v - ty) + ib * tx;
    for (let u = 0; u < FACE_SIDE; u++, o++, x += ia, y -= ib) {
      const left = Math.floor(x);
      const top = Math.floor(y);
      const fx = x - left;
      const fy = y - top;
      const inside = left >= 0 && top >= 0 && left + 1 < width && top + 1 < height;
      const w00 = inside || weighs(left, top, width, height) ? (1 - fx) * (1 - fy) : 0;
      const w10 = inside || weighs(left + 1, top, width, height) ? fx * (1 - fy) : 0;
      const w01 = inside || weighs(left, top + 1, width, height) ? (1 - fx) * fy : 0;
      const w11 = inside || weighs(left + 1, top + 1, width, height) ? fx * fy : 0;
      // Where a weight is zero any pixel that exists will do.
      const p00 = w00 === 0 ? 0 : top * stride + 3 * left;
      const p10 = w10 === 0 ? 0 : top * stride + 3 * left + 3;
      const p01 = w01 === 0 ? 0 : (top + 1) * stride + 3 * left;
      const p11 = w11 === 0 ? 0 : (top + 1) * stride + 3 * left + 3;
      const red = w00 * rgb[p00]! + w10 * rgb[p10]! + w01 * rgb[p01]! + w11 * rgb[p11]!;
      const green = w00 * rgb[p00 + 1]! + w10 * rgb[p10 + 1]! + w01 * rgb[p01 + 1]! + w11 * rgb[p11 + 1]!;
      const blue = w00 * rgb[p00 + 2]! + w10 * rgb[p10 + 2]! + w01 * rgb[p01 + 2]! + w11 * rgb[p11 + 2]!;
      out[o] = (blue - 127) / 128;
      out[FACE_PLANE + o] = (green - 127) / 128;
      out[2 * FACE_PLANE + o] = (red - 127) / 128;
    }
  }
}

function weighs(x: number, y: number, width: number, height: number): boolean {
  return x >= 0 && y >= 0 && x < width && y < height;
}

function normalised(values: Float32Array): Float32Array {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i]! * values[i]!;
  const norm = Math.sqrt(sum);
  return values.map((value) => value / norm);
}
