/**
 * Small files under DATA_DIR by which `custody up` and the commands beside it tell each other what is wanted and what is
 * so. Each has one writer, and is replaced as a whole: a reader sees the old one or the new one.
 */
import { mkdir, open, readFile, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { z } from 'zod';
import { Failure } from '#domain/errors.js';

export async function writeStateFile(file: string, state: unknown): Promise<void> {
  await mkdir(dirname(file), { recursive: true });
  const temporary = `${file}.${process.pid}.tmp`;
  const handle = await open(temporary, 'w', 0o600);
  try {
    await handle.writeFile(`${JSON.stringify(state, null, 2)}\n`);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(temporary, file);
}

/** @returns undefined when there is none @throws Failure STATE_FILE_UNREADABLE */
export async function readStateFile<T>(file: string, schema: z.ZodType<T>): Promise<T | undefined> {
  try {
    return schema.parse(JSON.parse(await readFile(file, 'utf8')));
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new Failure(
      'STATE_FILE_UNREADABLE',
      `${file} is not what this program writes: put it right, or remove it.`,
      false,
      { cause },
    );
  }
}
