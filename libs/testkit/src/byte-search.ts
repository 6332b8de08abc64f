/** Whether given bytes are anywhere under a folder, as they are or in the texts that programs write bytes as. */
import { open, readdir } from 'node:fs/promises';
import { join, relative } from 'node:path';

/** Enough that no other file holds the same by chance, and little enough that a part of what was kept is found. */
const PIECE_BYTES = 48;
const READ_BYTES = 4 * 1024 * 1024;
const ZEROS = Buffer.alloc(READ_BYTES);

/** Pieces of a quarter, a half and three quarters into the bytes, raw, in base64 at each alignment, and in hexadecimal. */
function needlesOf(bytes: Buffer): readonly Buffer[] {
  if (bytes.length < 4 * PIECE_BYTES) throw new RangeError(`${bytes.length} bytes are too few to be told apart`);
  const needles = [1, 2, 3].flatMap((quarter) => {
    const from = Math.floor((bytes.length * quarter) / 4);
    const piece = bytes.subarray(from - PIECE_BYTES / 2, from + PIECE_BYTES / 2);
    const texts = [0, 1, 2].flatMap((start) => {
      const whole = piece.subarray(start, start + 3 * Math.floor((piece.length - start) / 3));
      return [whole.toString('base64'), whole.toString('base64url')];
    });
    const hex = piece.toString('hex');
    return [piece, ...[...texts, hex, hex.toUpperCase()].map((text) => Buffer.from(text))];
  });
  return [...new Map(needles.map((needle) => [needle.toString('latin1'), needle])).values()];
}

/** @returns the files, relative to the folder, that hold any piece of the bytes; files that go away meanwhile hold none */
export async function filesHolding(folder: string, bytes: Buffer): Promise<readonly string[]> {
  const needles = needlesOf(bytes);
  const found: string[] = [];
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    if (await holds(path, needles)) found.push(relative(folder, path));
  }
  return found;
}

async function holds(path: string, needles: readonly Buffer[]): Promise<boolean> {
  const file = await open(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (file === undefined) return false;
  // Kafka's index files are long and mostly holes; what has no block on the disk is nothing but zeros.
  const { blocks } = await file.stat();
  const overlap = Math.max(...needles.map((needle) => needle.length)) - 1;
  const buffer = Buffer.alloc(overlap + READ_BYTES);
  try {
    for (let kept = 0; blocks > 0;) {
      const { bytesRead } = await file.read(buffer, kept, READ_BYTES);
      if (bytesRead === 0) return false;
      const end = kept + bytesRead;
      const isEmpty = buffer.compare(ZEROS, 0, bytesRead, kept, end) === 0;
      if (!isEmpty && needles.some((needle) => buffer.subarray(0, end).includes(needle))) return true;
      kept = Math.min(overlap, end);
      buffer.copyWithin(0, end - kept, end);
    }
    return false;
  } finally {
    await file.close();
  }
}
