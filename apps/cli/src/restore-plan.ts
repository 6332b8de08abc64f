/**
 * Where each log of a restore begins and ends, which no restart may change: it is kept in DATA_DIR until the restore is
 * done, and an interrupted restore is gone on with by it.
 */
import { join } from 'node:path';
import { z } from 'zod';
import { CUSTODY_IMAGES } from '#contracts/topics.js';
import type { Offset } from '#domain/ids.js';
import type { BackupStream } from './backup-manifest.js';
import { readStateFile, writeStateFile } from './state-file.js';

const planSchema = z.object({
  backupId: z.string(),
  /** Of the newer decisions; null where there are none. */
  decisionsId: z.string().nullable(),
  /** By topic and partition: where the first restored record stands. Inclusive. */
  starts: z.record(z.string(), z.record(z.string(), z.number().int().nonnegative())),
  /** Segments of objects that are in the image store. */
  objectSegments: z.number().int().nonnegative(),
  done: z.boolean(),
});
export type RestorePlan = z.infer<typeof planSchema>;

function planFile(dataFolder: string, clusterId: string): string {
  return join(dataFolder, 'restores', `${clusterId}.json`);
}

export function readPlan(dataFolder: string, clusterId: string): Promise<RestorePlan | undefined> {
  return readStateFile(planFile(dataFolder, clusterId), planSchema);
}

export function writePlan(dataFolder: string, clusterId: string, plan: RestorePlan): Promise<void> {
  return writeStateFile(planFile(dataFolder, clusterId), plan);
}

/**
 * Every log ends where it ended, so that each record stands where it stood or behind, in the same order, and what comes
 * later gets an offset that no record had before. `custody.images` goes on beyond every photograph that came after the
 * backup, too: templates, dispositions and objects are named by its offsets, and some of them may have survived.
 *
 * @param beyond by partition of `custody.images`: exclusive, of what decisions refer to
 * @param marginOffsets more than photographs came in any partition since the backup
 */
export function startsOf(
  stream: BackupStream,
  beyond: (partition: number) => Offset,
  marginOffsets: number,
): Record<string, number> {
  const isImages = stream.name === CUSTODY_IMAGES;
  return Object.fromEntries(
    Object.entries(stream.ends).map(([partition, end]) => {
      const records = stream.records[partition] ?? 0;
      return [partition, isImages ? Math.max(end, beyond(Number(partition))) + marginOffsets : end - records];
    }),
  );
}
