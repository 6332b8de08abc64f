import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { partitionFor } from '#contracts/murmur2.js';
import { TEMPLATE_PARTITIONS } from '#domain/gallery.js';
import { imageId, modelId, offset, subjectId } from '#domain/ids.js';
import { ShardHost, type ShardWorkerOptions } from '#gallery/shard-host.js';
import { faceLikeVector, seededRandom } from '#gallery/vectors-for-tests.js';
import { IndexMetrics } from '#platform/metrics.js';
import { silentLog } from '#testkit/kafka-test-helpers.js';
import { GalleryReplica } from './gallery-replica.js';

const DIMENSION = 64;
const IMAGES = 2_000;
const model = modelId('0123456789abcdef');

describe('a replica whose files hold what is erased', () => {
  let folder: string;
  let replica: GalleryReplica;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'gallery-replica-'));
    const options: ShardWorkerOptions = {
      clusterId: 'MkU3OEVBNTcwNTJENDM2Qg',
      modelId: model,
      dimension: DIMENSION,
      layout: { shards: 1, shard: 0, workers: 1, worker: 0 },
      partitions: Array.from({ length: TEMPLATE_PARTITIONS }, (_, partition) => partition),
      snapshotFolder: folder,
      autoExactMaxTemplates: 100_000,
      recallSampleShare: 0,
    };
    await writeSnapshot(options);
    const none = undefined as never;
    replica = new GalleryReplica(
      none,
      none,
      { modelId: model, dimension: DIMENSION, shard: 0 },
      new IndexMetrics(),
      silentLog,
      (error) => {
        throw error;
      },
    );
    await replica.openWorkers([options]);
  });

  afterEach(async () => {
    await replica.close();
    await rm(folder, { recursive: true });
  });

  it('has replaced them only when what a worker is writing meanwhile is written too', async () => {
    const id = imageId('i1');
    const why = { since: '2026-01-01T00:00:00Z', authority: 'a', reason: 'r', sourceOffset: offset(IMAGES) };
    await replica.applyDispositions([
      { imageId: id, disposition: { imageId: id, kind: 'erased', ...why }, outlivesRecord: false },
    ]);
    let isWritten = false;
    const writing = replica.snapshot('timer').then(() => (isWritten = true));
    while ((await replica.destruction()) === 'needs-snapshot');
    expect(await replica.replaceFiles()).toBe(true);
    expect(isWritten).toBe(true);
    expect(await replica.destruction()).toBe('done');
    await writing;
  });
});

async function writeSnapshot(options: ShardWorkerOptions): Promise<void> {
  const host = await ShardHost.start(options);
  const random = seededRandom(1);
  const templates = Array.from({ length: IMAGES }, (_, i) => {
    const id = imageId(`i${i}`);
    return {
      kind: 'template' as const,
      partition: partitionFor(id, TEMPLATE_PARTITIONS),
      offset: offset(i),
      imageId: id,
      timestampMs: 0,
      vector: faceLikeVector(random, DIMENSION),
      metadata: { imageId: id, subjectId: subjectId(`s${i}`) },
      source: { sourceOffset: offset(i), acceptedAtMs: 0 },
    };
  });
  await host.apply(templates, []);
  await host.close({ snapshot: true });
}
