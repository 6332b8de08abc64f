/**
 * The append-only copy of the seals, on storage that those who run Kafka cannot rewrite. A file a day,
 * `audit-2026-01-31.jsonl`, with two lines a seal: the leaves, then the signed checkpoint. Files are only ever appended to
 * and made new.
 */
import { mkdir, open, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { formatAuditLine, parseAuditLine, type SealedLeaves } from '#contracts/audit-seal-record.js';
import { openCheckpoint, type SignedCheckpoint } from './checkpoint.js';
import type { VerifierKey } from './signed-note.js';

/** More than the last seal of most files. */
const TAIL_BYTES = 16 * 1024;
const LINE_FEED = 0x0a;
const FILE_NAME = /^audit-\d{4}-\d{2}-\d{2}\.jsonl$/;

export class CheckpointFolder {
  private constructor(
    private readonly folder: string,
    private largest: SignedCheckpoint | undefined,
  ) {}

  /** @param keys a checkpoint that none of them has signed is passed over */
  static async open(folder: string, keys: readonly VerifierKey[]): Promise<CheckpointFolder> {
    await mkdir(folder, { recursive: true });
    let largest: SignedCheckpoint | undefined;
    // Of all files, because a clock that was once ahead has left one that is the newest by its name for years.
    for (const file of await filesOf(folder)) {
      const last = await lastCheckpointIn(join(folder, file), keys);
      if (last !== undefined && last.size >= (largest?.size ?? 0)) largest = last;
    }
    return new CheckpointFolder(folder, largest);
  }

  /** The largest that is in the folder. */
  get newest(): SignedCheckpoint | undefined {
    return this.largest;
  }

  /** Resolves when both lines are on disk. @throws what the file system throws */
  async append(sealed: SealedLeaves, checkpoint: SignedCheckpoint, now: Date = new Date()): Promise<void> {
    const lines = [
      formatAuditLine({ kind: 'sealed', from: sealed.from, leaves: [...sealed.leaves] }),
      formatAuditLine({ kind: 'checkpoint', note: checkpoint.note }),
    ];
    const file = await open(join(this.folder, `audit-${now.toISOString().slice(0, 10)}.jsonl`), 'a');
    try {
      // The empty line ends one that a crash may have left unfinished.
      await file.appendFile(`\n${lines.join('\n')}\n`);
      await file.datasync();
    } finally {
      await file.close();
    }
    this.largest = checkpoint;
  }
}

/** Every line of the copy in a folder, oldest first. */
export async function readCheckpointFolder(folder: string): Promise<string[]> {
  const lines: string[] = [];
  for (const file of await filesOf(folder)) {
    for (const line of await linesOf(join(folder, file))) lines.push(line);
  }
  return lines;
}

async function filesOf(folder: string): Promise<string[]> {
  return (await readdir(folder)).filter((name) => FILE_NAME.test(name)).toSorted();
}

async function linesOf(path: string): Promise<string[]> {
  return (await readFile(path, 'utf8')).split('\n').filter((line) => line !== '');
}

/** The last that is signed, which is the largest of a file that is only appended to. Read from the end backwards. */
async function lastCheckpointIn(path: string, keys: readonly VerifierKey[]): Promise<SignedCheckpoint | undefined> {
  const file = await open(path, 'r');
  try {
    let unfinished: Buffer = Buffer.alloc(0);
    for (let end = (await file.stat()).size; end > 0;) {
      const from = Math.max(0, end - TAIL_BYTES);
      const { buffer, bytesRead } = await file.read({ buffer: Buffer.alloc(end - from), position: from });
      const bytes: Buffer = Buffer.concat([buffer.subarray(0, bytesRead), unfinished]);
      // What comes before the first line feed is the end of a line that begins further ahead.
      const wholeFrom = from === 0 ? 0 : bytes.indexOf(LINE_FEED) + 1;
      const isWhole = from === 0 || wholeFrom > 0;
      const lines = isWhole ? bytes.toString('utf8', wholeFrom).split('\n') : [];
      for (const line of lines.toReversed()) {
        const parsed = parseAuditLine(line);
        const checkpoint = parsed?.kind === 'checkpoint' ? openCheckpoint(parsed.note, keys) : undefined;
        if (checkpoint !== undefined) return checkpoint;
      }
      unfinished = isWhole ? bytes.subarray(0, wholeFrom) : bytes;
      end = from;
    }
    return undefined;
  } finally {
    await file.close();
  }
}
