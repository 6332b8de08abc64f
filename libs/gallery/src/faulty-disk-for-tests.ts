/**
 * A disk that fails when it is told to, and that loses what was not flushed when its power goes: the bytes of a file
 * without `sync`, and names that were made, changed or removed in a folder without `syncFolder`. On top of a real
 * folder, because the graph is written by native code, whose files it finds there. Nothing is really flushed, so that
 * thousands of snapshots take seconds.
 */
import { randomUUID } from 'node:crypto';
import { mkdir, readdir, rename, rm, truncate, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { diskSnapshotFs, type SnapshotFile, type SnapshotFs } from './snapshot-files.js';

/** A name that was changed in a folder, and is back as it was when the power goes before the folder is flushed. */
interface NameChange {
  readonly kind: 'made' | 'renamed' | 'removed';
  /** Follows the folders above it when they are renamed. */
  path: string;
  /** In the same folder, where it was; or where what was removed is kept for that case. */
  from: string;
}

export class FaultyDisk {
  readonly fs: SnapshotFs;
  /** Of the steps so far, by name: what a test can fail one after the other. */
  readonly steps: string[] = [];
  freeBytes = Number.MAX_SAFE_INTEGER;
  #failing: { readonly at: number; readonly code: string; readonly forGood: boolean } | undefined;
  #names: NameChange[] = [];
  readonly #flushed = new Set<string>();

  /**
   * @param root of what the power may take away; not there yet
   * @param random from 0 to 1: decides what an unlucky moment leaves
   */
  constructor(
    private readonly root: string,
    private readonly random: () => number,
  ) {
    this.fs = {
      open: (path, flags) => this.#open(path, flags),
      sizeBytes: (path) => this.#step('sizeBytes', () => diskSnapshotFs.sizeBytes(path)),
      freeBytes: () => this.#step('freeBytes', () => Promise.resolve(this.freeBytes)),
      list: (folder) => this.#step('list', () => diskSnapshotFs.list(folder)),
      makeFolder: (path) => this.#step('makeFolder', () => this.#makeFolder(path)),
      rename: (from, to) => this.#step('rename', () => this.#rename(from, to)),
      remove: (path) => this.#step('remove', () => this.#remove(path)),
      syncFolder: (path) => this.#step('syncFolder', () => this.#syncFolder(path)),
    };
  }

  /**
   * @param step the number of the step to fail from now on, from 1
   * @param forGood whether all that follow fail too, as for a process that is killed there
   */
  failAt(step: number, code: string, forGood: boolean): void {
    this.#failing = { at: this.steps.length + step, code, forGood };
  }

  /** Works again from now on. @returns the name of the step that failed, if one did */
  mend(): string | undefined {
    const failed = this.#failing === undefined ? undefined : this.steps[this.#failing.at - 1];
    this.#failing = undefined;
    return failed;
  }

  /** What is on the disk when the power is back. Nothing may be at work on it. */
  async losePower(): Promise<void> {
    this.mend();
    // Changes of one folder reach the disk in order, those of two folders in any.
    const kept = new Map<string, number>();
    for (const { path } of this.#names) kept.set(dirname(path), (kept.get(dirname(path)) ?? 0) + 1);
    for (const [folder, count] of kept) kept.set(folder, Math.floor(this.random() * (count + 1)));
    const lost = this.#names.filter(({ path }) => {
      const left = kept.get(dirname(path))!;
      kept.set(dirname(path), left - 1);
      return left <= 0;
    });
    for (const change of lost.reverse()) await this.#undo(change);
    this.#names = [];
    await rm(`${this.root}.removed`, { recursive: true, force: true });
    for (const path of await this.#files(this.root)) {
      if (this.#flushed.has(path)) continue;
      const sizeBytes = Math.floor(this.random() * ((await diskSnapshotFs.sizeBytes(path)) + 1));
      if (this.random() < 0.5) await truncate(path, sizeBytes);
      else await writeFile(path, new Uint8Array(sizeBytes));
      this.#flushed.add(path);
    }
  }

  async #step<T>(name: string, go: () => Promise<T>): Promise<T> {
    this.steps.push(name);
    const failing = this.#failing;
    const number = this.steps.length;
    if (failing !== undefined && (number === failing.at || (failing.forGood && number > failing.at))) {
      throw Object.assign(new Error(`${failing.code} in ${name}`), { code: failing.code });
    }
    return go();
  }

  async #open(path: string, flags: 'r' | 'r+' | 'wx'): Promise<SnapshotFile> {
    const file = await this.#step('open', async () => {
      const opened = await diskSnapshotFs.open(path, flags);
      if (flags === 'wx') this.#names.push({ kind: 'made', path, from: path });
      return opened;
    });
    return {
      write: (bytes) =>
        this.#step('write', () => {
          this.#flushed.delete(path);
          return file.write(bytes);
        }),
      read: (into) => this.#step('read', () => file.read(into)),
      sync: () =>
        this.#step('sync', () => {
          this.#flushed.add(path);
          return Promise.resolve();
        }),
      // Also where all is lost: an open file is the test's, not the disk's.
      close: () => file.close(),
    };
  }

  async #makeFolder(path: string): Promise<void> {
    for (const folder of missingAbove(path, await existing(path))) {
      this.#names.push({ kind: 'made', path: folder, from: folder });
    }
    await mkdir(path, { recursive: true });
  }

  async #rename(from: string, to: string): Promise<void> {
    await rename(from, to);
    this.#move(from, to);
    this.#names.push({ kind: 'renamed', path: to, from });
  }

  async #remove(path: string): Promise<void> {
    const bin = `${this.root}.removed`;
    const aside = join(bin, randomUUID());
    await mkdir(bin, { recursive: true });
    const was = await rename(path, aside).then(
      () => true,
      () => false,
    );
    if (!was) return;
    this.#move(path, aside);
    this.#names.push({ kind: 'removed', path, from: aside });
  }

  async #syncFolder(folder: string): Promise<void> {
    const done = this.#names.filter(({ path }) => dirname(path) === folder);
    this.#names = this.#names.filter((change) => !done.includes(change));
    for (const { kind, from } of done) {
      if (kind !== 'removed') continue;
      await rm(from, { recursive: true, force: true });
      this.#names = this.#names.filter(({ path }) => !path.startsWith(`${from}/`));
    }
  }

  async #undo({ kind, path, from }: NameChange): Promise<void> {
    switch (kind) {
      case 'made':
        return rm(path, { recursive: true, force: true });
      case 'renamed':
        await rename(path, from);
        return this.#move(path, from);
      case 'removed':
        await rm(path, { recursive: true, force: true });
        await rename(from, path);
        return this.#move(from, path);
    }
  }

  /** What is known of a path, and of what is below it, holds for its new name. */
  #move(from: string, to: string): void {
    const moved = (path: string): string => (path.startsWith(`${from}/`) ? to + path.slice(from.length) : path);
    const flushed = [...this.#flushed];
    this.#flushed.clear();
    for (const path of flushed) this.#flushed.add(path === from ? to : moved(path));
    for (const change of this.#names) {
      change.path = moved(change.path);
      if (change.kind !== 'removed') change.from = moved(change.from);
    }
  }

  async #files(folder: string): Promise<string[]> {
    const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
    return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  }
}

/** The nearest folder above that is there. */
async function existing(path: string): Promise<string> {
  for (let folder = path; ; folder = dirname(folder)) {
    if (folder === dirname(folder)) return folder;
    if (
      await readdir(folder).then(
        () => true,
        () => false,
      )
    ) {
      return folder;
    }
  }
}

/** From the highest down. */
function missingAbove(path: string, there: string): string[] {
  const missing: string[] = [];
  for (let folder = path; folder !== there; folder = dirname(folder)) missing.unshift(folder);
  return missing;
}
