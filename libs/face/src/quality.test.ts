import { expect, test } from 'vitest';
import type { FaceLandmarks, Point } from '#domain/face.js';
import { fillAligned, similarityToReference } from './align.js';
import { judgeQuality, looksUpright, measureFace } from './quality.js';

const SIDE = 112;
/** A face that looks into the camera, in the proportions of the alignment template. */
const FRONTAL: FaceLandmarks = {
  leftEye: { x: 38.2946, y: 51.6963 },
  rightEye: { x: 73.5318, y: 51.5014 },
  noseTip: { x: 56.0252, y: 71.7366 },
  leftMouthCorner: { x: 41.5493, y: 92.3655 },
  rightMouthCorner: { x: 70.7299, y: 92.2041 },
};

/** Eyes, nose tip and mouth corners of the generic head, x to the image's right, y down, z towards the camera. */
const HEAD: Record<keyof FaceLandmarks, readonly [number, number, number]> = {
  leftEye: [-153, -160, 0],
  rightEye: [153, -160, 0],
  noseTip: [0, -1.28, 130],
  leftMouthCorner: [-130, 160, 0],
  rightMouthCorner: [130, 160, 0],
};

/** The head turned by yaw (to the right), then pitch (up), then roll (clockwise), seen without perspective. */
function headAt(yaw: number, pitch: number, roll: number): FaceLandmarks {
  const [a, b, c] = [yaw, pitch, roll].map((degrees) => (degrees * Math.PI) / 180) as [number, number, number];
  const seen = ([x, y, z]: readonly [number, number, number]): Point => {
    const x1 = x * Math.cos(a) + z * Math.sin(a);
    const z1 = z * Math.cos(a) - x * Math.sin(a);
    const y2 = y * Math.cos(b) - z1 * Math.sin(b);
    return { x: 500 + x1 * Math.cos(c) - y2 * Math.sin(c), y: 500 + x1 * Math.sin(c) + y2 * Math.cos(c) };
  };
  return Object.fromEntries(Object.entries(HEAD).map(([name, at]) => [name, seen(at)])) as unknown as FaceLandmarks;
}

/** The measures of a face on a picture that is painted by `luminance`. */
function measuresOf(landmarks: FaceLandmarks, luminance: (x: number, y: number) => number = () => 120) {
  const rgb = new Uint8Array(3 * SIDE * SIDE);
  for (let i = 0; i < SIDE * SIDE; i++) rgb.fill(luminance(i % SIDE, Math.floor(i / SIDE)), 3 * i, 3 * i + 3);
  const image = { width: SIDE, height: SIDE, rgb, format: 'png' as const, wasUpright: true };
  const layout = { sidePx: SIDE, order: 'BGR' as const, layout: 'NCHW' as const, mean: 127, scale: 128 };
  const aligned = fillAligned(image, similarityToReference(FRONTAL, SIDE), layout, new Float32Array(3 * SIDE * SIDE));
  return measureFace(landmarks, aligned, 3.9, 0.999);
}

test('a face that looks into the camera has no yaw, pitch or roll, and its eyes are as far apart as they are', () => {
  const { eyeDistancePx, yawDegrees, pitchDegrees, rollDegrees } = measuresOf(FRONTAL);
  expect(eyeDistancePx).toBeCloseTo(35.24, 2);
  for (const angle of [yawDegrees, pitchDegrees, rollDegrees]) expect(Math.abs(angle)).toBeLessThan(1);
});

test.each([
  [0, 0, 0],
  [20, 0, 0],
  [-45, 0, 0],
  [0, 20, 0],
  [0, -25, 0],
  [0, 0, 30],
  [25, 10, -15],
])('finds the pose of a head turned by %i, looking up by %i, tilted by %i degrees, within 7', (yaw, pitch, roll) => {
  const measured = measuresOf(headAt(yaw, pitch, roll));
  expect(Math.abs(measured.yawDegrees - yaw)).toBeLessThan(7);
  expect(Math.abs(measured.pitchDegrees - pitch)).toBeLessThan(7);
  expect(Math.abs(measured.rollDegrees - roll)).toBeLessThan(7);
});

test('an even grey has no sharpness, stripes have much, and blurred stripes less', () => {
  expect(measuresOf(FRONTAL).sharpness).toBe(0);
  const stripes = measuresOf(FRONTAL, (x) => (x % 4 < 2 ? 60 : 180)).sharpness;
  const smooth = measuresOf(FRONTAL, (x) => 120 + 60 * Math.sin((x * Math.PI) / 8)).sharpness;
  expect(stripes).toBeGreaterThan(10 * smooth);
  expect(smooth).toBeGreaterThan(0.01);
  const dimmer = measuresOf(FRONTAL, (x) => 40 + 20 * Math.sin((x * Math.PI) / 8)).sharpness;
  expect(Math.abs(dimmer / smooth - 1)).toBeLessThan(0.2);
});

test('luminance is the mean of the inner face, and the nearly black and nearly white are counted', () => {
  const half = measuresOf(FRONTAL, (_, y) => (y < 64 ? 10 : 250));
  expect(half.luminanceMean).toBeCloseTo(130, 0);
  expect(half.underExposedShare).toBeCloseTo(0.5, 1);
  expect(half.overExposedShare).toBeCloseTo(0.5, 1);
});

test('a face is judged by the limits of its pack, and a limit that the pack does not set is not judged', () => {
  const measures = measuresOf(FRONTAL);
  const limits = { eyeDistancePxMin: 36, embeddingNormMin: 3.9, yawDegreesMax: 10 };
  expect(judgeQuality(measures, FRONTAL, { warn: limits, refuseEnrolment: {} })).toMatchObject({
    warnings: ['FACE_SMALL'],
    refusals: [],
  });
  expect(judgeQuality(measures, FRONTAL, { warn: {}, refuseEnrolment: limits })).toMatchObject({
    warnings: [],
    refusals: ['FACE_SMALL'],
  });
});

test('warns when the mouth is above the eyes or the eyes are exchanged, whatever the pack', () => {
  const { leftEye, rightEye, leftMouthCorner, rightMouthCorner } = FRONTAL;
  const upsideDown = {
    ...FRONTAL,
    leftEye: leftMouthCorner,
    rightEye: rightMouthCorner,
    leftMouthCorner: leftEye,
    rightMouthCorner: rightEye,
  };
  const exchanged = { ...FRONTAL, leftEye: rightEye, rightEye: leftEye };
  for (const landmarks of [upsideDown, exchanged]) {
    expect(looksUpright(landmarks)).toBe(false);
    const judged = judgeQuality(measuresOf(landmarks), landmarks, { warn: {}, refuseEnrolment: {} });
    expect(judged.warnings).toEqual(['LANDMARKS_IMPLAUSIBLE']);
  }
});
