/** A shard with a whole gallery in it, and its graph, as a process that was restored has them. */
import { imageId, offset, subjectId, type ImageId } from '#domain/ids.js';
import { GalleryShard } from '#gallery/gallery-shard.js';
import { HnswGraph } from '#gallery/hnsw-graph.js';
import type { TemplateChange } from '#gallery/template-change.js';

export const FORCES = ['kent', 'essex', 'surrey', 'norfolk', 'dorset', 'cumbria', 'devon', 'gwent'];
const SEXES = ['male', 'male', 'male', 'male', 'female', 'unknown'] as const;
const AGE_BANDS = ['10-17', '18-24', '25-34', '35-49', '50-64', '65+'] as const;
const DAY_MS = 86_400_000;

export function imageIdOf(number: number): ImageId {
  return imageId(`2024-${String(number).padStart(8, '0')}-front`);
}

/** The n-th record of the log, with what custody records have. @param vectors one after the other */
export function templateChange(vectors: Float32Array, dimension: number, number: number): TemplateChange {
  return changeWith(vectors.subarray(number * dimension, (number + 1) * dimension), number);
}

export function changeWith(vector: Float32Array, number: number): TemplateChange {
  const id = imageIdOf(number);
  return {
    kind: 'template',
    partition: number % 24,
    offset: offset(number),
    imageId: id,
    timestampMs: 0,
    vector,
    metadata: {
      imageId: id,
      subjectId: subjectId(`person-${String(number).padStart(8, '0')}`),
      force: FORCES[number % FORCES.length]!,
      custodyReference: `CR/${String(number).padStart(8, '0')}/24`,
      capturedAt: new Date(1.6e12 + (number % 2000) * DAY_MS).toISOString(),
      sex: SEXES[number % SEXES.length]!,
      ageBand: AGE_BANDS[Math.floor(number / 7) % AGE_BANDS.length]!,
      faceBox: { left: 60 + (number % 9), top: 70, right: 170, bottom: 200 },
      embeddingNorm: 20 + (number % 50) / 10,
    },
    source: { sourceOffset: offset(number), acceptedAtMs: 1.7e12 + number },
  };
}

export const PARTITIONS = Array.from({ length: 24 }, (_, partition) => partition);

/** @param graphPath of a graph whose n-th node is the n-th template */
export async function shardOf(
  vectors: Float32Array,
  dimension: number,
  count: number,
  graphPath?: string,
): Promise<GalleryShard> {
  const shard = new GalleryShard({ dimension, partitions: PARTITIONS, autoExactMaxTemplates: Infinity });
  for (let number = 0; number < count; number++) shard.apply(templateChange(vectors, dimension, number));
  if (graphPath !== undefined) {
    const graph = await HnswGraph.load(graphPath, dimension, { labelEnd: count, deleted: 0 });
    shard.approximate.adopt(
      graph,
      Int32Array.from({ length: count }, (_, label) => label),
    );
  }
  return shard;
}
