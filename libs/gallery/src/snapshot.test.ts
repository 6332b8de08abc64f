import { spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, statfs, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { imageId, modelId, offset, subjectId } from '#domain/ids.js';
import { GalleryShard } from './gallery-shard.js';
import { SnapshotFolder, type RestoredSnapshot } from './snapshot.js';
import { diskSnapshotFs, type SnapshotFs } from './snapshot-files.js';
import { decodeManifest, encodeManifest, type SnapshotIdentity, type SnapshotManifest } from './snapshot-manifest.js';
import { faceLikeVector, seededRandom } from './vectors-for-tests.js';

const DIMENSION = 32;
const IDENTITY: SnapshotIdentity = {
  clusterId: 'MkU3OEVBNTcwNTJENDM2Qg',
  modelId: modelId('0123456789abcdef'),
  dimension: DIMENSION,
  layout: { shards: 2, shard: 1, workers: 1, worker: 0 },
  partitions: [1, 3],
};

let base: string;

beforeEach(async () => {
  base = join(await mkdtemp(join(tmpdir(), 'snapshot-')), 'shard-0');
});

afterEach(async () => {
  await rm(join(base, '..'), { recursive: true, force: true });
});

function createShard(dimension = DIMENSION): GalleryShard {
  return new GalleryShard({ dimension, partitions: IDENTITY.partitions, autoExactMaxTemplates: 0 });
}

function fill(shard: GalleryShard, from: number, count: number): void {
  const random = seededRandom(from);
  for (let i = from; i < from + count; i++) {
    const id = imageId(`i${i}`);
    shard.apply({
      kind: 'template',
      partition: 1 + 2 * (i % 2),
      offset: offset(i),
      imageId: id,
      timestampMs: 0,
      vector: faceLikeVector(random, DIMENSION),
      metadata: { imageId: id, subjectId: subjectId(`s${i >> 1}`), force: 'Dyfed-Powys – Heddlu' },
      source: { sourceOffset: offset(i), acceptedAtMs: 1000 + i },
    });
  }
}

function folder(fs: SnapshotFs = diskSnapshotFs, identity = IDENTITY): SnapshotFolder {
  return new SnapshotFolder(fs, base, identity);
}

function restore(identity = IDENTITY): Promise<RestoredSnapshot> {
  return folder(diskSnapshotFs, identity).restore(() => createShard(identity.dimension));
}

function searches(shard: GalleryShard): unknown {
  const random = seededRandom(99);
  return (['exact', 'approximate'] as const).map((mode) =>
    Array.from({ length: 5 }, () => shard.search({ probe: faceLikeVector(random, DIMENSION), k: 10, mode })),
  );
}

async function names(): Promise<string[]> {
  return (await readdir(base)).sort();
}

describe('a snapshot', () => {
  it('brings back the same answers, offsets and digest, with part of the templates not in the graph yet', async () => {
    const shard = createShard();
    fill(shard, 0, 500);
    shard.approximate.build(Infinity);
    for (let i = 0; i < 40; i++) {
      const at = { partition: 1 + 2 * (i % 2), offset: offset(500 + i), imageId: imageId(`i${i}`), timestampMs: 0 };
      shard.apply({ ...at, kind: 'tombstone' });
    }
    fill(shard, 600, 30);
    expect(shard.approximate).toMatchObject({ pending: 30, tombstones: 40 });
    const report = await folder().write(shard, shard.nextOffsets(), false);
    expect(report).toMatchObject({ sequence: 1, templates: 490 });

    const { shard: restored, sequence, notices } = await restore();
    expect({ sequence, notices }).toEqual({ sequence: 1, notices: [] });
    expect(restored.digest()).toBe(shard.digest());
    expect(restored.nextOffsets()).toEqual(shard.nextOffsets());
    expect(restored.approximate).toMatchObject({ pending: 30, tombstones: 40, approximateSize: 460 });
    expect(JSON.stringify(searches(restored))).toBe(JSON.stringify(searches(shard)));
    expect(restored.templateOf(imageId('i77'))).toEqual(shard.templateOf(imageId('i77')));

    fill(restored, 700, 10);
    restored.approximate.build(Infinity);
    expect(restored.approximate).toMatchObject({ pending: 0, approximateSize: 500 });
  });

  it('keeps what is unusable, and the digest of each partition', async () => {
    const shard = createShard();
    fill(shard, 0, 20);
    const place = { partition: 3, imageId: imageId('bad'), reason: 'test' };
    shard.apply({ ...place, kind: 'unusable', offset: offset(50), timestampMs: 77, sourceOffset: offset(9) });
    shard.apply({ ...place, imageId: imageId('worse'), kind: 'unusable', offset: offset(51), timestampMs: 78 });
    await folder().write(shard, shard.nextOffsets(), false);
    const { shard: restored } = await restore();
    expect(restored.partitionDigests()).toEqual(shard.partitionDigests());
    expect(restored.coverage()).toMatchObject([{ unusable: 0 }, { unusable: 2 }]);
    expect([...restored.unusableImages()]).toEqual([
      ['bad', { partition: 3, sourceOffset: 9, timestampMs: 77 }],
      ['worse', { partition: 3, sourceOffset: undefined, timestampMs: 78 }],
    ]);
    fill(restored, 100, 5);
    expect(joined(restored)).toBe(restored.digest());
  });

  it('writes what it counts when a disposition takes an unusable image out meanwhile', async () => {
    const shard = createShard();
    const place = { partition: 3, offset: offset(1), imageId: imageId('bad'), timestampMs: 0, reason: 'test' };
    shard.apply({ ...place, kind: 'unusable', sourceOffset: offset(9) });
    const meanwhile: SnapshotFs = {
      ...diskSnapshotFs,
      open(path, flags) {
        const why = { since: '2026-01-01T00:00:00Z', authority: 'dpo', reason: 'test', sourceOffset: offset(9) };
        shard.setDisposition(imageId('bad'), { imageId: imageId('bad'), kind: 'erased', ...why }, 'later');
        return diskSnapshotFs.open(path, flags);
      },
    };
    await folder(meanwhile).write(shard, shard.nextOffsets(), false);
    const { notices, shard: restored } = await restore();
    expect(notices).toEqual([]);
    expect([...restored.unusableImages()]).toHaveLength(1);
  });

  it('is not begun on a disk without room, and removes nothing to make some', async () => {
    const shard = createShard();
    fill(shard, 0, 100);
    await folder().write(shard, shard.nextOffsets(), false);
    const opened: string[] = [];
    const full = (freeBytes: number): SnapshotFs => ({
      ...diskSnapshotFs,
      freeBytes: () => Promise.resolve(freeBytes),
      open(path, flags) {
        opened.push(path);
        return diskSnapshotFs.open(path, flags);
      },
    });
    const needed = folder().neededBytes(shard);
    await expect(folder(full(needed)).write(shard, shard.nextOffsets(), true)).rejects.toMatchObject({
      code: 'SNAPSHOT_NO_SPACE',
      retryable: true,
    });
    expect(opened).toEqual([]);
    expect(await names()).toEqual(['1']);
    const { sizeBytes } = await folder(full(2 * needed + 2 ** 24)).write(shard, shard.nextOffsets(), true);
    expect(sizeBytes).toBeLessThan(needed);
    expect(await names()).toEqual(['2']);
  });

  it('survives a disk that is really full, at whichever file, and is written when there is room', async ({ skip }) => {
    await mkdir(base, { recursive: true });
    const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', base]).status === 0;
    if (!mounted) skip('a file system cannot be mounted here');
    try {
      const shard = createShard();
      fill(shard, 0, 300);
      shard.approximate.build(Infinity);
      await folder(roomy).write(shard, shard.nextOffsets(), false);
      const before = shard.digest();
      fill(shard, 300, 20);
      // Ever less room: for the graph no more, for the vectors no more, for the entries no more.
      for (const leftBytes of [200_000, 90_000, 40_000, 4_096]) {
        const { bavail, bsize } = await statfs(base);
        await writeFile(join(base, 'ballast'), new Uint8Array(bavail * bsize - leftBytes));
        await expect(folder(roomy).write(shard, shard.nextOffsets(), false)).rejects.toMatchObject({
          code: 'SNAPSHOT_NO_SPACE',
        });
        await rm(join(base, 'ballast'));
        expect(await names(), `${leftBytes} bytes left`).toEqual(['1']);
        expect((await restore()).shard.digest()).toBe(before);
      }
      await folder(roomy).write(shard, shard.nextOffsets(), false);
      expect((await restore()).shard.digest()).toBe(shard.digest());
    } finally {
      spawnSync('umount', [base]);
    }
  }, 60_000);

  it('costs a start nothing when the disk fails at any step of it', async () => {
    const shard = createShard();
    fill(shard, 0, 60);
    shard.approximate.build(Infinity);
    const seen = new Set<string>();
    for (let step = 1; ; step++) {
      await rm(base, { recursive: true, force: true });
      await folder().write(shard, shard.nextOffsets(), true);
      const faulty = failingAt(step);
      const fs: SnapshotFs = { ...faulty.fs, list: (path) => faulty.count('list', () => diskSnapshotFs.list(path)) };
      const restored = await folder(fs).restore(createShard);
      if (faulty.failed() === '') break;
      seen.add(faulty.failed());
      expect(restored.notices.length, faulty.failed()).toBeGreaterThan(0);
      expect([0, 60]).toContain(restored.shard.size);
    }
    expect([...seen].sort()).toEqual(['list', 'open', 'read', 'sizeBytes', 'syncFolder']);
  }, 60_000);

  it('can be of an empty shard', async () => {
    const shard = createShard();
    shard.advance(1, offset(12));
    await folder().write(shard, shard.nextOffsets(), false);
    const { shard: restored } = await restore();
    expect(restored.size).toBe(0);
    expect(restored.nextOffsets().get(1)).toBe(12);
  });

  it('leaves the newest two, and after an erasure only the new one, with nothing set aside', async () => {
    const shard = createShard();
    for (let i = 0; i < 3; i++) {
      fill(shard, i * 10, 10);
      await folder().write(shard, shard.nextOffsets(), false);
    }
    expect(await names()).toEqual(['2', '3']);
    await truncate(join(base, '3', 'vectors.f32'), 5);
    expect((await restore()).sequence).toBe(2);
    await diskSnapshotFs.makeFolder(join(base, 'tmp-9'));
    expect(await names()).toEqual(['2', 'quarantine-3-SNAPSHOT_CORRUPT', 'tmp-9']);
    expect((await folder().write(shard, shard.nextOffsets(), true)).sequence).toBe(4);
    expect(await names()).toEqual(['4']);
  });

  it('finishes at the next start what a crash left of removing the older ones', async () => {
    const shard = createShard();
    fill(shard, 0, 10);
    await folder().write(shard, shard.nextOffsets(), false);
    const failing: SnapshotFs = {
      ...diskSnapshotFs,
      remove: (path) => (path.endsWith('/1') ? Promise.reject(new Error('EIO')) : diskSnapshotFs.remove(path)),
    };
    await expect(folder(failing).write(shard, shard.nextOffsets(), true)).rejects.toMatchObject({
      code: 'SNAPSHOT_OLD_NOT_REMOVED',
    });
    expect(await names()).toEqual(['1', '2']);
    expect((await restore()).sequence).toBe(2);
    expect(await names()).toEqual(['2']);
  });

  for (const name of ['entries.bin', 'vectors.f32', 'codes.bin', 'manifest.json']) {
    for (const harm of ['a flipped bit', 'a missing end', 'absence'] as const) {
      it(`is set aside for ${harm} of ${name}, and the one before it takes over`, async () => {
        const shard = createShard();
        fill(shard, 0, 100);
        await folder().write(shard, shard.nextOffsets(), false);
        const first = shard.digest();
        fill(shard, 100, 50);
        await folder().write(shard, shard.nextOffsets(), false);
        await damage(join(base, '2', name), harm);
        const restored = await restore();
        expect(restored.sequence).toBe(1);
        expect(restored.notices).toEqual([
          expect.stringMatching(/^snapshot 2 set aside: SNAPSHOT_(CORRUPT|UNREADABLE)$/),
        ]);
        expect(restored.shard.digest()).toBe(first);
        expect((await names()).map((n) => n.replace(/-SNAPSHOT.*/, ''))).toEqual(['1', 'quarantine-2']);
      });
    }
  }

  for (const harm of ['a flipped bit', 'a missing end', 'absence'] as const) {
    it(`is used without its graph for ${harm} of hnsw.bin, which is built anew`, async () => {
      const shard = createShard();
      fill(shard, 0, 100);
      shard.approximate.build(Infinity);
      await folder().write(shard, shard.nextOffsets(), false);
      await damage(join(base, '1', 'hnsw.bin'), harm);
      const restored = await restore();
      expect(restored.sequence).toBe(1);
      expect(restored.notices).toEqual([expect.stringContaining('its graph is built anew')]);
      expect(restored.shard.approximate).toMatchObject({ pending: 100, approximateSize: 0 });
      expect(restored.shard.digest()).toBe(shard.digest());
    });
  }

  it('is refused by name when it is of another model, dimension, layout or format', async () => {
    const cases: [string, SnapshotIdentity][] = [
      ['SNAPSHOT_MODEL_DIFFERS', { ...IDENTITY, modelId: modelId('fedcba9876543210') }],
      ['SNAPSHOT_DIMENSION_DIFFERS', { ...IDENTITY, dimension: 64 }],
      ['SNAPSHOT_LAYOUT_DIFFERS', { ...IDENTITY, layout: { ...IDENTITY.layout, workers: 2 } }],
      ['SNAPSHOT_LAYOUT_DIFFERS', { ...IDENTITY, partitions: [1, 5] }],
      ['SNAPSHOT_OTHER_LOG', { ...IDENTITY, clusterId: 'TnE4Rk1vUXhTN1dIYjFhMw' }],
    ];
    for (const [code, identity] of cases) {
      const shard = createShard();
      fill(shard, 0, 10);
      const { sequence } = await folder().write(shard, shard.nextOffsets(), true);
      const restored = await restore(identity);
      expect(restored.notices).toEqual([`snapshot ${sequence} set aside: ${code}`]);
      expect(restored.shard.size).toBe(0);
    }
    const text = Buffer.from(encodeManifest({ ...IDENTITY, formatVersion: 1 } as SnapshotManifest)).toString();
    expect(() => decodeManifest(text, IDENTITY)).toThrow('SNAPSHOT_VERSION_UNKNOWN');
  });

  it('is whole or absent, whichever step of writing it fails', async () => {
    const shard = createShard();
    fill(shard, 0, 60);
    shard.approximate.build(Infinity);
    await folder().write(shard, shard.nextOffsets(), false);
    const before = shard.digest();
    fill(shard, 60, 20);
    shard.approximate.build(Infinity);
    const after = shard.digest();
    const failedAt = new Set<string>();
    for (let step = 1; ; step++) {
      const faulty = failingAt(step);
      const outcome = await folder(faulty.fs)
        .write(shard, shard.nextOffsets(), false)
        .then(
          () => 'written',
          (error: unknown) => error,
        );
      if (outcome === 'written') break;
      failedAt.add(faulty.failed());
      expect(outcome).toMatchObject({
        code: expect.stringMatching(/^SNAPSHOT_(NOT_WRITTEN|OLD_NOT_REMOVED)$/),
        retryable: true,
      });
      const { shard: restored, notices } = await restore();
      expect(notices, `after failing ${faulty.failed()}`).toEqual([]);
      // A numbered folder was verified before it got its number, so the newer one is as good.
      expect([before, after]).toContain(restored.digest());
      expect((await names()).every((name) => /^\d+$/.test(name))).toBe(true);
      await rm(base, { recursive: true });
      const again = createShard();
      fill(again, 0, 60);
      await folder().write(again, again.nextOffsets(), false);
    }
    expect([...failedAt].sort()).toEqual([
      'makeFolder',
      'open',
      'read',
      'rename',
      'sizeBytes',
      'sync',
      'syncFolder',
      'write',
    ]);
    expect((await restore()).shard.digest()).toBe(after);
  }, 60_000);

  it('is not counted as written when the disk lost what native code wrote', async () => {
    const shard = createShard();
    fill(shard, 0, 60);
    shard.approximate.build(Infinity);
    const losing: SnapshotFs = {
      ...diskSnapshotFs,
      async open(path, flags) {
        // As after a full disk: the library says that all is well, and the end of the file is missing.
        if (flags === 'r+') await truncate(path, (await diskSnapshotFs.sizeBytes(path)) - 100);
        return diskSnapshotFs.open(path, flags);
      },
    };
    await expect(folder(losing).write(shard, shard.nextOffsets(), false)).rejects.toMatchObject({
      code: 'SNAPSHOT_NOT_WRITTEN',
    });
    expect(await names()).toEqual([]);
  });
});

async function damage(path: string, harm: 'a flipped bit' | 'a missing end' | 'absence'): Promise<void> {
  if (harm === 'absence') return rm(path);
  const bytes = await readFile(path);
  if (harm === 'a missing end') return truncate(path, bytes.length - 1);
  const at = Math.floor(bytes.length / 2);
  bytes[at] = bytes[at]! ^ 1;
  await writeFile(path, bytes);
}

/** Says that there is room, so that the writing meets the full disk. */
const roomy: SnapshotFs = {
  ...diskSnapshotFs,
  freeBytes: async (path) => (path.includes('/tmp-') ? Infinity : diskSnapshotFs.freeBytes(path)),
};

/** The digests of all partitions, by exclusive or. */
function joined(shard: GalleryShard): string {
  const sum = new Uint8Array(32);
  for (const { digest } of shard.partitionDigests()) {
    Buffer.from(digest, 'hex').forEach((byte, i) => {
      sum[i]! ^= byte;
    });
  }
  return Buffer.from(sum).toString('hex');
}

/** Fails the `step`-th call that matters; removing goes on working, as when a full disk is made room on. */
function failingAt(step: number): {
  fs: SnapshotFs;
  count: <T>(name: string, go: () => Promise<T>) => Promise<T>;
  failed: () => string;
} {
  let calls = 0;
  let failed = '';
  const count = async <T>(name: string, go: () => Promise<T>): Promise<T> => {
    if (++calls === step) {
      failed = name;
      throw new Error(`ENOSPC in ${name}`);
    }
    return go();
  };
  const fs: SnapshotFs = {
    ...diskSnapshotFs,
    makeFolder: (path) => count('makeFolder', () => diskSnapshotFs.makeFolder(path)),
    rename: (from, to) => count('rename', () => diskSnapshotFs.rename(from, to)),
    sizeBytes: (path) => count('sizeBytes', () => diskSnapshotFs.sizeBytes(path)),
    syncFolder: (path) => count('syncFolder', () => diskSnapshotFs.syncFolder(path)),
    async open(path, flags) {
      const file = await count('open', () => diskSnapshotFs.open(path, flags));
      return {
        write: (bytes) => count('write', () => file.write(bytes)),
        read: (into) => count('read', () => file.read(into)),
        sync: () => count('sync', () => file.sync()),
        close: () => file.close(),
      };
    },
  };
  return { fs, count, failed: () => failed };
}
