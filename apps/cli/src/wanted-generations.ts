/** Which model packs a local installation is to use: written by the commands, carried out by `custody up`. */
import { join } from 'node:path';
import { z } from 'zod';
import { readStateFile, writeStateFile } from './state-file.js';

const folderSchema = z.string().min(1).nullable();
const wantedSchema = z.strictObject({
  /** The model pack that ingest enrols with; null: the one of the deployment. Taken up at the next start. */
  base: folderSchema,
  /** The model pack whose gallery is built beside. */
  next: folderSchema,
  /** The model pack that ingest enrolled with before: what it wrote last is still to be followed. */
  former: folderSchema,
});
export type WantedGenerations = z.infer<typeof wantedSchema>;

function wantedFile(dataFolder: string): string {
  return join(dataFolder, 'generations.json');
}

/** @throws Failure STATE_FILE_UNREADABLE */
export async function readWantedGenerations(dataFolder: string): Promise<WantedGenerations> {
  return (await readStateFile(wantedFile(dataFolder), wantedSchema)) ?? { base: null, next: null, former: null };
}

export async function writeWantedGenerations(dataFolder: string, wanted: WantedGenerations): Promise<void> {
  await writeStateFile(wantedFile(dataFolder), wanted);
}
