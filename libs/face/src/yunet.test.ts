import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  modelPackForTests,
  samplePhotographsForTests,
  unlessOffline,
  YUNET_PACK_MANIFEST,
} from '#testkit/model-pack-for-tests.js';
import { decodeImage } from './decode.js';
import { FaceEngine } from './face-engine.js';
import { isValidTemplate } from './template.js';
import { YunetFinder } from './yunet.js';

/**
 * What OpenCV 4's FaceDetectorYN gives for the same pixels, from left to right: left, top, width, height, five points, score.
 * Of sample6 at 600 x 450, at the top left of 640 x 640 zeros; threshold .7, overlap .3.
 */
const OPENCV = [
  [
    80.142, 145.172, 65.821, 81.176, 102.37, 177.923, 130.434, 177.322, 120.724, 193.752, 106.966, 205.194, 131.715,
    204.153, 0.932,
  ],
  [
    205.791, 95.007, 62.87, 87.843, 218.545, 132.431, 248.654, 131.915, 232.856, 149.911, 223.917, 162.899, 249.456,
    161.329, 0.92,
  ],
  [
    365.906, 89.831, 64.007, 86.192, 385.455, 127.089, 414.571, 127.267, 400.636, 144.875, 385.502, 155.931, 409.265,
    155.45, 0.923,
  ],
  [
    462.43, 78.141, 68.789, 88.491, 476.117, 112.925, 508.614, 113.565, 487.067, 130.381, 475.726, 142.611, 502.376,
    143.297, 0.932,
  ],
];
const fetched = await unlessOffline(
  Promise.all([modelPackForTests(YUNET_PACK_MANIFEST), modelPackForTests(), samplePhotographsForTests()]),
);

describe.runIf(fetched)('a pack with another detector', () => {
  if (fetched === undefined) return;
  const [pack, defaultPack, sample] = fetched;
  let engine: FaceEngine;
  let photograph: Buffer;

  beforeAll(async () => {
    engine = await FaceEngine.open(pack, { concurrency: 1 });
    photograph = await sample.read([...sample.manifest.enrolled].find(({ imageId }) => imageId === 'sample6-0')!);
  });
  afterAll(() => engine.close());

  test('finds what OpenCV finds with the same network: boxes within a pixel, points within a tenth', async () => {
    const small = await sharp(photograph).resize(600, 450, { fit: 'fill', kernel: 'cubic' }).png().toBuffer();
    const image = await decodeImage(small);
    const faces = await engine.detect(image);
    expect(faces).toHaveLength(OPENCV.length);
    for (const [i, face] of faces.entries()) {
      const [left, top, width, height, ...rest] = OPENCV[i]! as [number, number, number, number, ...number[]];
      const expected = [left, top, left + width, top + height];
      const { box, landmarks, confidence } = face;
      for (const [j, at] of [box.left, box.top, box.right, box.bottom].entries()) {
        expect(Math.abs(at - expected[j]!)).toBeLessThanOrEqual(0.6);
      }
      const { leftEye, rightEye, noseTip, leftMouthCorner, rightMouthCorner } = landmarks!;
      const points = [leftEye, rightEye, noseTip, leftMouthCorner, rightMouthCorner].flatMap(({ x, y }) => [x, y]);
      for (const [j, at] of points.entries()) expect(Math.abs(at - rest[j]!)).toBeLessThan(0.1);
      expect(confidence).toBeCloseTo(rest.at(-1)!, 2);
    }
  });

  test('is another model, whose templates of a face are near to those of the same embedder behind the default detector', async () => {
    expect(engine.modelId).not.toBe(defaultPack.modelId);
    const other = await FaceEngine.open(defaultPack, { concurrency: 1 });
    for (const face of [0, 1, 2, 3]) {
      const [here, there] = await Promise.all([engine.process(photograph, face), other.process(photograph, face)]);
      expect(isValidTemplate(here.embedded.template, engine.dimension)).toBe(true);
      const score = here.embedded.template.reduce((sum, v, i) => sum + v * there.embedded.template[i]!, 0);
      expect(score).toBeGreaterThan(0.85);
    }
    await other.close();
  });

  test('knows a face again by its box, and says when there is none', async () => {
    const image = await decodeImage(photograph);
    const [face] = await engine.detect(image);
    const { box, confidence } = face!;
    expect((await engine.embed(image, { box, confidence })).landmarks).toEqual(face!.landmarks);
    await expect(engine.embed(image, { box: { ...box, left: box.left + 1 }, confidence })).rejects.toThrow(RangeError);
  });

  test('a network that is another kind of detector is refused with MODEL_PACK_UNSUITABLE', async () => {
    const { detector } = pack.manifest;
    const { inputWidth, inputHeight } = defaultPack.manifest.detector;
    const wrong = [
      { path: defaultPack.paths.detector, parameters: detector },
      { path: defaultPack.paths.detector, parameters: { ...detector, inputWidth, inputHeight } },
      { path: pack.paths.detector, parameters: { ...detector, inputHeight: 480 } },
    ];
    for (const { path, parameters } of wrong) {
      await expect(YunetFinder.open(path, parameters)).rejects.toMatchObject({ code: 'MODEL_PACK_UNSUITABLE' });
    }
  });
});
