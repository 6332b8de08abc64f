import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { FaceBox } from '#domain/face.js';
import { modelPackForTests, samplePhotographsForTests, unlessOffline } from '#testkit/model-pack-for-tests.js';
import { decodeImage } from './decode.js';
import { FaceEngine, type FaceStage } from './face-engine.js';
import type { SampleFace } from './sample-manifest.js';
import { isValidTemplate } from './template.js';

/** Measured once with this pipeline; a change of channel order, crop or alignment shows here and nowhere else. */
interface GoldenVectors {
  readonly modelId: string;
  readonly faces: readonly {
    imageId: string;
    box: FaceBox;
    confidence: number;
    embeddingNorm: number;
    firstComponents: number[];
  }[];
  readonly wholeTemplates: Readonly<Record<string, number[]>>;
}

const golden = JSON.parse(await readFile(join(import.meta.dirname, 'golden-vectors.json'), 'utf8')) as GoldenVectors;
const fetched = await unlessOffline(Promise.all([modelPackForTests(), samplePhotographsForTests()]));

describe.runIf(fetched)('the engine on the sample photographs', () => {
  if (fetched === undefined) return;
  const [pack, sample] = fetched;
  const faces = [...sample.manifest.enrolled, sample.manifest.probe];
  const stages: FaceStage[] = [];
  let engine: FaceEngine;

  beforeAll(async () => {
    engine = await FaceEngine.open(pack, { concurrency: 2, observeStage: (stage) => stages.push(stage) });
  });
  afterAll(() => engine.close());

  const bytesOf = (imageId: string): Promise<Buffer> => sample.read(sampleFace(imageId));
  function sampleFace(imageId: string): SampleFace {
    return faces.find((face) => face.imageId === imageId)!;
  }

  /** The golden face's template, on the golden box, so that what is compared is crop, alignment and embedding. */
  async function templateOf(imageId: string, by: FaceEngine): Promise<Float32Array> {
    const { box, confidence } = golden.faces.find((face) => face.imageId === imageId)!;
    return (await by.embed(await decodeImage(await bytesOf(imageId)), { box, confidence })).template;
  }

  test('gives the golden vectors for every face', async () => {
    expect(engine.modelId).toBe(golden.modelId);
    for (const { imageId, firstComponents, embeddingNorm, box, confidence } of golden.faces) {
      const embedded = await engine.embed(await decodeImage(await bytesOf(imageId)), { box, confidence });
      expect(isValidTemplate(embedded.template, engine.dimension)).toBe(true);
      expect(maxDifference(embedded.template.subarray(0, 8), firstComponents), imageId).toBeLessThan(1e-4);
      expect(embedded.embeddingNorm).toBeCloseTo(embeddingNorm, 2);
      expect(embedded.quality.confidence).toBe(confidence);
    }
    for (const [imageId, whole] of Object.entries(golden.wholeTemplates)) {
      expect(maxDifference(await templateOf(imageId, engine), whole), imageId).toBeLessThan(1e-4);
    }
  });

  test('with red and blue exchanged the golden vectors do not hold', async () => {
    const { manifest } = pack;
    const swapped = { ...pack, manifest: { ...manifest, embedder: { ...manifest.embedder, colour: 'RGB' as const } } };
    const other = await FaceEngine.open(swapped, { concurrency: 1 });
    for (const [imageId, whole] of Object.entries(golden.wholeTemplates)) {
      expect(maxDifference(await templateOf(imageId, other), whole), imageId).toBeGreaterThan(1e-2);
    }
    await other.close();
  });

  test('the probe is nearer to its mate than to anybody else, by far', async () => {
    const { probe, enrolled } = sample.manifest;
    const template = await templateOf(probe.imageId, engine);
    const scores: { subjectId: string; score: number }[] = [];
    for (const { imageId, subjectId } of enrolled) {
      scores.push({ subjectId, score: dot(template, await templateOf(imageId, engine)) });
    }
    scores.sort((a, b) => b.score - a.score);
    expect(scores[0]!.subjectId).toBe(probe.subjectId);
    expect(scores[0]!.score).toBeGreaterThan(0.65);
    expect(scores[1]!.score).toBeLessThan(0.45);
  });

  test('processing is the same as decoding, detecting and embedding one by one', async () => {
    const bytes = await bytesOf('sample3-1');
    stages.length = 0;
    const processed = await engine.process(bytes, 1);
    expect(stages).toEqual(['decode', 'detect', 'embed']);
    expect(Object.values(processed.timingsMs).every((ms) => ms > 0)).toBe(true);
    const image = await decodeImage(bytes);
    const detected = await engine.detect(image);
    expect(processed.faces).toEqual(detected);
    expect(processed.embedded).toEqual(await engine.embed(image, detected[1]!));
    expect(processed.chosen).toBe(1);
  });

  test('many pictures in flight give what one at a time gives', async () => {
    const bytes = await bytesOf('sample6-0');
    const alone = [];
    for (let face = 0; face < 4; face++) alone.push((await engine.process(bytes, face)).embedded.template);
    const together = await Promise.all([0, 1, 2, 3, 3, 2, 1, 0].map((face) => engine.process(bytes, face)));
    expect(together.map(({ embedded }) => embedded.template)).toEqual([...alone, ...alone.toReversed()]);
  });

  test('an image with several faces and no choice is refused with MULTIPLE_FACES and the boxes', async () => {
    await expect(engine.process(await bytesOf('sample1-0'), undefined)).rejects.toMatchObject({
      code: 'MULTIPLE_FACES',
      details: { faces: [{ index: 0 }, { index: 1 }, { index: 2 }] },
    });
  });

  test('an image without a face is refused with NO_FACE', async () => {
    const grey = await sharp({ create: { width: 300, height: 300, channels: 3, background: '#888' } })
      .png()
      .toBuffer();
    await expect(engine.process(grey, 'central')).rejects.toMatchObject({ code: 'NO_FACE' });
  });

  test('refuses at once with ENGINE_BUSY when too many wait', async () => {
    const small = await FaceEngine.open(pack, { concurrency: 1, waitingMax: 1 });
    const bytes = await bytesOf('sample1-0');
    const accepted = [small.process(bytes, 0), small.process(bytes, 0)];
    expect(small.load).toEqual({ inFlight: 1, waiting: 1 });
    await expect(small.process(bytes, 0)).rejects.toMatchObject({ code: 'ENGINE_BUSY', retryable: true });
    await Promise.all(accepted);
    await small.close();
  });

  test('closing ends what is under way and refuses what comes later, with ENGINE_CLOSED', async () => {
    const closing = await FaceEngine.open(pack, { concurrency: 1 });
    const bytes = await bytesOf('sample1-0');
    const underWay = [closing.process(bytes, 0), closing.process(bytes, 1)];
    const closed = closing.close();
    await expect(closing.process(bytes, 0)).rejects.toMatchObject({ code: 'ENGINE_CLOSED' });
    expect((await Promise.all(underWay)).map(({ chosen }) => chosen)).toEqual([0, 1]);
    await closed;
  });

  test('a pack whose networks do not fit its manifest is refused with MODEL_PACK_UNSUITABLE', async () => {
    const { manifest, paths } = pack;
    const unfit = [
      { ...pack, manifest: { ...manifest, embedder: { ...manifest.embedder, dimension: 256 } } },
      { ...pack, manifest: { ...manifest, detector: { ...manifest.detector, inputWidth: 640 } } },
      { ...pack, paths: { ...paths, landmarks: paths.embedder } },
      { ...pack, paths: { ...paths, detector: join(import.meta.dirname, 'golden-vectors.json') } },
    ];
    for (const bad of unfit) {
      await expect(FaceEngine.open(bad, { concurrency: 1 })).rejects.toMatchObject({ code: 'MODEL_PACK_UNSUITABLE' });
    }
  });
});

function maxDifference(a: Float32Array, b: readonly number[]): number {
  expect(a.length).toBe(b.length);
  return b.reduce((most, value, i) => Math.max(most, Math.abs(value - a[i]!)), 0);
}

function dot(a: Float32Array, b: Float32Array): number {
  return a.reduce((sum, value, i) => sum + value * b[i]!, 0);
}
