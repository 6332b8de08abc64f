import { describe, expect, it } from 'vitest';
import { codeOf } from '#domain/codes-for-tests.js';
import { expectDealable, replicasOf } from './gallery-layout.js';

describe('a local layout of the gallery', () => {
  it('has R processes for each of S shards, each with a name and a folder of its own', () => {
    const replicas = replicasOf({ shards: 3, replicas: 2 }, '/data');
    expect(replicas.map(({ shard }) => shard)).toEqual([0, 1, 2, 0, 1, 2]);
    for (const field of ['replicaId', 'name', 'snapshotDir'] as const) {
      expect(new Set(replicas.map((replica) => replica[field])).size).toBe(6);
    }
    expect(replicas.at(-1)).toEqual({
      shards: 3,
      shard: 2,
      replicaId: 'shard-2-of-3-replica-1',
      name: 'index shard-2-of-3-replica-1',
      snapshotDir: '/data/snapshots/shard-2-of-3-replica-1',
    });
  });

  it('of one process finds the gallery where one process has always had it', () => {
    const [only] = replicasOf({ shards: 1, replicas: 1 }, '/data');
    expect(only).toMatchObject({ name: 'index', snapshotDir: '/data/snapshots/shard-0-of-1' });
    const [first] = replicasOf({ shards: 1, replicas: 2 }, '/data');
    expect(first!.snapshotDir).toBe(only!.snapshotDir);
    expect(first!.replicaId).toBe(only!.replicaId);
  });

  it('keeps a folder inside that of no other, so that each process can clear its own', () => {
    const layouts = [1, 2, 3, 12].flatMap((shards) => [1, 2].map((replicas) => ({ shards, replicas })));
    const folders = [...new Set(layouts.flatMap((layout) => replicasOf(layout, '/data').map((r) => r.snapshotDir)))];
    for (const folder of folders) {
      expect(folders.filter((other) => other.startsWith(`${folder}/`))).toEqual([]);
    }
  });

  it.each([
    [{ shards: 5, replicas: 1 }, 1],
    [{ shards: 12, replicas: 1 }, 3],
  ])('of %j with %i workers is refused with BAD_SETTING', (layout, WORKERS) => {
    expect(codeOf(() => expectDealable(layout, { WORKERS }))).toBe('BAD_SETTING');
    expect(codeOf(() => expectDealable({ ...layout, shards: 1 }, { WORKERS }))).toBeUndefined();
  });
});
