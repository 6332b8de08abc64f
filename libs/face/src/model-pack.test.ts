import { createHash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { DEFAULT_PACK_MANIFEST } from '#testkit/model-pack-for-tests.js';
import {
  loadModelPack,
  modelIdOf,
  modelPackManifest,
  readModelPackManifest,
  type ModelPackManifest,
} from './model-pack.js';

const shipped = await readModelPackManifest(DEFAULT_PACK_MANIFEST);

describe('modelId', () => {
  test('of the default pack is the one that its galleries are named after', () => {
    expect(modelIdOf(shipped)).toBe('23ff187b5538d2d5');
  });

  test('does not change with names, licence texts, source or the order of keys', () => {
    const licence = { ...shipped.licence, holder: 'somebody else' };
    const detector = Object.fromEntries(Object.entries(shipped.detector).reverse()) as ModelPackManifest['detector'];
    const { source: _, ...rest } = shipped;
    expect(modelIdOf({ ...rest, name: 'other', version: '9', licence, detector })).toBe(modelIdOf(shipped));
  });

  test('changes with every file and every parameter', () => {
    const { files, detector, embedder } = shipped;
    const variants: ModelPackManifest[] = [
      { ...shipped, files: { ...files, landmarks: { ...files.landmarks!, sha256: '0'.repeat(64) } } },
      { ...shipped, files: { ...files, embedder: { ...files.embedder, sha256: '0'.repeat(64) } } },
      { ...shipped, detector: { ...detector, confidenceThreshold: 0.5 } },
      { ...shipped, embedder: { ...embedder, colour: 'RGB' } },
    ];
    expect(new Set([shipped, ...variants].map(modelIdOf)).size).toBe(5);
  });
});

describe('loading', () => {
  let folder: string;
  const contents = { detector: 'one', landmarks: 'two', embedder: 'three' };
  const file = (name: keyof typeof contents) => ({
    path: `${name}.onnx`,
    sha256: createHash('sha256').update(contents[name]).digest('hex'),
    sizeBytes: contents[name].length,
  });
  const manifest = {
    ...shipped,
    files: { detector: file('detector'), landmarks: file('landmarks'), embedder: file('embedder') },
  };

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'pack-'));
    await writeFile(join(folder, 'manifest.json'), JSON.stringify(manifest));
    for (const [name, content] of Object.entries(contents)) await writeFile(join(folder, `${name}.onnx`), content);
  });
  afterEach(() => rm(folder, { recursive: true }));

  test('gives the paths of files that are as described', async () => {
    const pack = await loadModelPack(folder);
    expect(pack.paths.embedder).toBe(join(folder, 'embedder.onnx'));
    expect(pack.modelId).toBe(modelIdOf(manifest));
  });

  test('refuses a file that differs by one byte, with MODEL_PACK_HASH_DIFFERS and its name', async () => {
    await writeFile(join(folder, 'landmarks.onnx'), 'twp');
    await expect(loadModelPack(folder)).rejects.toMatchObject({
      code: 'MODEL_PACK_HASH_DIFFERS',
      publicText: expect.stringContaining('landmarks.onnx') as string,
    });
  });

  test('refuses a pack without a file, with MODEL_PACK_FILE_MISSING and its name', async () => {
    await rm(join(folder, 'embedder.onnx'));
    await expect(loadModelPack(folder)).rejects.toMatchObject({
      code: 'MODEL_PACK_FILE_MISSING',
      publicText: expect.stringContaining('embedder.onnx') as string,
    });
  });

  test('refuses an unknown parameter, with MODEL_PACK_MANIFEST_INVALID and its name', async () => {
    await writeFile(
      join(folder, 'manifest.json'),
      JSON.stringify({ ...manifest, detector: { ...manifest.detector, nmsIuo: 0.3 } }),
    );
    await expect(loadModelPack(folder)).rejects.toMatchObject({
      code: 'MODEL_PACK_MANIFEST_INVALID',
      publicText: expect.stringContaining('nmsIuo') as string,
    });
  });

  test.each(['/etc/passwd', '../x', 'a/../../x', '..'])('refuses a path that leaves the folder: %s', (path) => {
    const files = { ...manifest.files, detector: { ...manifest.files.detector, path } };
    expect(modelPackManifest.safeParse({ ...manifest, files }).success).toBe(false);
  });
});
