import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { imageId, modelId, offset, subjectId } from '#domain/ids.js';
import { GalleryShard } from './gallery-shard.js';
import { diskSnapshotFs } from './snapshot-files.js';
import type { SnapshotIdentity } from './snapshot-manifest.js';
import { SnapshotFolder } from './snapshot.js';
import { faceLikeVector, seededRandom } from './vectors-for-tests.js';

const DIMENSION = 32;
const IDENTITY: SnapshotIdentity = {
  clusterId: 'MkU3OEVBNTcwNTJENDM2Qg',
  modelId: modelId('0123456789abcdef'),
  dimension: DIMENSION,
  layout: { shards: 1, shard: 0, workers: 1, worker: 0 },
  partitions: [1],
};
const OPTIONS = { dimension: DIMENSION, partitions: [1], autoExactMaxTemplates: 0 };

let base: string;

beforeEach(async () => {
  base = await mkdtemp(join(tmpdir(), 'snapshot-'));
});

afterEach(() => rm(base, { recursive: true, force: true }));

it('a snapshot keeps what is filtered by and what a candidate shows, and gives a free slot to who comes next', async () => {
  const folder = new SnapshotFolder(diskSnapshotFs, base, IDENTITY);
  const shard = new GalleryShard(OPTIONS);
  const random = seededRandom(11);
  const enrol = (into: GalleryShard, i: number): void => {
    const id = imageId(`i${i}`);
    const metadata = {
      imageId: id,
      subjectId: subjectId(`s${i % 70}`),
      ...(i % 3 > 0 && { force: `force ${i % 3}` }),
      ...(i % 2 > 0 && ({ sex: 'female', ageBand: '25-34', capturedAt: `2024-01-${String(1 + (i % 28))}` } as const)),
      faceBox: { left: i, top: 0.5, right: 2 * i, bottom: 7 },
      embeddingNorm: i / 7,
    };
    const place = { partition: 1, offset: offset(i), imageId: id, timestampMs: 0 };
    const vector = faceLikeVector(random, DIMENSION);
    into.apply({
      ...place,
      kind: 'template',
      vector,
      metadata,
      source: { sourceOffset: offset(i), acceptedAtMs: i },
    });
  };
  for (let i = 0; i < 200; i++) enrol(shard, i);
  for (let i = 0; i < 200; i += 9) {
    shard.apply({ kind: 'tombstone', partition: 1, offset: offset(i), imageId: imageId(`i${i}`), timestampMs: 0 });
  }
  await folder.write(shard, shard.nextOffsets(), false);
  const { shard: restored } = await folder.restore(() => new GalleryShard(OPTIONS));
  const probe = faceLikeVector(random, DIMENSION);
  for (const filter of [
    {},
    { force: 'force 2' },
    { sex: 'female', ageBand: '25-34' } as const,
    { capturedFrom: '2024-01-10', excludeImageIds: [imageId('i11')] },
  ]) {
    const query = { probe, k: 100, mode: 'exact', filter } as const;
    expect(restored.search(query)).toEqual(shard.search(query));
    expect(restored.search(query).candidates.length).toBeGreaterThan(10);
  }
  const slots = restored.store.slotEnd;
  for (let i = 300; i < 320; i++) enrol(restored, i);
  expect(restored.store.slotEnd).toBe(slots);
  expect(restored.search({ probe, k: 100, mode: 'exact' }).candidates).toHaveLength(70);
  expect(restored.partitionDigests()[0]!.digest).toBe(restored.digest());
});
