import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { FaceLandmarks, Point } from '#domain/face.js';
import { fillAligned, similarityToReference } from './align.js';

const REFERENCE: FaceLandmarks = {
  leftEye: { x: 38.2946, y: 51.6963 },
  rightEye: { x: 73.5318, y: 51.5014 },
  noseTip: { x: 56.0252, y: 71.7366 },
  leftMouthCorner: { x: 41.5493, y: 92.3655 },
  rightMouthCorner: { x: 70.7299, y: 92.2041 },
};

function moved(by: (point: Point) => Point): FaceLandmarks {
  return {
    leftEye: by(REFERENCE.leftEye),
    rightEye: by(REFERENCE.rightEye),
    noseTip: by(REFERENCE.noseTip),
    leftMouthCorner: by(REFERENCE.leftMouthCorner),
    rightMouthCorner: by(REFERENCE.rightMouthCorner),
  };
}

describe('the similarity', () => {
  test('undoes any turn, scale and shift of the reference points', () => {
    const shift = fc.double({ min: -2000, max: 2000, noNaN: true });
    fc.assert(
      fc.property(
        fc.double({ min: 0.05, max: 40, noNaN: true }),
        fc.double({ min: -Math.PI, max: Math.PI, noNaN: true }),
        shift,
        shift,
        (scale, angle, dx, dy) => {
          const cos = scale * Math.cos(angle);
          const sin = scale * Math.sin(angle);
          const landmarks = moved(({ x, y }) => ({ x: cos * x - sin * y + dx, y: sin * x + cos * y + dy }));
          const { a, b, tx, ty } = similarityToReference(landmarks, 112);
          for (const name of Object.keys(REFERENCE) as (keyof FaceLandmarks)[]) {
            const { x, y } = landmarks[name];
            expect(a * x - b * y + tx).toBeCloseTo(REFERENCE[name].x, 5);
            expect(b * x + a * y + ty).toBeCloseTo(REFERENCE[name].y, 5);
          }
        },
      ),
    );
  });

  test('refuses landmarks that are one point, with FACE_UNUSABLE', () => {
    expect(() =>
      similarityToReference(
        moved(() => ({ x: 5, y: 5 })),
        112,
      ),
    ).toThrow('FACE_UNUSABLE');
    expect(() =>
      similarityToReference(
        moved(() => ({ x: NaN, y: 5 })),
        112,
      ),
    ).toThrow('FACE_UNUSABLE');
  });
});

describe('the aligned face', () => {
  const size = 112;
  const plane = size * size;
  const image = { width: size, height: size, rgb: new Uint8Array(3 * plane), format: 'png' as const, wasUpright: true };
  for (let i = 0; i < plane; i++) image.rgb.set([i % size, Math.floor(i / size), 200], 3 * i);
  const raw = { sidePx: size, order: 'RGB' as const, layout: 'NCHW' as const, mean: 0, scale: 1 };

  test('is the picture itself under the identity, plane by plane', () => {
    const out = new Float32Array(3 * plane);
    fillAligned(image, { a: 1, b: 0, tx: 0, ty: 0 }, raw, out);
    for (const i of [0, 17, 5 * size + 40, plane - 1]) {
      expect([out[i], out[plane + i], out[2 * plane + i]]).toEqual([i % size, Math.floor(i / size), 200]);
    }
  });

  test('lies between pixels by bilinear weights', () => {
    const out = new Float32Array(3 * plane);
    fillAligned(image, { a: 1, b: 0, tx: -0.25, ty: -0.5 }, raw, out);
    expect(out[10 * size + 20]).toBeCloseTo(20.25, 4);
    expect(out[plane + 10 * size + 20]).toBeCloseTo(10.5, 4);
  });

  test('is black outside the picture', () => {
    const out = new Float32Array(3 * plane);
    fillAligned(image, { a: 1, b: 0, tx: 50, ty: 0 }, { ...raw, mean: 127, scale: 128 }, out);
    expect(out[2 * plane + 20]).toBeCloseTo(-127 / 128, 6);
    expect(out[2 * plane + 60]).toBeCloseTo((200 - 127) / 128, 6);
  });

  test('has its planes in the order asked for', () => {
    const rgb = new Float32Array(3 * plane);
    const bgr = new Float32Array(3 * plane);
    fillAligned(image, { a: 0.9, b: 0.1, tx: 3, ty: 4 }, raw, rgb);
    fillAligned(image, { a: 0.9, b: 0.1, tx: 3, ty: 4 }, { ...raw, order: 'BGR' }, bgr);
    expect(bgr.subarray(0, plane)).toEqual(rgb.subarray(2 * plane));
    expect(bgr.subarray(plane, 2 * plane)).toEqual(rgb.subarray(plane, 2 * plane));
    expect(bgr.subarray(2 * plane)).toEqual(rgb.subarray(0, plane));
  });

  test('has the channels of each pixel together when the network wants them so', () => {
    const planes = new Float32Array(3 * plane);
    const together = new Float32Array(3 * plane);
    const similarity = { a: 0.9, b: 0.1, tx: 3, ty: 4 };
    const one = fillAligned(image, similarity, { ...raw, order: 'BGR' }, planes);
    const other = fillAligned(image, similarity, { ...raw, order: 'BGR', layout: 'NHWC' }, together);
    for (const i of [0, 700, plane - 1]) {
      expect([...together.subarray(3 * i, 3 * i + 3)]).toEqual([planes[i], planes[plane + i], planes[2 * plane + i]]);
      expect(other.values[other.redAt + i * other.step]).toBe(one.values[one.redAt + i * one.step]);
      expect(other.values[other.blueAt + i * other.step]).toBe(one.values[one.blueAt + i * one.step]);
    }
  });

  test('of twice the side shows the face at twice the size', () => {
    const { a, b, tx, ty } = similarityToReference(REFERENCE, 224);
    const { x, y } = REFERENCE.noseTip;
    expect([a * x - b * y + tx, b * x + a * y + ty]).toEqual([
      expect.closeTo(2 * x, 9) as number,
      expect.closeTo(2 * y, 9) as number,
    ]);
  });
});
