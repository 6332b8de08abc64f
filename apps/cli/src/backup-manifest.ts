/**
 * What a backup says of itself, `backup.json`: which logs and objects it has, up to where, in which files, and until when
 * it may be kept. It names no person. Written after each segment, so that an interrupted backup is gone on with, and
 * authenticated (HMAC-SHA256), so that nobody moves its date or takes a segment out of it.
 */
import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  hkdfSync,
  randomBytes,
  timingSafeEqual,
} from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { Failure } from '#domain/errors.js';
import { writeStateFile } from './state-file.js';

export const BACKUP_MANIFEST = 'backup.json';
/** In `streams`: the objects of the image store. */
export const IMAGE_OBJECTS = 'image-store';

const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const KEY_ID_DIGITS = 16;

const offsets = z.record(z.string().regex(/^\d+$/), z.number().int().nonnegative());

const manifestSchema = z.object({
  format: z.literal(1),
  backupId: z.uuid(),
  /** `decisions`: what decides about a restore of others, and nothing else. */
  kind: z.enum(['everything', 'decisions']),
  /** Of the Kafka that it was made of. */
  clusterId: z.string(),
  startedAt: z.iso.datetime(),
  /** Null while it is unfinished. */
  completedAt: z.iso.datetime().nullable(),
  /** When it must be gone. */
  expiresAt: z.iso.datetime(),
  /** Which key opens it: the beginning of its SHA-256. */
  keyId: z.string(),
  /** The backup's own key, sealed with that one. */
  wrappedKey: z.string(),
  /** By consumer group and topic: up to where its records were handled when the backup began. Exclusive. */
  handled: z.array(z.object({ groupId: z.string(), topic: z.string(), offsets })),
  /**
   * When the oldest record of `custody.images` came that was not handled when the backup began; null when all were, and
   * absent in backups of before this was looked at.
   */
  oldestUnhandledAt: z.iso.datetime().nullable().optional(),
  /** In the order in which they were read. */
  streams: z.array(
    z.object({
      /** A topic, or {@link IMAGE_OBJECTS}. */
      name: z.string(),
      /** When its end was fixed: it holds everything that was written before. */
      cutAt: z.iso.datetime(),
      /** Exclusive, by partition: the log's end then. */
      ends: offsets,
      /** Exclusive, by partition: up to where the segments hold it. */
      next: offsets,
      /** By partition, in the segments. */
      records: offsets,
      /** The last object in the segments. */
      lastObject: z.string().nullable(),
      done: z.boolean(),
    }),
  ),
  segments: z.array(
    z.object({
      file: z.string().regex(/^\d{6}\.sealed$/),
      stream: z.string(),
      records: z.number().int().nonnegative(),
      bytes: z.number().int().nonnegative(),
      sha256: z.string(),
    }),
  ),
});

export type BackupManifest = z.infer<typeof manifestSchema>;
export type BackupStream = BackupManifest['streams'][number];

const fileSchema = manifestSchema.extend({ mac: z.string() });

/** A key file as it was read: one key a line, the one in use and those before it. */
export class BackupKeys {
  private constructor(private readonly keys: readonly Buffer[]) {}

  /** @param file lines of 32 bytes in base64 @throws Failure BACKUP_KEY_UNREADABLE */
  static async read(file: string): Promise<BackupKeys> {
    const text = await readFile(file, 'utf8').catch((cause: unknown) => {
      throw new Failure('BACKUP_KEY_UNREADABLE', `The key in ${file} cannot be read.`, false, { cause });
    });
    const keys = text
      .trim()
      .split(/\s+/)
      .map((line) => Buffer.from(line, 'base64'));
    if (keys.some(({ length }) => length !== KEY_BYTES)) {
      throw new Failure('BACKUP_KEY_UNREADABLE', `${file} does not hold keys of 32 bytes in base64.`, false);
    }
    return new BackupKeys(keys);
  }

  /** A new backup's own key, and how its manifest has it. */
  newBackupKey(): { readonly key: Buffer; readonly keyId: string; readonly wrappedKey: string } {
    const [current] = this.keys;
    const key = randomBytes(KEY_BYTES);
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv('aes-256-gcm', current!, nonce);
    const wrapped = Buffer.concat([nonce, cipher.update(key), cipher.final(), cipher.getAuthTag()]);
    return { key, keyId: keyIdOf(current!), wrappedKey: wrapped.toString('base64') };
  }

  /** @throws Failure BACKUP_KEY_OTHER, BACKUP_DAMAGED */
  open({ keyId, wrappedKey, backupId }: Pick<BackupManifest, 'keyId' | 'wrappedKey' | 'backupId'>): Buffer {
    const key = this.keys.find((one) => keyIdOf(one) === keyId);
    if (key === undefined) {
      throw new Failure(
        'BACKUP_KEY_OTHER',
        `The backup ${backupId} was made with the key ${keyId}, which the key file does not have.`,
        false,
      );
    }
    const wrapped = Buffer.from(wrappedKey, 'base64');
    const tagStart = wrapped.length - TAG_BYTES;
    try {
      const decipher = createDecipheriv('aes-256-gcm', key, wrapped.subarray(0, NONCE_BYTES), {
        authTagLength: TAG_BYTES,
      });
      decipher.setAuthTag(wrapped.subarray(tagStart));
      return Buffer.concat([decipher.update(wrapped.subarray(NONCE_BYTES, tagStart)), decipher.final()]);
    } catch (cause) {
      throw damaged(BACKUP_MANIFEST, 'its key was changed', cause);
    }
  }
}

/** An opened backup: its folder, what it says, and its own key. */
export interface OpenBackup {
  readonly folder: string;
  readonly manifest: BackupManifest;
  readonly key: Buffer;
}

export async function writeManifest({ folder, manifest, key }: OpenBackup): Promise<void> {
  await writeStateFile(join(folder, BACKUP_MANIFEST), { ...manifest, mac: macOf(manifest, key).toString('hex') });
}

/** @returns undefined when the folder holds none @throws Failure BACKUP_DAMAGED, BACKUP_KEY_OTHER */
export async function openBackup(folder: string, keys: BackupKeys): Promise<OpenBackup | undefined> {
  const found = await readManifest(folder);
  if (found === undefined) return undefined;
  const { mac, ...manifest } = found;
  const key = keys.open(manifest);
  const given = Buffer.from(mac, 'hex');
  const due = macOf(manifest, key);
  if (given.length !== due.length || !timingSafeEqual(given, due))
    throw damaged(join(folder, BACKUP_MANIFEST), 'it was changed');
  return { folder, manifest, key };
}

/** Without a key, so not to be trusted. @returns undefined when the folder holds no backup @throws Failure BACKUP_DAMAGED */
export async function readManifest(folder: string): Promise<(BackupManifest & { readonly mac: string }) | undefined> {
  const path = join(folder, BACKUP_MANIFEST);
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw damaged(path, 'it cannot be read', cause);
  }
  try {
    return fileSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw damaged(path, 'it is not what this program writes', cause);
  }
}

function damaged(path: string, why: string, cause?: unknown): Failure {
  return new Failure('BACKUP_DAMAGED', `${path} cannot be used: ${why}. Take another backup.`, false, { cause });
}

function keyIdOf(key: Buffer): string {
  return createHash('sha256').update(key).digest('hex').slice(0, KEY_ID_DIGITS);
}

/** Over the fields in the schema's order, however the file has them. */
function macOf(manifest: BackupManifest, key: Buffer): Buffer {
  const macKey = Buffer.from(hkdfSync('sha256', key, manifest.backupId, 'custody backup manifest', KEY_BYTES));
  return createHmac('sha256', macKey)
    .update(JSON.stringify(manifestSchema.parse(manifest)))
    .digest();
}
