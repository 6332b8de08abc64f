import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { ImageId, Offset } from '#domain/ids.js';
import { FolderImageStore } from './folder-image-store.js';
import { describeImageStore } from './image-store-for-tests.js';
import { custodyImageName } from './image-store.js';

const id = 'img/../1' as ImageId;
const at = (n: number): Offset => n as Offset;
const jpeg = Buffer.from('JFIF and a face '.repeat(200));

let home: string;

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'image-folder-'));
});
afterAll(() => rm(home, { recursive: true }));

async function filesOf(root: string): Promise<string[]> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}

describeImageStore('in a folder', async () => {
  const folder = await mkdtemp(join(home, 'store-'));
  return {
    open: (keyFile) => FolderImageStore.open(folder, keyFile),
    objects: async () => (await filesOf(folder)).map((path) => relative(folder, path)).toSorted(),
    read: (name) => readFile(join(folder, name)),
    write: async (name, bytes) => {
      await mkdir(dirname(join(folder, name)), { recursive: true });
      await writeFile(join(folder, name), bytes);
    },
  };
});

describe('a folder of images', () => {
  let folder: string;
  let store: FolderImageStore;

  beforeEach(async () => {
    folder = await mkdtemp(join(home, 'store-'));
    const keyFile = join(home, 'key');
    await writeFile(keyFile, randomBytes(32).toString('base64'));
    store = await FolderImageStore.open(folder, keyFile);
  });

  it('destroys what a writer that died had begun to write, too', async () => {
    await store.put(custodyImageName(id, at(3)), jpeg);
    const path = join(folder, custodyImageName(id, at(3)));
    await writeFile(`${path}.4711.abcdef01.tmp`, 'half');
    await writeFile(`${join(folder, custodyImageName(id, at(12)))}.4711.abcdef01.tmp`, 'half of a later one');
    expect(await store.deleteImages(id, at(10))).toBe(2);
    expect(await filesOf(folder)).toEqual([`${join(folder, custodyImageName(id, at(12)))}.4711.abcdef01.tmp`]);
  });

  it('leaves nothing half-written behind when a write fails', async () => {
    const name = custodyImageName(id, at(3));
    // A folder where the object should be: the last step, the rename, fails.
    await mkdir(join(folder, name, 'x'), { recursive: true });
    await expect(store.put(name, jpeg)).rejects.toThrow();
    expect(await filesOf(folder)).toEqual([]);
  });
});
