/**
 * Files that are whole or absent: written under another name, flushed, and only then given their own. Everything that
 * touches the disk goes through {@link SnapshotFs}, so that a test can fail at each step and look at what is left.
 */
import { createHash } from 'node:crypto';
import { mkdir, open, readdir, rename, rm, stat, statfs } from 'node:fs/promises';
import { Failure } from '#domain/errors.js';

/** What is read or written at a time: hashing it takes 1 ms, which is what a search may have to wait for it. */
export const CHUNK_BYTES = 1_048_576;

export interface SnapshotFile {
  write(bytes: Uint8Array): Promise<void>;
  /** @returns bytes read from where the last read ended; 0 at the end */
  read(into: Uint8Array): Promise<number>;
  /** Returns when the disk has it. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

export interface SnapshotFs {
  /** `wx` makes a new file, `r+` is for flushing one that native code wrote. */
  open(path: string, flags: 'r' | 'r+' | 'wx'): Promise<SnapshotFile>;
  sizeBytes(path: string): Promise<number>;
  /** What this process may still write to the disk that the folder is on. */
  freeBytes(folder: string): Promise<number>;
  /** Names; none when there is no such folder. */
  list(folder: string): Promise<string[]>;
  makeFolder(path: string): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  /** A file, or a folder with all it holds; nothing when there is none. */
  remove(path: string): Promise<void>;
  /** Makes renames in it last. */
  syncFolder(path: string): Promise<void>;
}

export const diskSnapshotFs: SnapshotFs = {
  async open(path, flags) {
    const handle = await open(path, flags, 0o600);
    return {
      async write(bytes) {
        for (let done = 0; done < bytes.byteLength;) {
          done += (await handle.write(bytes, done, bytes.byteLength - done)).bytesWritten;
        }
      },
      async read(into) {
        return (await handle.read(into, 0, into.byteLength)).bytesRead;
      },
      sync: () => handle.sync(),
      close: () => handle.close(),
    };
  },
  async sizeBytes(path) {
    return (await stat(path)).size;
  },
  async freeBytes(folder) {
    const { bavail, bsize } = await statfs(folder);
    return bavail * bsize;
  },
  async list(folder) {
    try {
      return await readdir(folder);
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
      throw error;
    }
  },
  async makeFolder(path) {
    await mkdir(path, { recursive: true, mode: 0o700 });
  },
  rename,
  remove: (path) => rm(path, { recursive: true, force: true }),
  async syncFolder(path) {
    const handle = await open(path, 'r');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  },
};

export interface FileFacts {
  readonly name: string;
  readonly sizeBytes: number;
  /** 64 hexadecimal digits. */
  readonly sha256: string;
}

/**
 * Writes a new file and flushes it.
 *
 * @param sections of any length; handed on as they are, so that they must not change meanwhile
 * @returns what is in it, by what was handed over rather than by what the disk says
 */
export async function writeFlushed(
  fs: SnapshotFs,
  folder: string,
  name: string,
  sections: Iterable<Uint8Array>,
): Promise<FileFacts> {
  const hash = createHash('sha256');
  let sizeBytes = 0;
  const file = await fs.open(`${folder}/${name}`, 'wx');
  try {
    for (const chunk of chunksOf(sections)) {
      hash.update(chunk);
      sizeBytes += chunk.byteLength;
      await file.write(chunk);
    }
    await file.sync();
  } finally {
    await file.close();
  }
  return { name, sizeBytes, sha256: hash.digest('hex') };
}

/** Flushes a file that native code wrote, and reads what is in it. */
export async function flushAndRead(fs: SnapshotFs, folder: string, name: string): Promise<FileFacts> {
  const file = await fs.open(`${folder}/${name}`, 'r+');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
  const { sizeBytes, sha256 } = await readThrough(fs, `${folder}/${name}`, () => {});
  return { name, sizeBytes, sha256 };
}

/**
 * Reads a file from end to end and compares it with what it should be. What `onChunk` made of it must not be used when
 * this throws.
 *
 * @param onChunk is given at most {@link CHUNK_BYTES} at a time, in a buffer that is overwritten later; not to be changed
 * @throws Failure SNAPSHOT_CORRUPT
 */
export async function readVerified(
  fs: SnapshotFs,
  folder: string,
  facts: FileFacts,
  onChunk: (chunk: Uint8Array) => void = () => {},
): Promise<void> {
  await requireSize(fs, folder, facts);
  const found = await readThrough(fs, `${folder}/${facts.name}`, onChunk);
  if (found.sha256 !== facts.sha256) throw corrupt(`${facts.name} differs from its checksum`);
}

/**
 * Reads a file into what it is to be kept in, and compares it with what it should be. What was filled must not be used
 * when this throws.
 *
 * @param sections each is filled before the next is asked for, so that one may decide how long the next is
 * @throws Failure SNAPSHOT_CORRUPT, also when the sections together are longer or shorter than the file
 */
export async function fillVerified(
  fs: SnapshotFs,
  folder: string,
  facts: FileFacts,
  sections: Iterable<Uint8Array>,
): Promise<void> {
  await requireSize(fs, folder, facts);
  const buffer = new Uint8Array(CHUNK_BYTES);
  let ahead = buffer.subarray(0, 0);
  const file = await fs.open(`${folder}/${facts.name}`, 'r');
  const reading = new HashedReading(file);
  try {
    const read = async (into: Uint8Array): Promise<number> => {
      const count = await reading.read(into);
      if (count === 0) throw corrupt(`${facts.name} ends too early`);
      return count;
    };
    for (const section of sections) {
      for (let done = 0; done < section.byteLength;) {
        if (ahead.byteLength > 0) {
          const part = ahead.subarray(0, section.byteLength - done);
          section.set(part, done);
          ahead = ahead.subarray(part.byteLength);
          done += part.byteLength;
        } else if (section.byteLength - done >= CHUNK_BYTES) {
          done += await read(section.subarray(done, done + CHUNK_BYTES));
        } else {
          reading.catchUp(); // The buffer is overwritten.
          ahead = buffer.subarray(0, await read(buffer));
        }
      }
      reading.catchUp(); // Whose section it is may change it from here on.
    }
    if (ahead.byteLength > 0) throw corrupt(`${facts.name} has more than it should`);
  } finally {
    await file.close();
  }
  if (reading.digest() !== facts.sha256) throw corrupt(`${facts.name} differs from its checksum`);
}

/** Hashes what was read while the next is being read, which another thread does. */
class HashedReading {
  readonly #hash = createHash('sha256');
  #unhashed: Uint8Array | undefined;

  constructor(private readonly file: SnapshotFile) {}

  /**
   * @param into not what the last read filled, unless {@link catchUp} was called since; filled, it must not change until
   *   the next call
   * @returns bytes read; 0 at the end
   */
  async read(into: Uint8Array): Promise<number> {
    const reading = this.file.read(into);
    this.catchUp();
    const count = await reading;
    this.#unhashed = into.subarray(0, count);
    return count;
  }

  catchUp(): void {
    if (this.#unhashed === undefined) return;
    this.#hash.update(this.#unhashed);
    this.#unhashed = undefined;
  }

  /** @returns 64 hexadecimal digits */
  digest(): string {
    this.catchUp();
    return this.#hash.digest('hex');
  }
}

/** Small sections together, large ones in parts. What is yielded is good until the next is asked for. */
function* chunksOf(sections: Iterable<Uint8Array>): Generator<Uint8Array> {
  const gathered = new Uint8Array(CHUNK_BYTES);
  let filled = 0;
  for (const section of sections) {
    for (let at = 0; at < section.byteLength;) {
      if (filled === 0 && section.byteLength - at >= CHUNK_BYTES) {
        yield section.subarray(at, at + CHUNK_BYTES);
        at += CHUNK_BYTES;
        continue;
      }
      const part = section.subarray(at, at + CHUNK_BYTES - filled);
      gathered.set(part, filled);
      filled += part.byteLength;
      at += part.byteLength;
      if (filled < CHUNK_BYTES) continue;
      yield gathered;
      filled = 0;
    }
  }
  if (filled > 0) yield gathered.subarray(0, filled);
}

async function requireSize(fs: SnapshotFs, folder: string, { name, sizeBytes }: FileFacts): Promise<void> {
  const found = await fs.sizeBytes(`${folder}/${name}`);
  if (found !== sizeBytes) throw corrupt(`${name} has ${found} bytes, not ${sizeBytes}`);
}

/** @param what is wrong; no path, and nothing of an entry */
export function corrupt(what: string, cause?: unknown): Failure {
  return new Failure('SNAPSHOT_CORRUPT', `The snapshot is damaged: ${what}.`, false, { cause });
}

async function readThrough(
  fs: SnapshotFs,
  path: string,
  onChunk: (chunk: Uint8Array) => void,
): Promise<{ sizeBytes: number; sha256: string }> {
  let buffer = new Uint8Array(CHUNK_BYTES);
  let other = new Uint8Array(CHUNK_BYTES);
  let sizeBytes = 0;
  const file = await fs.open(path, 'r');
  const reading = new HashedReading(file);
  try {
    for (;;) {
      const count = await reading.read(buffer);
      if (count === 0) break;
      sizeBytes += count;
      onChunk(buffer.subarray(0, count));
      [buffer, other] = [other, buffer];
    }
  } finally {
    await file.close();
  }
  return { sizeBytes, sha256: reading.digest() };
}
