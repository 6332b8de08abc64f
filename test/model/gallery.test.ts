/**
 * `npm run test:model`: the gallery against a plain map. GALLERY_SEED and GALLERY_OPERATIONS run one that failed again.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { GalleryScene } from './gallery-scene.js';

const OPERATIONS = Number(process.env['GALLERY_OPERATIONS'] ?? 7_000);
const FIRST_SEED = Number(process.env['GALLERY_SEED'] ?? Date.now() % 1_000_000);
const SEEDS = process.env['GALLERY_SEED'] === undefined ? [0, 1, 2].map((i) => FIRST_SEED + i) : [FIRST_SEED];
const K = 20;
/** Searches with every replica as far as it is; every so many operations all are brought up to date and compared whole. */
const COMPARE_EVERY = 10;

describe('a gallery to which everything happens', () => {
  it.each(SEEDS)(
    `holds and finds what a plain map does, over ${OPERATIONS} operations from seed %i`,
    async (seed) => {
      const folder = await mkdtemp(join(tmpdir(), 'gallery-model-'));
      try {
        const scene = new GalleryScene(seed, folder);
        await scene.rescale(2, 1);
        for (let operation = 1; operation <= OPERATIONS; operation++) {
          await scene.happen();
          checkNobodyForbidden(scene);
          if (operation % COMPARE_EVERY === 0) await compareWithOracle(scene, `seed ${seed}, operation ${operation}`);
        }
        process.stdout.write(`seed ${seed}: ${JSON.stringify(Object.fromEntries(scene.counts))}\n`);
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    },
    1_800_000,
  );
});

/** Whatever a replica has still to read: what a disposition that it has read forbids is in no answer. */
function checkNobodyForbidden(scene: GalleryScene): void {
  const probe = scene.probe();
  const replica = scene.pick(scene.replicas);
  for (const mode of ['exact', 'approximate'] as const)
    expect(replica.forbidden(replica.search(probe, K, mode))).toEqual([]);
}

async function compareWithOracle(scene: GalleryScene, place: string): Promise<void> {
  const { oracle, replicas } = scene;
  await scene.followAll();
  const expected = oracle.coverage();
  const probe = scene.probe();
  const best = oracle.search(probe, K);

  for (const replica of replicas) {
    for (const [partition, digest] of replica.digests()) expect(digest, place).toBe(expected.digests[partition]);
  }
  // Whichever replicas are the first to answer.
  const order = replicas.toSorted(() => scene.random() - 0.5);
  const exact = scene.gathered(
    order.map((replica) => replica.search(probe, K, 'exact')),
    K,
  );
  expect(exact.missing, place).toEqual([]);
  expect(exact.enrolled, place).toBe(expected.enrolled.reduce((sum, count) => sum + count, 0));
  expect(exact.unusable, place).toBe(expected.unusable.reduce((sum, count) => sum + count, 0));
  expect(exact.incomplete, place).toEqual(
    expected.unusable.flatMap((count, partition) => (count > 0 ? [partition] : [])),
  );
  expect(
    exact.candidates.map(({ imageId, subjectId }) => ({ imageId, subjectId })),
    place,
  ).toEqual(best.map(({ imageId, subjectId }) => ({ imageId, subjectId })));
  exact.candidates.forEach(({ score }, i) => expect(score, place).toBeCloseTo(best[i]!.score, 12));

  // From the bytes in memory rather than from what was added up, and from a graph that holds them all.
  const replica = scene.pick(replicas);
  if (scene.random() < 0.1) await replica.built();
  for (const { imageId, score } of replica.search(probe, K, 'approximate').candidates) {
    expect(score, place).toBeCloseTo(oracle.scoreOf(probe, imageId) ?? Number.NaN, 12);
  }
  if (scene.random() < 0.2) expect(await replica.wholeDigest(), place).toBe(joined([...replica.digests().values()]));
}

/** By exclusive or, as digests are. */
function joined(digests: readonly string[]): string {
  const sum = new Uint8Array(32);
  for (const digest of digests) Buffer.from(digest, 'hex').forEach((byte, i) => (sum[i]! ^= byte));
  return Buffer.from(sum).toString('hex');
}
