/**
 * Finds what is left of given bytes in files and in the memory of processes: every run of 64 bytes of them.
 *
 * A run of 64 bytes, wherever it lies, holds a whole piece of 32 bytes that begins at a multiple of 32. So what is
 * searched is read in such pieces, and each is looked up among all pieces of the wanted bytes, from every one of their
 * positions on. Pieces that tell nothing are left out: of few different bytes (runs of zeros), and those that other
 * images have as well (the tables in the head of a JPEG).
 */
import { createReadStream, openSync, readSync, closeSync } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join, relative } from 'node:path';

const PIECE_BYTES = 32;
const PIECE_WORDS = PIECE_BYTES / 4;
/** Fewer in a row may be there by chance, and say little of what they were part of. */
const RUN_BYTES_MIN = 64;
/** Fewer different bytes are a pattern that anything may have. */
const DIFFERENT_BYTES_MIN = 12;
const READ_BYTES = 4 * 1024 * 1024;
/** Bits of the filter that all but a few pieces are turned away by. */
const FILTER_BITS = 26;

export interface Trace {
  /** A file relative to the folder, or a process and a range of its memory. */
  readonly where: string;
  /** Which of the wanted forms. */
  readonly form: string;
  readonly pieces: number;
}

interface Place {
  readonly form: string;
  readonly of: Buffer;
  /** Of the piece in it. */
  readonly at: number;
}

export class ByteTraces {
  private readonly filter = new Uint32Array(2 ** (FILTER_BITS - 5));
  private readonly places = new Map<string, Place>();

  /**
   * @param forms what is searched for, by name; each also in base64, as it is at each of the three alignments
   * @param others the same forms of other images: what they share tells nothing
   */
  constructor(forms: Readonly<Record<string, Buffer>>, others: readonly Buffer[]) {
    const common = new Set<string>();
    for (const other of others) {
      for (const bytes of [other, ...base64Of(other)]) for (const [, piece] of piecesOf(bytes)) common.add(piece);
    }
    for (const [name, bytes] of Object.entries(forms)) {
      const all: [string, Buffer][] = [
        [name, bytes],
        ...base64Of(bytes).map((text): [string, Buffer] => [`${name} base64`, text]),
      ];
      for (const [form, of] of all) {
        for (const [at, piece] of piecesOf(of)) {
          if (common.has(piece) || this.places.has(piece)) continue;
          this.places.set(piece, { form, of, at });
          const words = new Uint32Array(Uint8Array.from(Buffer.from(piece, 'latin1')).buffer);
          const bit = hashOf(words, 0);
          this.filter[bit >>> 5]! |= 1 << (bit & 31);
        }
      }
    }
  }

  /** How many pieces are searched for. */
  get pieces(): number {
    return this.places.size;
  }

  /** Files that go away meanwhile hold nothing. */
  async inFiles(folder: string): Promise<readonly Trace[]> {
    const traces: Trace[] = [];
    for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue;
      const path = join(entry.parentPath, entry.name);
      const found = new Map<string, number>();
      try {
        // Kafka's index files are long and mostly holes; what has no block on the disk is nothing but zeros.
        if ((await stat(path)).blocks === 0) continue;
        for await (const chunk of createReadStream(path, { highWaterMark: READ_BYTES })) {
          // Of a file, chunks begin at multiples of 32: all but the last are whole.
          this.scan(aligned(chunk as Buffer), found);
        }
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      }
      for (const [form, pieces] of found) traces.push({ where: relative(folder, path), form, pieces });
    }
    return traces;
  }

  /** Everything that the process has written to: what is only mapped from a file is in the file. @throws EACCES, EPERM */
  async inMemoryOf(pid: number, name: string): Promise<readonly Trace[]> {
    const ranges = writableRanges(await readFile(`/proc/${pid}/smaps`, 'utf8'));
    const memory = openSync(`/proc/${pid}/mem`, 'r');
    const traces: Trace[] = [];
    const buffer = Buffer.alloc(READ_BYTES);
    const words = new Uint32Array(buffer.buffer, buffer.byteOffset, READ_BYTES / 4);
    try {
      for (const { start, end, label } of ranges) {
        const found = new Map<string, number>();
        for (let at = start; at < end; at += READ_BYTES) {
          const length = readOrNothing(memory, buffer, Math.min(READ_BYTES, end - at), at);
          this.scan(words.subarray(0, Math.floor(length / PIECE_BYTES) * PIECE_WORDS), found);
        }
        for (const [form, pieces] of found)
          traces.push({ where: `${name} ${label} ${start.toString(16)}`, form, pieces });
      }
    } finally {
      closeSync(memory);
    }
    return traces;
  }

  private scan(words: Uint32Array, found: Map<string, number>): void {
    const { filter } = this;
    for (let at = 0; at + PIECE_WORDS <= words.length; at += PIECE_WORDS) {
      const bit = hashOf(words, at);
      if ((filter[bit >>> 5]! & (1 << (bit & 31))) === 0) continue;
      const bytes = Buffer.from(words.buffer, words.byteOffset + at * 4, PIECE_BYTES);
      const place = this.places.get(bytes.toString('latin1'));
      if (place === undefined || !isInRun(words, at * 4, place)) continue;
      found.set(place.form, (found.get(place.form) ?? 0) + 1);
    }
  }
}

/** Whether what is around the piece goes on as in the form, as far as can be seen. */
function isInRun(words: Uint32Array, pieceAt: number, { of, at }: Place): boolean {
  const bytes = Buffer.from(words.buffer, words.byteOffset, words.byteLength);
  let first = 0;
  while (first < RUN_BYTES_MIN && at - first > 0 && bytes[pieceAt - first - 1] === of[at - first - 1]) first++;
  let after = PIECE_BYTES;
  while (after < RUN_BYTES_MIN && at + after < of.length && bytes[pieceAt + after] === of[at + after]) after++;
  // At the edge of what was read, the rest is not known, and counts as being there.
  const isCut = pieceAt - first === 0 || pieceAt + after >= bytes.length;
  return isCut || first + after >= RUN_BYTES_MIN;
}

function hashOf(words: Uint32Array, at: number): number {
  let hash = Math.imul(words[at]!, 0x9e3779b1);
  hash = Math.imul(hash ^ (hash >>> 15) ^ words[at + 3]!, 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13) ^ words[at + 6]!, 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> (32 - FILTER_BITS);
}

function* piecesOf(bytes: Buffer): Generator<[at: number, piece: string]> {
  for (let at = 0; at + PIECE_BYTES <= bytes.length; at++) {
    const piece = bytes.subarray(at, at + PIECE_BYTES);
    if (new Set(piece).size >= DIFFERENT_BYTES_MIN) yield [at, piece.toString('latin1')];
  }
}

/** As it is written when it begins at each place of a group of three bytes. */
function base64Of(bytes: Buffer): Buffer[] {
  return [0, 1, 2].map((start) => Buffer.from(bytes.subarray(start).toString('base64'), 'latin1'));
}

function aligned(chunk: Buffer): Uint32Array {
  const whole = Math.floor(chunk.length / PIECE_BYTES) * PIECE_BYTES;
  if (chunk.byteOffset % 4 === 0) return new Uint32Array(chunk.buffer, chunk.byteOffset, whole / 4);
  return new Uint32Array(Uint8Array.from(chunk.subarray(0, whole)).buffer);
}

interface MemoryRange {
  readonly start: number;
  readonly end: number;
  readonly label: string;
}

/** Of `/proc/<pid>/smaps`: readable, writable, and with pages in memory. */
function writableRanges(smaps: string): readonly MemoryRange[] {
  const ranges: MemoryRange[] = [];
  let current: MemoryRange | undefined;
  for (const line of smaps.split('\n')) {
    const head = /^([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \S+\s*(.*)$/.exec(line);
    if (head !== null) {
      const [, start, end, rights, label] = head;
      current = rights!.startsWith('rw')
        ? { start: parseInt(start!, 16), end: parseInt(end!, 16), label: label! }
        : undefined;
    } else if (current !== undefined && /^(Rss|Swap):/.test(line) && !/ 0 kB$/.test(line)) {
      ranges.push(current);
      current = undefined;
    }
  }
  return ranges;
}

/** A page that is not there any more is passed by. */
function readOrNothing(memory: number, buffer: Buffer, length: number, at: number): number {
  try {
    return readSync(memory, buffer, 0, length, at);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EIO' || code === 'EFAULT') return 0;
    throw error;
  }
}
