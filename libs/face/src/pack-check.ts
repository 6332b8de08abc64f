/**
 * Whether a model pack does here what it did where it was prepared: the same faces in the same photographs, and the same
 * templates from the same points. A pack that is fed the wrong way (colours exchanged, another crop) never crashes; it
 * finds fewer people. Only numbers that were written down before show it.
 */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { Failure } from '#domain/errors.js';
import type { FaceLandmarks, Point } from '#domain/face.js';
import { decodeImage } from './decode.js';
import { FaceEngine } from './face-engine.js';
import type { ModelPack } from './model-pack.js';

/** Between machines the same arithmetic differs in the last digits of float32. */
const TEMPLATE_DIFFERENCE_MAX = 1e-4;
/** A box or a point is rounded from what the detector gives, and a decoder of another version may differ by a shade. */
const POSITION_DIFFERENCE_PX_MAX = 2;

const point = z.strictObject({ x: z.number(), y: z.number() });
const box = z.strictObject({ left: z.int(), top: z.int(), right: z.int(), bottom: z.int() });
const goldenFace = z.strictObject({
  box,
  confidence: z.number(),
  landmarks: z.strictObject({
    leftEye: point,
    rightEye: point,
    noseTip: point,
    leftMouthCorner: point,
    rightMouthCorner: point,
  }),
  embeddingNorm: z.number(),
  /** float32, little endian, base64. */
  template: z.base64(),
});
const packGoldens = z.strictObject({
  modelId: z.string(),
  /** By the SHA-256 of the photograph; faces from left to right. */
  photographs: z.record(z.string(), z.array(goldenFace)),
});

export type PackGoldens = z.infer<typeof packGoldens>;
type GoldenFace = z.infer<typeof goldenFace>;

export interface PackParity {
  readonly photographs: number;
  readonly facesExpected: number;
  /** Of the expected, each within two pixels. */
  readonly facesFound: number;
  /** What is found beside the expected. */
  readonly facesMore: number;
  /** Largest distance of a point of a face that was found, pixels. */
  readonly pointDifferencePxMax: number;
  /** Largest difference of a component, of templates made from the golden points. */
  readonly templateDifferenceMax: number;
  readonly holds: boolean;
}

/** @throws Failure PACK_GOLDENS_INVALID */
export async function readPackGoldens(path: string): Promise<PackGoldens> {
  try {
    return packGoldens.parse(JSON.parse(await readFile(path, 'utf8')));
  } catch (thrown) {
    throw new Failure('PACK_GOLDENS_INVALID', `${path} does not hold golden values of a model pack.`, false, {
      cause: thrown,
    });
  }
}

/** What the pack finds in the photographs, to be compared with elsewhere and later. */
export async function makeGoldens(pack: ModelPack, photographs: readonly Uint8Array[]): Promise<PackGoldens> {
  return withEngine(pack, async (engine) => {
    const byPhotograph: Record<string, GoldenFace[]> = {};
    for (const bytes of photographs) {
      const image = await decodeImage(bytes);
      const faces: GoldenFace[] = [];
      for (const face of await engine.detect(image)) {
        const { landmarks, embeddingNorm, template } = await engine.embed(image, face);
        const { box: at, confidence } = face;
        faces.push({ box: at, confidence, landmarks, embeddingNorm, template: encode(template) });
      }
      byPhotograph[digestOf(bytes)] = faces;
    }
    return { modelId: pack.modelId, photographs: byPhotograph };
  });
}

/** @throws Failure PACK_GOLDENS_INVALID when they are another model's, or of none of the photographs */
export async function comparePack(
  pack: ModelPack,
  goldens: PackGoldens,
  photographs: readonly Uint8Array[],
): Promise<PackParity> {
  if (goldens.modelId !== pack.modelId) {
    throw new Failure('PACK_GOLDENS_INVALID', `These are golden values of ${goldens.modelId}.`, false);
  }
  const known = photographs.flatMap((bytes) => {
    const expected = goldens.photographs[digestOf(bytes)];
    return expected === undefined ? [] : [{ bytes, expected }];
  });
  if (known.length === 0) {
    throw new Failure('PACK_GOLDENS_INVALID', 'The golden values are of none of the photographs.', false);
  }
  return withEngine(pack, async (engine) => {
    const parity = { facesExpected: 0, facesFound: 0, facesMore: 0, pointDifferencePxMax: 0, templateDifferenceMax: 0 };
    for (const { bytes, expected } of known) {
      const image = await decodeImage(bytes);
      const found = await engine.detect(image);
      parity.facesExpected += expected.length;
      for (const golden of expected) {
        const same = found.find((face) => sidesDiffer(face.box, golden.box) <= POSITION_DIFFERENCE_PX_MAX);
        if (same !== undefined) {
          const { landmarks } = await engine.embed(image, same);
          parity.facesFound++;
          parity.pointDifferencePxMax = Math.max(
            parity.pointDifferencePxMax,
            pointsDiffer(landmarks, golden.landmarks),
          );
        }
        const { template } = await engine.embed(image, golden);
        const difference = componentsDiffer(template, decode(golden.template));
        parity.templateDifferenceMax = Math.max(parity.templateDifferenceMax, difference);
      }
      parity.facesMore += Math.max(0, found.length - expected.length);
    }
    const { facesExpected, facesFound, facesMore, pointDifferencePxMax, templateDifferenceMax } = parity;
    const holds =
      facesFound === facesExpected &&
      facesMore === 0 &&
      pointDifferencePxMax <= POSITION_DIFFERENCE_PX_MAX &&
      templateDifferenceMax <= TEMPLATE_DIFFERENCE_MAX;
    return { photographs: known.length, ...parity, holds };
  });
}

async function withEngine<T>(pack: ModelPack, work: (engine: FaceEngine) => Promise<T>): Promise<T> {
  const engine = await FaceEngine.open(pack, { concurrency: 1 });
  try {
    return await work(engine);
  } finally {
    await engine.close();
  }
}

function digestOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function sidesDiffer(a: GoldenFace['box'], b: GoldenFace['box']): number {
  const sides = ['left', 'top', 'right', 'bottom'] as const;
  return Math.max(...sides.map((side) => Math.abs(a[side] - b[side])));
}

function pointsDiffer(a: FaceLandmarks, b: FaceLandmarks): number {
  const distance = (p: Point, q: Point): number => Math.hypot(p.x - q.x, p.y - q.y);
  return Math.max(...(Object.keys(a) as (keyof FaceLandmarks)[]).map((name) => distance(a[name], b[name])));
}

/** Infinity for templates of different lengths. */
function componentsDiffer(a: Float32Array, b: Float32Array): number {
  if (a.length !== b.length) return Infinity;
  return a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), 0);
}

function encode(template: Float32Array): string {
  return Buffer.from(template.buffer, template.byteOffset, template.byteLength).toString('base64');
}

function decode(base64: string): Float32Array {
  const bytes = Buffer.from(base64, 'base64');
  return Float32Array.from({ length: bytes.length >> 2 }, (_, i) => bytes.readFloatLE(4 * i));
}
