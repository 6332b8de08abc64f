/**
 * Turns, scales and shifts a face so that its five points fall where the embedder saw them in training (the ArcFace
 * 112 x 112 template), and samples it straight into the network's input.
 */
import type { FaceLandmarks, Point } from '#domain/face.js';
import { Refusal } from '#domain/errors.js';
import type { DecodedImage } from './decode.js';
import type { ChannelOrder } from './network-input.js';

/** The side that the reference points are given for. */
const REFERENCE_SIDE_PX = 112;

/** InsightFace's reference points: left eye, right eye, nose tip, left and right mouth corner. */
const REFERENCE: readonly Point[] = [
  { x: 38.2946, y: 51.6963 },
  { x: 73.5318, y: 51.5014 },
  { x: 56.0252, y: 71.7366 },
  { x: 41.5493, y: 92.3655 },
  { x: 70.7299, y: 92.2041 },
];

/** Image to template: u = a·x - b·y + tx, v = b·x + a·y + ty. */
export interface Similarity {
  readonly a: number;
  readonly b: number;
  readonly tx: number;
  readonly ty: number;
}

/**
 * The similarity that brings the landmarks nearest to the reference in the least-squares sense (Umeyama's problem
 * without reflection; in the plane it has this closed form).
 *
 * @param sidePx of the aligned face; the reference grows with it
 * @throws Refusal FACE_UNUSABLE when the landmarks are one point, which no picture of a face gives
 */
export function similarityToReference(landmarks: FaceLandmarks, sidePx: number): Similarity {
  const source = pointsOf(landmarks);
  const reference = referenceAt(sidePx);
  const from = centroid(source);
  const to = centroid(reference);
  let spread = 0;
  let dot = 0;
  let cross = 0;
  for (let i = 0; i < source.length; i++) {
    const x = source[i]!.x - from.x;
    const y = source[i]!.y - from.y;
    const u = reference[i]!.x - to.x;
    const v = reference[i]!.y - to.y;
    spread += x * x + y * y;
    dot += x * u + y * v;
    cross += x * v - y * u;
  }
  const a = dot / spread;
  const b = cross / spread;
  if (!(a * a + b * b > 0) || !Number.isFinite(a) || !Number.isFinite(b)) {
    throw new Refusal('FACE_UNUSABLE', 'The face is too small or too distorted to be compared.');
  }
  return { a, b, tx: to.x - a * from.x + b * from.y, ty: to.y - b * from.x - a * from.y };
}

/** How an embedder is fed. */
export interface AlignedLayout {
  readonly sidePx: number;
  readonly order: ChannelOrder;
  /** Planes one after the other, or the three channels of each pixel together. */
  readonly layout: 'NCHW' | 'NHWC';
  readonly mean: number;
  readonly scale: number;
}

/** An aligned face as the embedder is fed it, and where its colours are: pixel i of red is at `redAt + i * step`. */
export interface AlignedPixels {
  /** (px - mean) / scale; length 3 · sidePx². */
  readonly values: Float32Array;
  readonly sidePx: number;
  readonly redAt: number;
  readonly greenAt: number;
  readonly blueAt: number;
  readonly step: number;
  readonly mean: number;
  readonly scale: number;
}

/**
 * Samples the aligned face bilinearly, black outside the image, as (px - mean) / scale.
 *
 * @param out length 3 · sidePx², overwritten
 */
export function fillAligned(
  image: DecodedImage,
  similarity: Similarity,
  { sidePx, order, layout, mean, scale }: AlignedLayout,
  out: Float32Array,
): AlignedPixels {
  const { width, height, rgb } = image;
  const { a, b, tx, ty } = similarity;
  const determinant = a * a + b * b;
  const ia = a / determinant;
  const ib = b / determinant;
  const channel = layout === 'NCHW' ? sidePx * sidePx : 1;
  const step = layout === 'NCHW' ? 1 : 3;
  const redAt = order === 'RGB' ? 0 : 2 * channel;
  const blueAt = 2 * channel - redAt;
  const gain = 1 / scale;
  const bias = -mean * gain;
  let o = 0;
  for (let v = 0; v < sidePx; v++) {
    for (let u = 0; u < sidePx; u++, o += step) {
      const du = u - tx;
      const dv = v - ty;
      const x = ia * du + ib * dv;
      const y = ia * dv - ib * du;
      const left = Math.floor(x);
      const top = Math.floor(y);
      const fx = x - left;
      const fy = y - top;
      let red = 0;
      let green = 0;
      let blue = 0;
      for (let corner = 0; corner < 4; corner++) {
        const px = left + (corner & 1);
        const py = top + (corner >> 1);
        if (px < 0 || py < 0 || px >= width || py >= height) continue;
        const weight = ((corner & 1) === 1 ? fx : 1 - fx) * (corner >> 1 === 1 ? fy : 1 - fy);
        const p = 3 * (py * width + px);
        red += weight * rgb[p]!;
        green += weight * rgb[p + 1]!;
        blue += weight * rgb[p + 2]!;
      }
      out[redAt + o] = red * gain + bias;
      out[channel + o] = green * gain + bias;
      out[blueAt + o] = blue * gain + bias;
    }
  }
  return { values: out, sidePx, redAt, greenAt: channel, blueAt, step, mean, scale };
}

function referenceAt(sidePx: number): readonly Point[] {
  if (sidePx === REFERENCE_SIDE_PX) return REFERENCE;
  const zoom = sidePx / REFERENCE_SIDE_PX;
  return REFERENCE.map(({ x, y }) => ({ x: x * zoom, y: y * zoom }));
}

function pointsOf(landmarks: FaceLandmarks): readonly Point[] {
  const { leftEye, rightEye, noseTip, leftMouthCorner, rightMouthCorner } = landmarks;
  return [leftEye, rightEye, noseTip, leftMouthCorner, rightMouthCorner];
}

function centroid(points: readonly Point[]): Point {
  let x = 0;
  let y = 0;
  for (const point of points) {
    x += point.x;
    y += point.y;
  }
  return { x: x / points.length, y: y / points.length };
}
