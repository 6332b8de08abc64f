/**
 * What the next start finds on the disk: what the kill left, and now and then what a disk or a person has made of it. A
 * snapshot is a numbered folder with a manifest; one that was being written is named `tmp-…`.
 */
import { cp, open, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';

export const TAMPERINGS = ['nothing', 'all lost', 'newest lost', 'newest damaged', 'older one put back'] as const;
export type Tampering = (typeof TAMPERINGS)[number];

/** Of 100 starts. */
const SHARES: Readonly<Record<Tampering, number>> = {
  nothing: 70,
  'all lost': 12,
  'newest lost': 5,
  'newest damaged': 8,
  'older one put back': 5,
};

export class LeftBehind {
  constructor(
    /** SNAPSHOT_DIR of one process. */
    private readonly snapshotFolder: string,
    private readonly backupFolder: string,
    private readonly random: () => number,
  ) {}

  /** Whether a snapshot was being written. */
  async hasUnfinished(): Promise<boolean> {
    return (await foldersBelow(this.snapshotFolder)).some((path) => /\/tmp-\d+$/.test(path));
  }

  /** @returns what was done */
  async tamper(): Promise<Tampering> {
    let at = this.random() * 100;
    const tampering = TAMPERINGS.find((name) => (at -= SHARES[name]) < 0) ?? 'nothing';
    const snapshots = (await foldersBelow(this.snapshotFolder)).filter((path) => /\/\d+$/.test(path)).sort(bySequence);
    const newest = snapshots.at(-1);
    switch (tampering) {
      case 'nothing':
        return tampering;
      case 'all lost':
        await rm(this.snapshotFolder, { recursive: true, force: true });
        return tampering;
      case 'newest lost':
        if (newest !== undefined) await rm(newest, { recursive: true });
        return tampering;
      case 'newest damaged':
        if (newest !== undefined) await this.damage(newest);
        return tampering;
      case 'older one put back':
        return (await this.putBack()) ? tampering : 'nothing';
    }
  }

  /** Keeps what is there, and puts back what it kept before: as a restored backup of the disk would. */
  private async putBack(): Promise<boolean> {
    const had = await exists(this.backupFolder);
    if (had) {
      await rm(this.snapshotFolder, { recursive: true, force: true });
      await cp(this.backupFolder, this.snapshotFolder, { recursive: true });
      await rm(this.backupFolder, { recursive: true });
    } else if (await exists(this.snapshotFolder)) {
      await cp(this.snapshotFolder, this.backupFolder, { recursive: true });
    }
    return had;
  }

  /** Cuts one of its files off, or turns one bit of it. */
  private async damage(snapshot: string): Promise<void> {
    const names = await readdir(snapshot);
    const path = join(snapshot, names[Math.floor(this.random() * names.length)]!);
    const { size } = await stat(path);
    const at = Math.floor(this.random() * size);
    const file = await open(path, 'r+');
    try {
      if (this.random() < 0.5) await file.truncate(at);
      else {
        const byte = Buffer.alloc(1);
        await file.read(byte, 0, 1, at);
        byte[0]! ^= 1 << Math.floor(this.random() * 8);
        await file.write(byte, 0, 1, at);
      }
    } finally {
      await file.close();
    }
  }
}

async function foldersBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true, recursive: true }).catch(() => []);
  return entries.filter((entry) => entry.isDirectory()).map((entry) => join(entry.parentPath, entry.name));
}

function bySequence(a: string, b: string): number {
  return Number(/\d+$/.exec(a)![0]) - Number(/\d+$/.exec(b)![0]);
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
