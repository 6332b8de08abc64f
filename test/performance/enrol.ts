/**
 * What enrolment costs without Kafka around it: the product's pipeline and image store against the bare pipeline that
 * writes each photograph to a file, in as many processes, by the clock and by CPU; and CPU by stage, in one process.
 * `--images n` does another thing: n photographs in a row through the whole system, and the memory that ingest holds.
 */
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { imageId, type Offset } from '#domain/ids.js';
import { decodeImage, encodeUprightJpeg } from '#face/decode.js';
import { FaceEngine } from '#face/face-engine.js';
import { FacePool } from '#face/face-pool.js';
import { loadModelPack } from '#face/model-pack.js';
import { FolderImageStore } from '#platform/folder-image-store.js';
import { overwritingFreed } from '#platform/freed-memory.js';
import { custodyImageName } from '#platform/image-store.js';
import { localModelPackFolder } from '../../apps/cli/src/local-assets.js';
import { haveFaces, imageIdOf, people } from '../accuracy/faces.js';
import { benchEnrolMemory } from './enrol-memory.js';
import { cpuTimed, figure, median, ratioAtLeast, timed, type BenchOptions, type BenchResult } from './measure.js';
import { cpuMsOfChildren } from './process-cpu.js';
import { ReferencePool } from './reference/pool.js';

/** Short ones, that take turns: both see the machine in the same mood. */
const ROUNDS = 9;
const IMAGES_PER_ROUND = 150;
/** Both compile as they run, and a gallery is enrolled for hours: the first images say nothing of that. */
const WARM_UP = 300;
const STAGE_ROUNDS = 5;
const STAGE_IMAGES = 100;
const RATE_RATIO_MIN = 0.9;

interface Photograph {
  readonly id: string;
  readonly bytes: Buffer;
}

interface Cost {
  readonly imagesPerSecond: number;
  readonly cpuMsPerImage: number;
}

export async function benchEnrol({ images }: BenchOptions): Promise<BenchResult> {
  if (!haveFaces) throw new Error('the face images to measure on are not beside the checkout');
  if (images !== undefined) return benchEnrolMemory(images);
  const photographs = await firstImages();
  const folder = await mkdtemp(join(tmpdir(), 'custody-bench-'));
  try {
    const { ours, bare } = await measureRounds(photographs, folder);
    const stages = await measureStages(photographs, folder);
    const ratios = (what: keyof Cost): number[] => ours.map((cost, i) => cost[what] / bare[i]![what]);
    return {
      figures: [
        figure('pipeline and image store', 'images/s', of(ours, 'imagesPerSecond')),
        figure('bare pipeline and files', 'images/s', of(bare, 'imagesPerSecond')),
        figure('pipeline and image store, all processes', 'CPU ms/image', of(ours, 'cpuMsPerImage')),
        figure('bare pipeline and files, all processes', 'CPU ms/image', of(bare, 'cpuMsPerImage')),
        ...[...stages].map(([stage, rounds]) => figure(`one process: ${stage}`, 'CPU ms/image', rounds)),
      ],
      ratios: [
        ratioAtLeast('enrolment rate / bare pipeline rate', median(ratios('imagesPerSecond')), RATE_RATIO_MIN),
        ratioAtLeast('bare pipeline CPU / enrolment CPU', 1 / median(ratios('cpuMsPerImage')), RATE_RATIO_MIN),
      ],
    };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function firstImages(): Promise<Photograph[]> {
  const paths = (await people()).map(({ images }) => images[0]!);
  return Promise.all(paths.map(async (path) => ({ id: imageIdOf(path), bytes: await readFile(path) })));
}

async function measureRounds(
  photographs: readonly Photograph[],
  folder: string,
): Promise<{ ours: Cost[]; bare: Cost[] }> {
  const packFolder = await localModelPackFolder();
  const processes = availableParallelism();
  // As the services are started.
  Object.assign(process.env, overwritingFreed(process.env));
  const reference = await ReferencePool.open(packFolder, processes);
  const faces = await FacePool.open({ packFolder, processes, waitingMax: photographs.length });
  const store = await openStore(folder);
  let version = 0;
  const enrolBare = (share: readonly Photograph[]): Promise<unknown> =>
    reference.run(
      share.map(({ bytes }) => bytes),
      folder,
    );
  const enrol = (share: readonly Photograph[]): Promise<unknown> =>
    Promise.all(
      share.map(async ({ id, bytes }) => {
        // Ingest overwrites what it was given, and so does what is inside.
        const { uprightJpeg } = await faces.process(Buffer.from(bytes), 'central', { uprightJpeg: true });
        await store.put(custodyImageName(imageId(id), version++ as Offset), uprightJpeg);
      }),
    );
  try {
    await enrolBare(photographs.slice(0, WARM_UP));
    await enrol(photographs.slice(0, WARM_UP));
    const ours: Cost[] = [];
    const bare: Cost[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const from = (round * IMAGES_PER_ROUND) % (photographs.length - IMAGES_PER_ROUND);
      const share = photographs.slice(from, from + IMAGES_PER_ROUND);
      bare.push(await costOf(share, enrolBare));
      ours.push(await costOf(share, enrol));
    }
    return { ours, bare };
  } finally {
    reference.close();
    await faces.close();
  }
}

async function costOf(
  share: readonly Photograph[],
  run: (share: readonly Photograph[]) => Promise<unknown>,
): Promise<Cost> {
  const before = cpuMsOfChildren();
  let ms = 0;
  const ownMs = await cpuTimed(async () => (ms = await timed(() => run(share))));
  const cpuMs = ownMs + cpuMsOfChildren() - before;
  return { imagesPerSecond: (share.length * 1000) / ms, cpuMsPerImage: cpuMs / share.length };
}

/** By stage, CPU milliseconds an image, of each round. */
async function measureStages(photographs: readonly Photograph[], folder: string): Promise<Map<string, number[]>> {
  const engine = await FaceEngine.open(await loadModelPack(await localModelPackFolder()), { concurrency: 1 });
  const store = await openStore(folder);
  const costs = new Map<string, number[]>();
  try {
    for (let round = 0; round <= STAGE_ROUNDS; round++) {
      const share = photographs.slice(round * STAGE_IMAGES, (round + 1) * STAGE_IMAGES);
      const spent = new Map<string, number>();
      const stage = async <T>(name: string, run: () => Promise<T>): Promise<T> => {
        let result: T;
        const ms = await cpuTimed(async () => (result = await run()));
        spent.set(name, (spent.get(name) ?? 0) + ms / share.length);
        return result!;
      };
      for (const [i, { id, bytes }] of share.entries()) {
        const image = await stage('decode', () => decodeImage(bytes));
        const found = await stage('detect', () => engine.detect(image));
        const face = found[0];
        if (face !== undefined) await stage('landmarks, align, embed, quality', () => engine.embed(image, face));
        const jpeg = await stage('upright JPEG', () => encodeUprightJpeg(image, bytes));
        await stage('seal and store', () => store.put(custodyImageName(imageId(id), i as Offset), jpeg));
        await stage('all of it, other orientations too', () => engine.process(bytes, 'central'));
      }
      // The first warms up.
      if (round > 0) for (const [name, ms] of spent) costs.set(name, [...(costs.get(name) ?? []), ms]);
    }
    return costs;
  } finally {
    await engine.close();
  }
}

async function openStore(folder: string): Promise<FolderImageStore> {
  const keyFile = join(folder, 'store.key');
  await writeFile(keyFile, randomBytes(32).toString('base64'));
  return FolderImageStore.open(join(folder, 'images'), keyFile);
}

function of(costs: readonly Cost[], what: keyof Cost): number[] {
  return costs.map((cost) => cost[what]);
}
