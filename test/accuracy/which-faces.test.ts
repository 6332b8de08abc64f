/**
 * Which faces are found in which pictures: that objects are not taken for people, that people are not lost to that, that
 * a picture which lies on its side is put upright, and that the quality warnings stand where faces are missed more often.
 * The figures in docs/faces.md are those that this prints.
 */
import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Refusal } from '#domain/errors.js';
import type { DescribedFace } from '#domain/face.js';
import { QUALITY_WARNINGS, type FaceMeasures } from '#domain/face-quality.js';
import { FacePool } from '#face/face-pool.js';
import type { ProcessedFace } from '#face/face-protocol.js';
import { modelPackFolderForTests, unlessOffline } from '#testkit/model-pack-for-tests.js';
import { FACES_FOLDER } from '#testkit/running-system.js';
import { haveFaces, people } from './faces.js';

const DATA = dirname(FACES_FOLDER);
const OBJECTS = join(DATA, 'not-faces');
const ODD = join(DATA, 'odd');
/** Banknotes carry a portrait; whether that is a face is a matter of taste. */
const PORTRAITS = /^dollar_bill/;
const OBJECTS_TAKEN_MAX = 1;
const FACES_KEPT_MIN = 0.995;
/** Upright pictures that are turned all the same. */
const TURNED_WRONGLY_MAX = 0.001;
const TURNED_BACK_MIN = 0.97;
/** Every so manyth picture is shown lying, too. */
const TURNED_EVERY = 10;
/** Of those who have a second image. */
const PROBES_EVERY = 2;
/** FPIR 1 % at 675 enrolled. */
const THRESHOLD = 0.46;
const IN_FLIGHT = 2 * availableParallelism();

const packFolder = haveFaces ? await unlessOffline(modelPackFolderForTests()) : undefined;
const haveAll = packFolder !== undefined && existsSync(OBJECTS) && existsSync(ODD);
if (!haveAll) report('skipped: the pictures, or the default model pack, are absent');

describe.skipIf(!haveAll)('faces found', { timeout: 1_200_000 }, () => {
  let pool: FacePool;
  beforeAll(async () => {
    pool = await FacePool.open({ packFolder: packFolder!, processes: availableParallelism() });
  }, 60_000);
  afterAll(() => pool?.close());

  test('at most one of the objects without a portrait is taken for a face', async () => {
    const taken: string[] = [];
    const names = (await readdir(OBJECTS)).sort();
    for (const name of names) {
      const found = await facesOf(await readFile(join(OBJECTS, name)));
      if (found > 0) taken.push(name);
    }
    report(`${taken.length} of ${names.length} objects taken for faces: ${taken.join(', ')}`);
    expect(taken.filter((name) => !PORTRAITS.test(name)).length).toBeLessThanOrEqual(OBJECTS_TAKEN_MAX);
  });

  test('the odd pictures hold as many faces as they show', async () => {
    const counts: Record<string, number> = {};
    for (const name of (await readdir(ODD)).sort()) counts[name] = await facesOf(await readFile(join(ODD, name)));
    report(`faces: ${JSON.stringify(counts)}`);
    expect(counts).toMatchObject({ 't1.jpg': 6, 'no_face.png': 0, 'mask.png': 1, 'left_face.jpeg': 1 });
    expect(counts['bald_guys.jpg']).toBeGreaterThanOrEqual(22);
    expect(counts['selfie-many-people.jpg']).toBeGreaterThanOrEqual(4);
    for (const turn of [0, 90, 180, 270]) expect(counts[`rot_${turn}.jpg`]).toBe(1);
  });

  test('a crowd is asked about, with the quality of each face and the picture that the boxes are in', async () => {
    const refusal = await pool.process(await readFile(join(ODD, 't1.jpg')), undefined).catch((error: unknown) => error);
    expect(refusal).toMatchObject({ code: 'MULTIPLE_FACES', details: { picture: { rotation: 0 } } });
    const faces = (refusal as Refusal).details!['faces'] as readonly DescribedFace[];
    expect(faces.every(({ quality }) => quality !== undefined && quality.eyeDistancePx > 20)).toBe(true);
  });

  describe('on Labeled Faces in the Wild', () => {
    const first = new Map<string, Float32Array>();
    const upright = new Map<string, ProcessedFace>();
    let images: string[];

    beforeAll(async () => {
      const everybody = await people();
      images = everybody.flatMap((person) => person.images);
      const turned: string[] = [];
      await inParallel(images, async (path) => {
        const processed = await pool.process(await readFile(path), 'central').catch(refusalOnly);
        if (processed === undefined) return;
        upright.set(path, processed);
        if (processed.rotation !== 0) turned.push(path);
      });
      report(
        `${upright.size} of ${images.length} images have a face; ${turned.length} were turned, and are upright: ${turned.join(', ')}`,
      );
      expect(turned.length).toBeLessThanOrEqual(TURNED_WRONGLY_MAX * images.length);
      for (const { subjectId, images: own } of everybody) {
        const template = upright.get(own[0]!)?.embedded.template;
        if (template !== undefined) first.set(subjectId, template);
      }
    }, 1_200_000);

    test('99.5 % of the images keep their face', () => {
      expect(upright.size / images.length).toBeGreaterThanOrEqual(FACES_KEPT_MIN);
    });

    test.each([90, 180, 270])('nearly all pictures that were turned by %i degrees are turned back', async (angle) => {
      const some = images.filter((_, i) => i % TURNED_EVERY === 0 && upright.has(images[i]!));
      let right = 0;
      let alike = 0;
      await inParallel(some, async (path) => {
        const lying = await sharp(await readFile(path))
          .rotate(angle)
          .png()
          .toBuffer();
        const processed = await pool.process(lying, 'central').catch(refusalOnly);
        if (processed?.rotation !== 360 - angle) return;
        right++;
        if (dot(processed.embedded.template, upright.get(path)!.embedded.template) > 0.99) alike++;
      });
      report(`turned by ${angle}: ${right} of ${some.length} turned back, ${alike} with the same template`);
      expect(right / some.length).toBeGreaterThanOrEqual(TURNED_BACK_MIN);
      expect(alike / right).toBeGreaterThanOrEqual(0.98);
    });

    test('the four rotations of one photograph give the same first candidate with the same score', async () => {
      const found: { subjectId: string; score: number; rotation: number }[] = [];
      for (const angle of [0, 90, 180, 270]) {
        const { embedded, rotation } = await pool.process(await readFile(join(ODD, `rot_${angle}.jpg`)), undefined);
        found.push({ ...nearest(embedded.template), rotation });
      }
      report(
        `rotations: ${found.map((one) => `${one.rotation} → ${one.subjectId} ${one.score.toFixed(4)}`).join(', ')}`,
      );
      expect(new Set(found.map(({ subjectId }) => subjectId)).size).toBe(1);
      expect(Math.max(...found.map((one) => Math.abs(one.score - found[0]!.score)))).toBeLessThan(0.01);
      expect(new Set(found.map(({ rotation }) => rotation)).size).toBe(4);
    });

    test('where a warning is given, faces are missed more often', async () => {
      const probes = (await people())
        .flatMap(({ subjectId, images: own }) =>
          first.has(subjectId) && own.length > 1 ? [{ subjectId, path: own[1]! }] : [],
        )
        .filter((_, i) => i % PROBES_EVERY === 0);
      const seen: Seen[] = [];
      for (const [name, spoil] of Object.entries(SPOILED)) {
        await inParallel(probes, async ({ subjectId, path }) => {
          const bytes = await spoil(await readFile(path));
          const processed = await pool.process(bytes, 'central').catch(refusalOnly);
          if (processed === undefined) return;
          const { template, quality } = processed.embedded;
          seen.push({ name, quality, missed: dot(template, first.get(subjectId)!) < THRESHOLD });
        });
        const own = seen.filter((one) => one.name === name);
        report(
          `${name.padEnd(12)} ${own.length} of ${probes.length} have a face, missed at ${THRESHOLD}: ${share(own)}`,
        );
      }
      for (const [measure, edges] of Object.entries(BINS) as [keyof FaceMeasures, number[]][])
        reportBins(seen, measure, edges);
      const without = missRate(seen.filter(({ quality }) => quality.warnings.length === 0));
      report(`no warning: ${share(seen.filter(({ quality }) => quality.warnings.length === 0))}`);
      for (const warning of QUALITY_WARNINGS) {
        const warned = seen.filter(({ quality }) => quality.warnings.includes(warning));
        report(`${warning.padEnd(22)} ${share(warned)}`);
        if (warned.length >= 30) expect(missRate(warned), warning).toBeGreaterThan(2 * without);
      }
      const asTaken = seen.filter(({ name }) => name === 'as taken');
      report(
        `as taken, with a warning: ${asTaken.filter(({ quality }) => quality.warnings.length > 0).length} of ${asTaken.length}`,
      );
    });

    function nearest(template: Float32Array): { subjectId: string; score: number } {
      let best = { subjectId: '', score: -1 };
      for (const [subjectId, other] of first) {
        const score = dot(template, other);
        if (score > best.score) best = { subjectId, score };
      }
      return best;
    }
  });

  async function facesOf(bytes: Buffer): Promise<number> {
    try {
      return (await pool.process(bytes, 'largest')).faces.length;
    } catch (error) {
      expect(error).toMatchObject({ code: 'NO_FACE' });
      return 0;
    }
  }
});

interface Seen {
  readonly name: string;
  readonly quality: ProcessedFace['embedded']['quality'];
  readonly missed: boolean;
}

/** Eyes are 42 px apart in these photographs as they were taken. */
const SPOILED: Record<string, (bytes: Buffer) => Promise<Buffer>> = {
  'as taken': (bytes) => Promise.resolve(bytes),
  'eyes 21 px': (bytes) => sharp(bytes).resize(125).jpeg({ quality: 90 }).toBuffer(),
  'eyes 14 px': (bytes) => sharp(bytes).resize(83).jpeg({ quality: 90 }).toBuffer(),
  'eyes 10 px': (bytes) => sharp(bytes).resize(62).jpeg({ quality: 90 }).toBuffer(),
  'blur 1.5': (bytes) => sharp(bytes).blur(1.5).jpeg({ quality: 90 }).toBuffer(),
  'blur 3': (bytes) => sharp(bytes).blur(3).jpeg({ quality: 90 }).toBuffer(),
  'light / 3': (bytes) => sharp(bytes).linear(0.33, 0).jpeg({ quality: 90 }).toBuffer(),
  'light / 6': (bytes) => sharp(bytes).linear(0.17, 0).jpeg({ quality: 90 }).toBuffer(),
  'light x 2': (bytes) => sharp(bytes).linear(2, 0).jpeg({ quality: 90 }).toBuffer(),
  'light x 3.5': (bytes) => sharp(bytes).linear(3.5, 0).jpeg({ quality: 90 }).toBuffer(),
};

const BINS: Partial<Record<keyof FaceMeasures, number[]>> = {
  eyeDistancePx: [8, 10, 12, 16, 20, 30],
  embeddingNorm: [2, 2.4, 2.6, 2.8, 3, 3.2, 3.5, 4],
  confidence: [0.95, 0.97, 0.99, 0.999],
  yawDegrees: [10, 20, 30, 40, 50],
  pitchDegrees: [10, 20, 30, 40],
  rollDegrees: [5, 10, 20, 30],
  sharpness: [0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1],
  luminanceMean: [20, 30, 40, 50, 60, 80, 120, 160, 180, 200, 220],
  underExposedShare: [0.01, 0.1, 0.2, 0.3, 0.5, 0.7],
  overExposedShare: [0.01, 0.05, 0.1, 0.2, 0.3, 0.5],
};

function reportBins(seen: readonly Seen[], measure: keyof FaceMeasures, edges: readonly number[]): void {
  const bounds = [-Infinity, ...edges, Infinity];
  const bins = bounds.slice(1).map((above, i) => {
    const inside = seen.filter(({ quality }) => {
      const value = Math.abs(quality[measure]);
      return value >= bounds[i]! && value < above;
    });
    return `${i === 0 ? '' : `${bounds[i]!} `}${share(inside)}`;
  });
  report(`${measure.padEnd(18)} ${bins.join(' | ')}`);
}

function missRate(seen: readonly Seen[]): number {
  return seen.filter(({ missed }) => missed).length / seen.length;
}

function share(seen: readonly Seen[]): string {
  return seen.length === 0 ? '–' : `${(100 * missRate(seen)).toFixed(1)} % of ${seen.length}`;
}

function refusalOnly(error: unknown): undefined {
  if (!(error instanceof Refusal)) throw error;
}

async function inParallel<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let i = next++; i < items.length; i = next++) await work(items[i]!);
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, worker));
}

function dot(a: Float32Array, b: Float32Array): number {
  return a.reduce((sum, value, i) => sum + value * b[i]!, 0);
}

function report(line: string): void {
  process.stdout.write(`${line}\n`);
}
