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
    // Newest first: of a log that only grows, the newest file with a checkpoint has the largest.
    for (const file of (await filesOf(folder)).toReversed()) {
      for (const line of await linesOf(join(folder, file))) {
        const parsed = parseAuditLine(line);
        const checkpoint = parsed?.kind === 'checkpoint' ? openCheckpoint(parsed.note, keys) : undefined;
        if (checkpoint !== undefined && checkpoint.size >= (largest?.size ?? 0)) largest = checkpoint;
      }
      if (largest !== undefined) break;
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
