/**
 * Where custody images and open retrospective probes are kept: a folder (folder-image-store.ts), or in production a
 * bucket (s3-image-store.ts). Either holds sealed objects only (image-seal.ts).
 */
import { createHash } from 'node:crypto';
import type { ImageId, Offset, SearchId } from '#domain/ids.js';

export interface ImageStore {
  /** Replaces what is there, atomically. */
  put(name: ObjectName, bytes: Uint8Array): Promise<void>;
  /** @returns undefined when there is no such object */
  get(name: ObjectName): Promise<Buffer | undefined>;
  delete(name: ObjectName): Promise<void>;
  /** Destroys every version of a custody image that came from `through` or before. Inclusive. */
  deleteImages(id: ImageId, through: Offset): Promise<number>;
  /** The version of a custody image that came last, by the record that it came from; undefined when none is held. */
  latestImage(id: ImageId): Promise<Offset | undefined>;
  /** Destroys every version that `current` replaces: those that came from before it. Exclusive. */
  deleteOlderImages(id: ImageId, current: Offset): Promise<number>;
}

/** The objects as they lie there, for a copy that needs no key. */
export interface SealedObjects {
  /** The names of all objects in the order of their bytes: those after `after`, exclusive. */
  names(after?: ObjectName): AsyncIterable<ObjectName>;
  /** @returns undefined when there is no such object */
  getSealed(name: ObjectName): Promise<Buffer | undefined>;
  /** Puts back what {@link getSealed} gave, atomically. Whether a key here opens it shows when it is read. */
  putSealed(name: ObjectName, sealed: Uint8Array): Promise<void>;
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

/** Every probe's name comes after it, and no other object's does. */
export const BEFORE_PROBES = 'probes/' as ObjectName;

export function probeName(id: SearchId): ObjectName {
  return `${BEFORE_PROBES}${id}.sealed` as ObjectName;
}

/** Whose probe it is; undefined for any other object. */
export function searchNamed(name: ObjectName): SearchId | undefined {
  return /^probes\/(.+)\.sealed$/.exec(name)?.[1] as SearchId | undefined;
}

/**
 * imageIds are the custody system's: hashed, so that any is a safe file name, and spread over 4,096 folders, which hold
 * some 150 files each in a force's gallery.
 */
export function imagePrefix(id: ImageId): { readonly folder: string; readonly stem: string } {
  const digest = createHash('sha256').update(id).digest('hex');
  return { folder: `custody/${digest.slice(0, 3)}`, stem: digest };
}

/** Which image's stem and which of its versions a name is; undefined for a probe. */
export function versionNamed(name: ObjectName): { readonly stem: string; readonly sourceOffset: Offset } | undefined {
  const found = /^custody\/[0-9a-f]{3}\/([0-9a-f]{64})\.(\d{16})\.sealed$/.exec(name);
  return found === null ? undefined : { stem: found[1]!, sourceOffset: Number(found[2]) as Offset };
}

/** An object of an image; temporary files of a writer that died are such as well. */
export interface ImageVersion {
  readonly fileName: string;
  readonly sourceOffset: Offset;
}

/** The image's own of the objects in its folder, which holds those of others too. */
export function versionsOf(id: ImageId, fileNames: readonly string[]): readonly ImageVersion[] {
  const own = `${imagePrefix(id).stem}.`;
  return fileNames
    .filter((fileName) => fileName.startsWith(own))
    .map((fileName) => ({ fileName, sourceOffset: Number.parseInt(fileName.slice(own.length), 10) as Offset }));
}

/** What a writer left unfinished is none. */
export function latestVersion(versions: readonly ImageVersion[]): Offset | undefined {
  const whole = versions.filter(({ fileName }) => fileName.endsWith('.sealed'));
  return whole.length === 0 ? undefined : (Math.max(...whole.map(({ sourceOffset }) => sourceOffset)) as Offset);
}
