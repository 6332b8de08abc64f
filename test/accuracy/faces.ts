/** Labeled Faces in the Wild as the measurements use it: who has images, and which is enrolled. */
import { existsSync } from 'node:fs';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { FACES_FOLDER } from '#testkit/running-system.js';

export interface Person {
  readonly subjectId: string;
  /** Paths, sorted by name. */
  readonly images: readonly string[];
}

export const haveFaces = existsSync(FACES_FOLDER);

export async function people(): Promise<Person[]> {
  const entries = await readdir(FACES_FOLDER, { withFileTypes: true });
  const found: Person[] = [];
  for (const { name } of entries.filter((entry) => entry.isDirectory()).sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const images = (await readdir(join(FACES_FOLDER, name))).sort().map((image) => join(FACES_FOLDER, name, image));
    found.push({ subjectId: name, images });
  }
  return found;
}

export function imageIdOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1, -'.jpg'.length);
}

/** A CSV for `custody enrol` with the first image of each person. */
export async function writeFirstImages(list: readonly Person[], file: string): Promise<void> {
  const rows = list.map(({ subjectId, images }) => `${imageIdOf(images[0]!)},${subjectId},${images[0]!}`);
  await writeFile(file, `imageId,subjectId,file\n${rows.join('\n')}\n`);
}

export function readProbe(person: Person): Promise<Buffer> {
  return readFile(person.images[1]!);
}
