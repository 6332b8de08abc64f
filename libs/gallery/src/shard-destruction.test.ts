/** What a shard says of what is erased: whether it is in memory or in files still. */
import { cp, mkdtemp, readdir, readFile, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { partitionFor } from '#contracts/murmur2.js';
import type { Disposition } from '#domain/disposition.js';
import { TEMPLATE_PARTITIONS } from '#domain/gallery.js';
import { imageId, modelId, offset, subjectId } from '#domain/ids.js';
import { ShardHost } from './shard-host.js';
import type { TemplateChange } from './template-change.js';
import { faceLikeVector, seededRandom } from './vectors-for-tests.js';

const DIMENSION = 64;

let base: string;
let host: ShardHost;

beforeEach(async () => {
  base = await mkdtemp(join(tmpdir(), 'shard-destruction-'));
  host = await start();
});
afterEach(async () => {
  await host.close({ snapshot: false });
  await rm(base, { recursive: true, force: true });
});

function start(): Promise<ShardHost> {
  return ShardHost.start({
    clusterId: 'MkU3OEVBNTcwNTJENDM2Qg',
    modelId: modelId('0123456789abcdef'),
    dimension: DIMENSION,
    layout: { shards: 1, shard: 0, workers: 1, worker: 0 },
    partitions: Array.from({ length: TEMPLATE_PARTITIONS }, (_, partition) => partition),
    snapshotFolder: base,
    autoExactMaxTemplates: 100_000,
    recallSampleShare: 0,
  });
}

const id = (number: number) => imageId(`i${number}`);

function template(number: number, sourceOffset = number): TemplateChange & { kind: 'template' } {
  return {
    kind: 'template',
    partition: partitionFor(id(number), TEMPLATE_PARTITIONS),
    offset: offset(sourceOffset),
    imageId: id(number),
    timestampMs: 0,
    vector: faceLikeVector(seededRandom(number + 1000 * sourceOffset), DIMENSION),
    metadata: { imageId: id(number), subjectId: subjectId(`s${number}`) },
    source: { sourceOffset: offset(sourceOffset), acceptedAtMs: 0 },
  };
}

function disposition(
  number: number,
  kind: Disposition['kind'],
): { imageId: Disposition['imageId']; disposition: Disposition } {
  const why = { since: '2026-01-01T00:00:00Z', authority: 'dpo', reason: 'test', sourceOffset: offset(99) };
  return { imageId: id(number), disposition: { imageId: id(number), kind, ...why } };
}

const destruction = async () => (await host.report()).destruction;

async function isInFiles(vector: Float32Array): Promise<boolean> {
  const bytes = Buffer.from(vector.buffer, vector.byteOffset, vector.byteLength);
  for (const entry of await readdir(base, { recursive: true, withFileTypes: true })) {
    if (entry.isFile() && (await readFile(join(entry.parentPath, entry.name))).includes(bytes)) return true;
  }
  return false;
}

describe('a shard, of what is erased', () => {
  it('needs a snapshot when files may hold it, and has destroyed it when that is written', async () => {
    await host.apply([template(1), template(2)], []);
    await host.snapshot();
    expect(await isInFiles(template(1).vector)).toBe(true);
    expect(await destruction()).toBe('done');
    await host.setDispositions([disposition(1, 'erased')]);
    expect(await destruction()).toBe('needs-snapshot');
    await host.snapshot();
    expect(await destruction()).toBe('done');
    expect(await isInFiles(template(1).vector)).toBe(false);
    expect(await isInFiles(template(2).vector)).toBe(true);
  });

  it('needs another when it was erased while a snapshot waited for its turn', async () => {
    await host.apply([template(1), template(2)], []);
    const snapshot = host.snapshot();
    await host.setDispositions([disposition(1, 'erased')]);
    await snapshot;
    await host.settled();
    expect([await destruction(), await isInFiles(template(1).vector)]).toEqual(['needs-snapshot', true]);
    await host.snapshot();
    expect([await destruction(), await isInFiles(template(1).vector)]).toEqual(['done', false]);
  });

  it('needs none for a restriction, nor for what it has never held', async () => {
    await host.apply([template(1)], []);
    await host.snapshot();
    await host.setDispositions([disposition(1, 'restricted'), disposition(7, 'erased')]);
    await host.settled();
    expect(await destruction()).toBe('done');
    expect(await isInFiles(template(1).vector)).toBe(true);
  });

  it('needs one for what was replaced, or went by its tombstone, before the erasure was read', async () => {
    await host.apply([template(1), template(2)], []);
    await host.snapshot();
    const { partition } = template(1);
    await host.apply([{ kind: 'tombstone', partition, offset: offset(50), imageId: id(1), timestampMs: 0 }], []);
    await host.apply([template(2, 100)], []);
    expect(await destruction()).toBe('done');
    await host.setDispositions([disposition(1, 'erased')]);
    expect(await destruction()).toBe('needs-snapshot');
    await host.snapshot();
    expect([await isInFiles(template(1).vector), await isInFiles(template(2).vector)]).toEqual([false, false]);
    expect(await isInFiles(template(2, 100).vector)).toBe(true);
    expect(await destruction()).toBe('done');
  });

  it('needs one when it is started again from a file that holds it', async () => {
    await host.apply([template(1), template(2)], []);
    await host.snapshot();
    await host.close({ snapshot: false });
    host = await start();
    expect(await destruction()).toBe('done');
    await host.setDispositions([disposition(1, 'erased')]);
    expect(await destruction()).toBe('needs-snapshot');
    await host.snapshot();
    expect(await destruction()).toBe('done');
    expect(await isInFiles(template(1).vector)).toBe(false);
  });

  it('needs one while there is an older snapshot that should be gone, because it was put back', async () => {
    await host.apply([template(1), template(2)], []);
    await host.snapshot();
    await cp(join(base, '1'), join(base, 'kept'), { recursive: true });
    await host.setDispositions([disposition(1, 'erased')]);
    await host.snapshot();
    await host.apply([template(3)], []);
    await host.snapshot();
    expect(await destruction()).toBe('done');
    await host.close({ snapshot: false });
    await rename(join(base, 'kept'), join(base, '1'));
    host = await start();
    await host.setDispositions([disposition(1, 'erased')]);
    expect(await destruction()).toBe('needs-snapshot');
    await host.snapshot();
    expect(await isInFiles(template(1).vector)).toBe(false);
    expect(await destruction()).toBe('done');
  });

  it('needs none because of the snapshot before the newest, which is kept in case that one is damaged', async () => {
    await host.apply([template(1)], []);
    await host.snapshot();
    await host.apply([template(2)], []);
    await host.snapshot();
    await host.close({ snapshot: false });
    host = await start();
    await host.setDispositions([disposition(7, 'erased')]);
    expect(await destruction()).toBe('done');
  });

  it('hands out nothing that is erased, to be written again, while it waits to be destroyed', async () => {
    await host.apply([template(1), template(2)], []);
    const snapshot = host.snapshot();
    const erasing = host.setDispositions([disposition(1, 'erased')]);
    const held = await host.republishable([id(1), id(2)]);
    expect(held.map(({ imageId }) => imageId)).toEqual([id(2)]);
    await Promise.all([snapshot, erasing]);
  });

  it('needs one while a file that could not be used is set aside', async () => {
    await host.apply([template(1)], []);
    await host.snapshot();
    await host.discardState('SNAPSHOT_OUTSIDE_LOG');
    await host.setDispositions([disposition(1, 'erased')]);
    expect(await destruction()).toBe('needs-snapshot');
    await host.snapshot();
    expect(await isInFiles(template(1).vector)).toBe(false);
  });

  it('says what it holds, partition by partition, alike for the same', async () => {
    await host.apply([template(1), template(2)], []);
    const { partitions } = await host.report();
    expect(partitions.reduce((sum, { enrolled }) => sum + enrolled, 0)).toBe(2);
    await host.snapshot();
    await host.close({ snapshot: false });
    host = await start();
    const { partitions: restored, snapshot } = await host.report();
    expect(restored.map(({ digest }) => digest)).toEqual(partitions.map(({ digest }) => digest));
    expect(snapshot).toMatchObject({ templates: 2, sizeBytes: expect.any(Number) as number });
  });
});
