/**
 * Where custody images and open retrospective probes are kept: a folder here, an object store in production. Each object
 * is sealed with a key of its own (AES-256-GCM), which is wrapped by the store's key and kept with the object, so that
 * destroying the object destroys its key, and a copy of the disk shows nothing.
 *
 * File: `CFS1` · 12 B nonce, 48 B wrapped key (32 B + 16 B tag) · 12 B nonce, ciphertext, 16 B tag. The object's name is
 * authenticated in both layers: a file that is put under another name does not open.
 */
import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createSecretKey,
  randomBytes,
  type KeyObject,
} from 'node:crypto';
import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Failure } from '#domain/errors.js';
import type { ImageId, Offset, SearchId } from '#domain/ids.js';

export interface ImageStore {
  /** Replaces what is there, atomically. */
  put(name: ObjectName, bytes: Uint8Array): Promise<void>;
  /** @returns undefined when there is no such object */
  get(name: ObjectName): Promise<Buffer | undefined>;
  delete(name: ObjectName): Promise<void>;
  /** Destroys every version of a custody image that came from `through` or before. Inclusive. */
  deleteImages(id: ImageId, through: Offset): Promise<number>;
  /** Destroys every version that `current` replaces: those that came from before it. Exclusive. */
  deleteOlderImages(id: ImageId, current: Offset): Promise<number>;
}

export type ObjectName = string & { readonly __brand: 'ObjectName' };

/**
 * One object a version, named by the record that it came from: a late writer then never overwrites a newer image, and
 * an erasure knows which ones it covers.
 */
export function custodyImageName(id: ImageId, sourceOffset: Offset): ObjectName {
  const { folder, stem } = imagePrefix(id);
  return `${folder}/${stem}.${String(sourceOffset).padStart(16, '0')}.sealed` as ObjectName;
}

export function probeName(id: SearchId): ObjectName {
  return `probes/${id}.sealed` as ObjectName;
}

/**
 * imageIds are the custody system's: hashed, so that any is a safe file name, and spread over 4,096 folders, which hold
 * some 150 files each in a force's gallery.
 */
function imagePrefix(id: ImageId): { readonly folder: string; readonly stem: string } {
  const digest = createHash('sha256').update(id).digest('hex');
  return { folder: `custody/${digest.slice(0, 3)}`, stem: digest };
}

const MAGIC = Buffer.from('CFS1');
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const KEY_BYTES = 32;
/** Of a temporary file: two writers of one object have names of their own. */
const SUFFIX_BYTES = 4;

export class FolderImageStore implements ImageStore {
  private readonly made = new Set<string>();

  private constructor(
    private readonly folder: string,
    private readonly storeKey: KeyObject,
  ) {}

  /** @throws Failure IMAGE_STORE_KEY_UNREADABLE */
  static async open(folder: string, keyFile: string): Promise<FolderImageStore> {
    const key = await readFile(keyFile, 'utf8').then(
      (text) => Buffer.from(text.trim(), 'base64'),
      (error: unknown) => {
        throw new Failure('IMAGE_STORE_KEY_UNREADABLE', `The key in ${keyFile} cannot be read.`, false, {
          cause: error,
        });
      },
    );
    if (key.length !== KEY_BYTES) {
      throw new Failure('IMAGE_STORE_KEY_UNREADABLE', `${keyFile} does not hold 32 bytes in base64.`, false);
    }
    await mkdir(folder, { recursive: true });
    return new FolderImageStore(folder, createSecretKey(key));
  }

  async put(name: ObjectName, bytes: Uint8Array): Promise<void> {
    const random = randomBytes(KEY_BYTES + SUFFIX_BYTES);
    const dataKey = random.subarray(0, KEY_BYTES);
    const sealed = Buffer.concat([MAGIC, ...seal(this.storeKey, dataKey, name), ...seal(dataKey, bytes, name)]);
    dataKey.fill(0);
    const path = join(this.folder, name);
    const temporary = `${path}.${process.pid}.${random.toString('hex', KEY_BYTES)}.tmp`;
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
    let sealed: Buffer;
    try {
      sealed = await readFile(join(this.folder, name));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
    const wrappedEnd = MAGIC.length + NONCE_BYTES + KEY_BYTES + TAG_BYTES;
    try {
      if (!sealed.subarray(0, MAGIC.length).equals(MAGIC)) throw new Error('unknown format');
      const dataKey = unseal(this.storeKey, sealed.subarray(MAGIC.length, wrappedEnd), name);
      return unseal(dataKey, sealed.subarray(wrappedEnd), name);
    } catch (error) {
      throw new Failure(
        'IMAGE_UNSEALABLE',
        'A stored image cannot be opened: it was changed, or the key is another.',
        false,
        {
          cause: error,
        },
      );
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

  private async deleteVersions(id: ImageId, isToGo: (sourceOffset: number) => boolean): Promise<number> {
    const prefix = imagePrefix(id);
    const folder = join(this.folder, prefix.folder);
    const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return [];
      throw error;
    });
    // Temporary files of a writer that died carry the version's number too.
    const toGo = names.filter((name) => {
      const [stem, sourceOffset] = name.split('.');
      return stem === prefix.stem && isToGo(Number(sourceOffset));
    });
    for (const name of toGo) await rm(join(folder, name), { force: true });
    return toGo.length;
  }
}

/** @returns the pieces, in order: an image is copied once, when they are joined */
function seal(key: Buffer | KeyObject, bytes: Uint8Array, name: string): Buffer[] {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(Buffer.from(name));
  return [nonce, cipher.update(bytes), cipher.final(), cipher.getAuthTag()];
}

function unseal(key: Buffer | KeyObject, sealed: Buffer, name: string): Buffer {
  const tagStart = sealed.length - TAG_BYTES;
  const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(0, NONCE_BYTES), { authTagLength: TAG_BYTES })
    .setAAD(Buffer.from(name))
    .setAuthTag(sealed.subarray(tagStart));
  return Buffer.concat([decipher.update(sealed.subarray(NONCE_BYTES, tagStart)), decipher.final()]);
}
