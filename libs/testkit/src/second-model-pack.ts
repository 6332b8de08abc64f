/** A second model for tests: the default networks fed with the colours the other way round. */
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { loadModelPack, MANIFEST_FILE, type ModelPack, type ModelPackManifest } from '#face/model-pack.js';
import { modelPackFolderForTests } from './model-pack-for-tests.js';

/**
 * Its templates are as good as those of the default pack, nearly, and comparing the two kinds with each other is wrong by
 * more than a rounding: an answer that mixes them shows.
 *
 * @param folder a new one
 */
export async function secondModelPackForTests(folder: string): Promise<ModelPack> {
  const original = await modelPackFolderForTests();
  const manifest = JSON.parse(await readFile(join(original, MANIFEST_FILE), 'utf8')) as ModelPackManifest;
  for (const file of Object.values(manifest.files)) {
    if (file === undefined) continue;
    await mkdir(dirname(join(folder, file.path)), { recursive: true });
    await symlink(join(original, file.path), join(folder, file.path));
  }
  const { embedder } = manifest;
  const second = {
    ...manifest,
    name: `${manifest.name}, colours exchanged`,
    embedder: { ...embedder, colour: embedder.colour === 'RGB' ? 'BGR' : 'RGB' },
  };
  await writeFile(join(folder, MANIFEST_FILE), JSON.stringify(second));
  return loadModelPack(folder);
}
