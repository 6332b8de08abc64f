/** The image store as a folder: each object a file, replaced atomically. */
import { randomBytes } from 'node:crypto';
import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { ImageId, Offset } from '#domain/ids.js';
import { ImageSeal } from './image-seal.js';
import {
  imagePrefix,
  latestVersion,
  versionsOf,
  type ImageStore,
  type ObjectName,
  type SealedObjects,
} from './image-store.js';

/** Of a temporary file: two writers of one object have names of their own. */
const SUFFIX_BYTES = 4;

export class FolderImageStore implements ImageStore, SealedObjects {
  private readonly made = new Set<string>();

  private constructor(
    private readonly folder: string,
    private readonly seal: ImageSeal,
  ) {}

  /** @throws Failure IMAGE_STORE_KEY_UNREADABLE */
  static async open(folder: string, keyFile: string): Promise<FolderImageStore> {
    const seal = await ImageSeal.withKeysOf(keyFile);
    await mkdir(folder, { recursive: true });
    return new FolderImageStore(folder, seal);
  }

  async put(name: ObjectName, bytes: Uint8Array): Promise<void> {
    await this.putSealed(name, this.seal.seal(name, bytes));
  }

  async putSealed(name: ObjectName, sealed: Uint8Array): Promise<void> {
    const path = join(this.folder, name);
    const temporary = `${path}.${process.pid}.${randomBytes(SUFFIX_BYTES).toString('hex')}.tmp`;
    await this.makeFolder(dirname(path));
    const file = await open(temporary, 'wx', 0o600);
    try {
      try {
        await file.writeFile(sealed);
        await file.datasync();
      } finally {
        await file.close();
      }
      await rename(temporary, path);
    } catch (error) {
      await rm(temporary, { force: true });
      throw error;
    }
  }

  /** Asked of the file system once a folder, not once an image. */
  private async makeFolder(folder: string): Promise<void> {
    if (this.made.has(folder)) return;
    await mkdir(folder, { recursive: true });
    this.made.add(folder);
  }

  async get(name: ObjectName): Promise<Buffer | undefined> {
    const sealed = await this.getSealed(name);
    return sealed && this.seal.open(name, sealed);
  }

  async getSealed(name: ObjectName): Promise<Buffer | undefined> {
    try {
      return await readFile(join(this.folder, name));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
  }

  names(after?: ObjectName): AsyncIterable<ObjectName> {
    return this.namesUnder('', after ?? '');
  }

  /** A folder at a time: a force's gallery has 4,096. */
  private async *namesUnder(prefix: string, after: string): AsyncIterable<ObjectName> {
    const found = await readdir(join(this.folder, prefix), { withFileTypes: true });
    for (const entry of found.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
      const name = `${prefix}${entry.name}`;
      const isBefore = after >= name && !after.startsWith(`${name}/`);
      if (isBefore) continue;
      if (entry.isDirectory()) yield* this.namesUnder(`${name}/`, after);
      // What a writer left unfinished is none.
      else if (name.endsWith('.sealed')) yield name as ObjectName;
    }
  }

  async delete(name: ObjectName): Promise<void> {
    await rm(join(this.folder, name), { force: true });
  }

  deleteImages(id: ImageId, through: Offset): Promise<number> {
    return this.deleteVersions(id, (sourceOffset) => sourceOffset <= through);
  }

  deleteOlderImages(id: ImageId, current: Offset): Promise<number> {
    return this.deleteVersions(id, (sourceOffset) => sourceOffset < current);
  }

  async latestImage(id: ImageId): Promise<Offset | undefined> {
    return latestVersion(versionsOf(id, await this.namesIn(join(this.folder, imagePrefix(id).folder))));
  }

  private async namesIn(folder: string): Promise<string[]> {
    return readdir(folder).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return [];
      throw error;
    });
  }

  private async deleteVersions(id: ImageId, isToGo: (sourceOffset: Offset) => boolean): Promise<number> {
    const folder = join(this.folder, imagePrefix(id).folder);
    const versions = versionsOf(id, await this.namesIn(folder));
    const toGo = versions.filter(({ sourceOffset }) => isToGo(sourceOffset));
    for (const { fileName } of toGo) await rm(join(folder, fileName), { force: true });
    return toGo.length;
  }
}
