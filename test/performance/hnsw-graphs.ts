/**
 * Graphs as hnswlib-node itself builds them, kept in the cache: 100,000 templates take some minutes. Of one graph that
 * grows, a file is kept at each size asked for.
 */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile, rename } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import hnswlib from 'hnswlib-node';
import { benchCacheFile } from './face-vectors.js';

export interface GraphParameters {
  readonly links: number;
  readonly efConstruction: number;
}

/** As the product draws its levels. */
const LEVEL_SEED = 100;

/**
 * @param vectors the first of a gallery, one after the other; the n-th gets the label n
 * @param name of the vectors, for the cache
 * @param sizes ascending
 * @returns paths, by size
 */
export async function builtGraphs(
  vectors: Float32Array,
  name: string,
  dimension: number,
  { links, efConstruction }: GraphParameters,
  sizes: readonly number[],
  say: (line: string) => void,
): Promise<string[]> {
  const build = await addonBuild();
  const paths = await Promise.all(
    sizes.map((size) => benchCacheFile(`hnsw-${name}-${dimension}x${size}-m${links}-c${efConstruction}-${build}.bin`)),
  );
  if (paths.every((path) => existsSync(path))) return paths;
  const total = sizes.at(-1)!;
  const index = new hnswlib.HierarchicalNSW('ip', dimension);
  index.initIndex(total, links, efConstruction, LEVEL_SEED);
  const values = new Array<number>(dimension).fill(0.5);
  for (let label = 0; label < total; label++) {
    for (let i = 0; i < dimension; i++) values[i] = vectors[label * dimension + i]!;
    index.addPoint(values, label);
    const done = label + 1;
    if (done % 10_000 === 0) say(`graph of ${links} links, ${dimension} dimensions: ${done} of ${total} templates`);
    const at = sizes.indexOf(done);
    if (at === -1 || existsSync(paths[at]!)) continue;
    await index.writeIndex(`${paths[at]!}.tmp`);
    await rename(`${paths[at]!}.tmp`, paths[at]!);
  }
  return paths;
}

/** Of the addon: another compiler or other flags give other links. */
async function addonBuild(): Promise<string> {
  const entry = createRequire(import.meta.url).resolve('hnswlib-node/package.json');
  const addon = await readFile(join(dirname(entry), 'build', 'Release', 'addon.node'));
  return createHash('sha256').update(addon).digest('hex').slice(0, 8);
}
