/**
 * How an object of the image store is sealed: with a key of its own (AES-256-GCM), which is wrapped by the store's key
 * and kept with the object, so that destroying the object destroys its key, and a copy of the disk shows nothing.
 *
 * Object: `CFS1` · 12 B nonce, 48 B wrapped key (32 B + 16 B tag) · 12 B nonce, ciphertext, 16 B tag. The object's name
 * is authenticated in both layers: an object that is put under another name does not open.
 */
import { createCipheriv, createDecipheriv, createSecretKey, randomBytes, type KeyObject } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { Failure } from '#domain/errors.js';
import type { ObjectName } from './image-store.js';

const MAGIC = Buffer.from('CFS1');
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const KEY_BYTES = 32;

export class ImageSeal {
  /** @param keys the first seals; every one opens, so that a key can be replaced while objects of the former remain */
  private constructor(private readonly keys: readonly [KeyObject, ...KeyObject[]]) {}

  /**
   * @param keyFile one key a line, 32 bytes in base64: the one in use, then those before it
   * @throws Failure IMAGE_STORE_KEY_UNREADABLE
   */
  static async withKeysOf(keyFile: string): Promise<ImageSeal> {
    const unreadable = (text: string, cause?: unknown): Failure =>
      new Failure('IMAGE_STORE_KEY_UNREADABLE', text, false, { cause });
    const text = await readFile(keyFile, 'utf8').catch((error: unknown) => {
      throw unreadable(`The key in ${keyFile} cannot be read.`, error);
    });
    const [first, ...former] = text
      .trim()
      .split(/\s+/)
      .map((line) => {
        const key = Buffer.from(line, 'base64');
        if (key.length !== KEY_BYTES) throw unreadable(`${keyFile} does not hold keys of 32 bytes in base64.`);
        return createSecretKey(key);
      });
    return new ImageSeal([first!, ...former]);
  }

  seal(name: ObjectName, bytes: Uint8Array): Buffer {
    const dataKey = randomBytes(KEY_BYTES);
    const sealed = Buffer.concat([MAGIC, ...seal(this.keys[0], dataKey, name), ...seal(dataKey, bytes, name)]);
    dataKey.fill(0);
    return sealed;
  }

  /** @throws Failure IMAGE_UNSEALABLE */
  open(name: ObjectName, sealed: Buffer): Buffer {
    const wrappedEnd = MAGIC.length + NONCE_BYTES + KEY_BYTES + TAG_BYTES;
    try {
      if (!sealed.subarray(0, MAGIC.length).equals(MAGIC)) throw new Error('unknown format');
      const dataKey = this.unwrap(name, sealed.subarray(MAGIC.length, wrappedEnd));
      try {
        return unseal(dataKey, sealed.subarray(wrappedEnd), name);
      } finally {
        dataKey.fill(0);
      }
    } catch (cause) {
      throw new Failure(
        'IMAGE_UNSEALABLE',
        'A stored image cannot be opened: it was changed, or the key is another.',
        false,
        { cause },
      );
    }
  }

  private unwrap(name: ObjectName, wrapped: Buffer): Buffer {
    let first: unknown;
    for (const key of this.keys) {
      try {
        return unseal(key, wrapped, name);
      } catch (error) {
        first ??= error;
      }
    }
    throw first;
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
