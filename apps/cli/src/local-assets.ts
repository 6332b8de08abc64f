/** What a local installation fetches once: the default model pack and the sample photographs. */
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { fetchModelPack } from '#face/model-pack-fetch.js';
import { fetchSamplePhotographs, readSampleManifest, type SamplePhotographs } from '#face/sample-manifest.js';
import { cacheFolder } from '#platform/cache-folder.js';
import { readSettings } from '#platform/settings.js';
import { readWantedGenerations } from './wanted-generations.js';

/** The checkout, from dist/apps/cli/src or apps/cli/src. */
export function projectFolder(): string {
  const here = dirname(fileURLToPath(import.meta.url));
  const root = join(here, '..', '..', '..');
  return root.endsWith('dist') ? dirname(root) : root;
}

type Say = (line: string) => void;

/**
 * The pack that the gallery was changed to; else MODEL_PACK_DIR when it is set; else the default one, fetched and
 * checked.
 */
export async function localModelPackFolder(say: Say = () => undefined): Promise<string> {
  const { base } = await readWantedGenerations(readSettings().DATA_DIR);
  if (base !== null) return base;
  const given = process.env['MODEL_PACK_DIR'];
  if (given !== undefined && given !== '') return given;
  const manifest = join(projectFolder(), 'deploy', 'model-packs', 'faceplugin-0.0.1.json');
  const cache = join(cacheFolder(), 'model-packs');
  const { folder } = await fetchModelPack(manifest, cache, { onProgress: say });
  return folder;
}

export async function localSample(say: Say): Promise<SamplePhotographs> {
  const manifest = await readSampleManifest(join(projectFolder(), 'deploy', 'sample', 'manifest.json'));
  return fetchSamplePhotographs(manifest, join(cacheFolder(), 'sample'), { onProgress: say });
}
