import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { modelId } from '#domain/ids.js';
import { diskSnapshotFs, type SnapshotFs } from './snapshot-files.js';
import { removeFormerSnapshots, workerSnapshotFolder } from './snapshot-layout.js';

const MODEL = modelId('0123456789abcdef');
const FORMER_MODEL = modelId('fedcba9876543210');

let base: string;

beforeEach(async () => {
  base = await mkdtemp(join(tmpdir(), 'snapshots-'));
});
afterEach(() => rm(base, { recursive: true, force: true }));

async function write(path: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, 'templates');
}

async function filesLeft(): Promise<string[]> {
  const entries = await readdir(base, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(base.length + 1))
    .sort();
}

describe('the snapshots of a former layout', () => {
  it('are removed with all they hold, and nothing else is', async () => {
    const vectors = (model: typeof MODEL, worker: number, workers: number): string =>
      join(workerSnapshotFolder(base, model, worker, workers), '7', 'vectors.f32');
    await write(vectors(MODEL, 0, 1));
    await write(vectors(MODEL, 2, 4));
    await write(join(workerSnapshotFolder(base, MODEL, 1, 4), 'quarantine-3-SNAPSHOT_CORRUPT', 'vectors.f32'));
    await write(vectors(FORMER_MODEL, 0, 2));
    await write(vectors(MODEL, 0, 2));
    await write(vectors(MODEL, 1, 2));
    await write(join(base, 'lost+found', 'x'));
    await write(join(base, MODEL, 'notes.txt'));
    expect((await removeFormerSnapshots(diskSnapshotFs, base, MODEL, 2)).sort()).toEqual([
      `${MODEL}/worker-0-of-1`,
      `${MODEL}/worker-1-of-4`,
      `${MODEL}/worker-2-of-4`,
      FORMER_MODEL,
    ]);
    expect(await filesLeft()).toEqual([
      `${MODEL}/notes.txt`,
      `${MODEL}/worker-0-of-2/7/vectors.f32`,
      `${MODEL}/worker-1-of-2/7/vectors.f32`,
      'lost+found/x',
    ]);
    expect(await removeFormerSnapshots(diskSnapshotFs, base, MODEL, 2)).toEqual([]);
  });

  it('are none where nothing was ever written', async () => {
    expect(await removeFormerSnapshots(diskSnapshotFs, join(base, 'nowhere'), MODEL, 1)).toEqual([]);
  });

  it('that cannot be removed are said with SNAPSHOT_OLD_NOT_REMOVED', async () => {
    await write(join(base, FORMER_MODEL, 'worker-0-of-1', '1', 'vectors.f32'));
    const readOnly: SnapshotFs = { ...diskSnapshotFs, remove: () => Promise.reject(new Error('EROFS')) };
    await expect(removeFormerSnapshots(readOnly, base, MODEL, 1)).rejects.toMatchObject({
      code: 'SNAPSHOT_OLD_NOT_REMOVED',
      retryable: true,
    });
  });
});
