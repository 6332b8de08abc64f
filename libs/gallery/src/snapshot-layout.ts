/**
 * Where the snapshots of an index process lie: `<SNAPSHOT_DIR>/<modelId>/worker-<i>-of-<N>/`, each folder one worker's.
 *
 * The folders of a former model or number of workers are read by nobody, so that no erasure would ever reach the
 * templates in them: they are removed at the start. A folder is one process's own.
 */
import { join } from 'node:path';
import { Failure } from '#domain/errors.js';
import type { ModelId } from '#domain/ids.js';
import type { SnapshotFs } from './snapshot-files.js';

const MODEL_FOLDER = /^[0-9a-f]{16}$/;
const WORKER_FOLDER = /^worker-\d+-of-\d+$/;

export function workerSnapshotFolder(snapshotDir: string, modelId: ModelId, worker: number, workers: number): string {
  return join(snapshotDir, modelId, `worker-${worker}-of-${workers}`);
}

/**
 * What has another name than a snapshot folder could have is left alone.
 *
 * @param workers of this process, now
 * @returns the folders that were removed, for the log
 * @throws Failure SNAPSHOT_OLD_NOT_REMOVED
 */
export async function removeFormerSnapshots(
  fs: SnapshotFs,
  snapshotDir: string,
  modelId: ModelId,
  workers: number,
): Promise<string[]> {
  try {
    const models = (await fs.list(snapshotDir)).filter((name) => MODEL_FOLDER.test(name) && name !== modelId);
    const ours = join(snapshotDir, modelId);
    const current = Array.from({ length: workers }, (_, worker) => `worker-${worker}-of-${workers}`);
    const folders = (await fs.list(ours)).filter((name) => WORKER_FOLDER.test(name) && !current.includes(name));
    await removeAll(fs, snapshotDir, models);
    await removeAll(fs, ours, folders);
    return [...models, ...folders.map((name) => join(modelId, name))];
  } catch (cause) {
    throw new Failure('SNAPSHOT_OLD_NOT_REMOVED', 'A snapshot of a former layout could not be removed.', true, {
      cause,
    });
  }
}

async function removeAll(fs: SnapshotFs, folder: string, names: readonly string[]): Promise<void> {
  for (const name of names) await fs.remove(join(folder, name));
  if (names.length > 0) await fs.syncFolder(folder);
}
