/**
 * A segment of a backup: a file of frames, sealed piece by piece (AES-256-GCM), so that one of any size is written and
 * read in little memory. It holds templates, which are biometric data, and what people wrote about people.
 *
 * File: `CFB1` · 16 B salt · pieces, each 4 B length and that many bytes of ciphertext with its 16 B tag. The segment's
 * key is HKDF-SHA256 of the backup's key, the salt and the segment's name; the nonce is the piece's number and whether it
 * is the last, so that a segment that was cut, or whose pieces were moved, does not open.
 *
 * Plaintext: frames, each 4 B length of a JSON head, 4 B length of a body, both.
 */
import { createCipheriv, createDecipheriv, createHash, hkdfSync, randomBytes } from 'node:crypto';
import { open, type FileHandle } from 'node:fs/promises';
import { basename } from 'node:path';
import { Failure } from '#domain/errors.js';

const MAGIC = Buffer.from('CFB1');
const SALT_BYTES = 16;
const TAG_BYTES = 16;
const NONCE_BYTES = 12;
const KEY_BYTES = 32;
const LENGTH_BYTES = 4;
const PIECE_BYTES = 1024 * 1024;

export interface Frame {
  readonly head: unknown;
  readonly body: Buffer;
}

export interface WrittenSegment {
  readonly bytes: number;
  /** Hex, of the file. */
  readonly sha256: string;
}

export class SegmentWriter {
  private readonly hash = createHash('sha256');
  private waiting: Buffer[] = [];
  private waitingBytes = 0;
  private pieces = 0;
  private written = 0;

  private constructor(
    private readonly file: FileHandle,
    private readonly key: Buffer,
  ) {}

  /** Replaces what an unfinished run has left. */
  static async create(path: string, backupKey: Buffer): Promise<SegmentWriter> {
    const salt = randomBytes(SALT_BYTES);
    const writer = new SegmentWriter(await open(path, 'w', 0o600), segmentKey(backupKey, salt, path));
    await writer.put(Buffer.concat([MAGIC, salt]));
    return writer;
  }

  /** Sealed and waiting to be. */
  get bytes(): number {
    return this.written + this.waitingBytes;
  }

  async write({ head, body }: Frame): Promise<void> {
    const text = Buffer.from(JSON.stringify(head));
    const lengths = Buffer.alloc(2 * LENGTH_BYTES);
    lengths.writeUInt32BE(text.length, 0);
    lengths.writeUInt32BE(body.length, LENGTH_BYTES);
    this.waiting.push(lengths, text, body);
    this.waitingBytes += lengths.length + text.length + body.length;
    if (this.waitingBytes < PIECE_BYTES) return;
    const all = Buffer.concat(this.waiting);
    let from = 0;
    for (; all.length - from > PIECE_BYTES; from += PIECE_BYTES) {
      await this.seal(all.subarray(from, from + PIECE_BYTES), false);
    }
    this.waiting = [all.subarray(from)];
    this.waitingBytes = all.length - from;
  }

  /** Resolves when it is on disk. */
  async close(): Promise<WrittenSegment> {
    try {
      await this.seal(Buffer.concat(this.waiting), true);
      await this.file.sync();
    } finally {
      await this.file.close();
    }
    return { bytes: this.written, sha256: this.hash.digest('hex') };
  }

  /** Leaves what there is of it to be replaced. */
  async abandon(): Promise<void> {
    await this.file.close();
  }

  private async seal(piece: Buffer, isLast: boolean): Promise<void> {
    const cipher = createCipheriv('aes-256-gcm', this.key, nonce(this.pieces++, isLast));
    const sealed = Buffer.concat([cipher.update(piece), cipher.final(), cipher.getAuthTag()]);
    const length = Buffer.alloc(LENGTH_BYTES);
    length.writeUInt32BE(sealed.length);
    await this.put(Buffer.concat([length, sealed]));
  }

  private async put(bytes: Buffer): Promise<void> {
    this.hash.update(bytes);
    this.written += bytes.length;
    await this.file.writeFile(bytes);
  }
}

/**
 * The frames of a segment, in their order.
 *
 * @throws Failure BACKUP_DAMAGED when a byte differs from what was written, or one is missing
 */
export async function* readSegment(path: string, backupKey: Buffer, written: WrittenSegment): AsyncIterable<Frame> {
  const damaged = (why: string, cause?: unknown): Failure =>
    new Failure('BACKUP_DAMAGED', `${path} cannot be used: ${why}. Take another backup.`, false, { cause });
  let file: FileHandle;
  try {
    file = await open(path, 'r');
  } catch (cause) {
    throw damaged('it is not there', cause);
  }
  const hash = createHash('sha256');
  const take = async (length: number): Promise<Buffer> => {
    const bytes = Buffer.alloc(length);
    for (let have = 0; have < length;) {
      const { bytesRead } = await file.read(bytes, have, length - have);
      if (bytesRead === 0) throw damaged('it was cut off');
      have += bytesRead;
    }
    hash.update(bytes);
    return bytes;
  };
  try {
    const start = await take(MAGIC.length + SALT_BYTES);
    if (!start.subarray(0, MAGIC.length).equals(MAGIC)) throw damaged('it is no segment of a backup');
    const key = segmentKey(backupKey, start.subarray(MAGIC.length), path);
    let position = start.length;
    let rest: Buffer = Buffer.alloc(0);
    for (let piece = 0; position < written.bytes; piece++) {
      const length = (await take(LENGTH_BYTES)).readUInt32BE();
      if (length < TAG_BYTES || length > PIECE_BYTES + TAG_BYTES) throw damaged('a length in it was changed');
      const sealed = await take(length);
      position += LENGTH_BYTES + length;
      let plain: Buffer;
      try {
        plain = unseal(sealed, key, nonce(piece, position === written.bytes));
      } catch (cause) {
        throw damaged('it was changed, or the key is another', cause);
      }
      rest = rest.length === 0 ? plain : Buffer.concat([rest, plain]);
      for (let frame = frameOf(rest); frame !== undefined; frame = frameOf(rest)) {
        yield frame;
        rest = rest.subarray(frame.bytes);
      }
    }
    if (rest.length > 0) throw damaged('it ends in the middle of a record');
    if (hash.digest('hex') !== written.sha256) throw damaged('it is not the file that the backup lists');
  } finally {
    await file.close();
  }
}

/** @returns undefined while it is not whole */
function frameOf(bytes: Buffer): (Frame & { readonly bytes: number }) | undefined {
  const start = 2 * LENGTH_BYTES;
  if (bytes.length < start) return undefined;
  const bodyAt = start + bytes.readUInt32BE(0);
  const end = bodyAt + bytes.readUInt32BE(LENGTH_BYTES);
  if (bytes.length < end) return undefined;
  const head: unknown = JSON.parse(bytes.toString('utf8', start, bodyAt));
  return { head, body: bytes.subarray(bodyAt, end), bytes: end };
}

function segmentKey(backupKey: Buffer, salt: Buffer, path: string): Buffer {
  return Buffer.from(hkdfSync('sha256', backupKey, salt, `custody backup segment ${basename(path)}`, KEY_BYTES));
}

function nonce(piece: number, isLast: boolean): Buffer {
  const bytes = Buffer.alloc(NONCE_BYTES);
  bytes.writeUInt32BE(piece, 0);
  bytes.writeUInt8(isLast ? 1 : 0, LENGTH_BYTES);
  return bytes;
}

function unseal(sealed: Buffer, key: Buffer, at: Buffer): Buffer {
  const tagStart = sealed.length - TAG_BYTES;
  const decipher = createDecipheriv('aes-256-gcm', key, at, { authTagLength: TAG_BYTES });
  decipher.setAuthTag(sealed.subarray(tagStart));
  return Buffer.concat([decipher.update(sealed.subarray(0, tagStart)), decipher.final()]);
}
