import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Refusal } from '#domain/errors.js';
import { intersectionOverUnion, type DescribedFace } from '#domain/face.js';
import { faceImage } from '#testkit/face-images-for-tests.js';
import { modelPackForTests, samplePhotographsForTests, unlessOffline } from '#testkit/model-pack-for-tests.js';
import { encodeUprightJpeg } from './decode.js';
import { FaceEngine } from './face-engine.js';

const fetched = await unlessOffline(Promise.all([modelPackForTests(), samplePhotographsForTests()]));

/** As a phone that was held otherwise would have written it, without saying so. */
function turned(bytes: Buffer, degrees: number): Promise<Buffer> {
  return sharp(bytes).rotate(degrees).png().toBuffer();
}

describe.runIf(fetched)('a photograph that is not upright, and does not say so', { timeout: 60_000 }, () => {
  if (fetched === undefined) return;
  const [pack, sample] = fetched;
  let engine: FaceEngine;
  let portrait: Buffer;
  let group: Buffer;

  beforeAll(async () => {
    engine = await FaceEngine.open(pack, { concurrency: 1 });
    // Somebody who holds the head straight: one that is tilted by 45 degrees is as good either way.
    portrait = await faceImage(
      sample,
      sample.manifest.enrolled.find(({ imageId }) => imageId === 'sample3-0')!,
    );
    group = await sample.read(sample.manifest.enrolled.find(({ imageId }) => imageId === 'sample6-0')!);
  });
  afterAll(() => engine.close());

  test('of one that is upright nothing is turned, and nothing else is looked at', async () => {
    expect(await engine.process(portrait, undefined)).toMatchObject({ rotation: 0 });
    const bare = { ...pack, manifest: { ...pack.manifest, calibration: undefined } };
    const other = await FaceEngine.open(bare, { concurrency: 1 });
    const without = await other.process(portrait, undefined);
    await other.close();
    expect((await engine.process(portrait, undefined)).embedded.template).toEqual(without.embedded.template);
  });

  test.each([90, 180, 270])('turned by %i degrees it is turned back, and has the same template', async (degrees) => {
    const upright = await engine.process(portrait, undefined);
    const bytes = await turned(portrait, degrees);
    const found = await engine.process(bytes, undefined);
    expect(found.rotation).toBe(360 - degrees);
    const { image, faces, chosen } = found;
    expect([image.width, image.height]).toEqual([upright.image.width, upright.image.height]);
    expect(intersectionOverUnion(faces[chosen]!.box, upright.faces[upright.chosen]!.box)).toBeGreaterThan(0.95);
    const score = found.embedded.template.reduce((sum, v, i) => sum + v * upright.embedded.template[i]!, 0);
    expect(score).toBeGreaterThan(0.999);
    // What is kept for an operator is upright as well.
    const { width, height } = await sharp(await encodeUprightJpeg(image, bytes)).metadata();
    expect([width, height]).toEqual([upright.image.width, upright.image.height]);
  });

  test('an EXIF orientation that is wrong is put right too', async () => {
    const lying = await sharp(portrait).withMetadata({ orientation: 3 }).jpeg().toBuffer();
    expect(await engine.process(lying, undefined)).toMatchObject({ rotation: 180 });
  });

  test('of a group the boxes that are offered, and the face of each index, are those of the upright picture', async () => {
    const refusal = (await engine.process(await turned(group, 180), undefined).catch((e: unknown) => e)) as Refusal;
    expect(refusal.code).toBe('MULTIPLE_FACES');
    const { faces, picture } = refusal.details as unknown as { faces: DescribedFace[]; picture: unknown };
    const { width, height } = await sharp(group).metadata();
    expect(picture).toEqual({ width, height, rotation: 180 });
    expect(faces).toHaveLength(4);
    for (const { index, box, quality } of faces) {
      const processed = await engine.process(await turned(group, 180), index);
      expect(processed.faces[index]!.box).toEqual(box);
      expect(processed.embedded.quality.eyeDistancePx).toBe(quality!.eyeDistancePx);
      expect(quality!.embeddingNorm).toBeGreaterThan(2);
    }
  });

  test('a picture of nothing stays as it is: NO_FACE', async () => {
    const noise = { type: 'gaussian' as const, mean: 128, sigma: 60 };
    const nothing = await sharp({ create: { width: 320, height: 240, channels: 3, background: '#888', noise } })
      .png()
      .toBuffer();
    await expect(engine.process(nothing, 'largest')).rejects.toMatchObject({ code: 'NO_FACE' });
  });

  test('a face too small to tell people apart is not for enrolment, and the words say what to do', async () => {
    const tiny = await sharp(portrait)
      .resize({ height: 32 })
      .extend({ left: 14, right: 14, top: 4, bottom: 4 })
      .png()
      .toBuffer();
    const { quality } = (await engine.process(tiny, undefined)).embedded;
    expect(quality.eyeDistancePx).toBeLessThan(8);
    expect(quality.refusals).toContain('FACE_SMALL');
    expect(quality.warnings).toContain('FACE_SMALL');
  });
});
