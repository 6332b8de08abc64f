/**
 * A shard on disk: `<base>/<sequence>/` with
 *
 * - `entries.bin`, `vectors.f32`, `codes.bin`, `unusable.jsonl`: see ./snapshot-sections.ts;
 * - `hnsw.bin`: the graph as hnswlib writes it; absent when it is empty;
 * - `manifest.json`: see ./snapshot-manifest.ts.
 *
 * Written as `tmp-<sequence>`, flushed, read back and verified, and only then renamed, so that a numbered folder was
 * good once. The newest two are kept; after an erasure just the new one, as the older hold what was erased. What cannot
 * be used is set aside as `quarantine-<sequence>-<code>` and the one before it is tried.
 *
 * A disk without room is told before anything is written, and nothing good is removed to make some.
 */
import { CodedError, describeError, Failure } from '#domain/errors.js';
import type { Offset } from '#domain/ids.js';
import type { GalleryShard } from './gallery-shard.js';
import { graphFileBytes, HnswGraph } from './hnsw-graph.js';
import {
  corrupt,
  flushAndRead,
  readVerified,
  writeFlushed,
  type FileFacts,
  type SnapshotFs,
} from './snapshot-files.js';
import {
  decodeManifest,
  encodeManifest,
  SNAPSHOT_FORMAT_VERSION,
  type SnapshotIdentity,
  type SnapshotManifest,
} from './snapshot-manifest.js';
import {
  CODES,
  columnFiles,
  ENTRIES,
  restoreColumns,
  restoreUnusable,
  UNUSABLE,
  unusableLines,
  VECTORS,
} from './snapshot-sections.js';

/** One to use, and one in case the disk damages it. */
export const SNAPSHOTS_KEPT = 2;
/** Enough to find out what happened, without filling the disk. */
const QUARANTINED_KEPT = 2;
/**
 * Left free, so that what else writes to this disk, a log above all, is not stopped by a snapshot: more than it writes
 * between two looks at the disk.
 */
const SPARE_BYTES = 16 * 1_048_576;
/** Of an entry, generously: most have 300 bytes. */
const ENTRY_BYTES = 1024;
/** Of a manifest, which has some 2 KiB: more is not one. */
const MANIFEST_BYTES_MAX = 1_048_576;

const GRAPH = 'hnsw.bin';
const MANIFEST = 'manifest.json';

export interface WrittenSnapshot {
  readonly sequence: number;
  readonly templates: number;
  readonly sizeBytes: number;
}

export interface RestoredSnapshot {
  /** Undefined when there was none to use; the shard is empty then. */
  readonly sequence: number | undefined;
  /** The one before it, when that was to be kept. */
  readonly previous: number | undefined;
  /** When the one that was used was written, and what its files have. */
  readonly written: { readonly atMs: number; readonly sizeBytes: number } | undefined;
  readonly shard: GalleryShard;
  /** What was set aside or rebuilt, for the log. */
  readonly notices: readonly string[];
}

export class SnapshotFolder {
  /** @param base of one worker's shard alone */
  constructor(
    private readonly fs: SnapshotFs,
    private readonly base: string,
    private readonly identity: SnapshotIdentity,
  ) {}

  /**
   * The shard must not change until this settles; searches may go on.
   *
   * @param nextOffsets by partition, exclusive: where to go on reading; at most as far as the shard has
   * @param replacesOlder templates were destroyed since the last one, so that no other copy may stay
   * @throws Failure SNAPSHOT_NO_SPACE, SNAPSHOT_NOT_WRITTEN (what was there is still there), SNAPSHOT_OLD_NOT_REMOVED
   *   (the new one is good)
   */
  async write(
    shard: GalleryShard,
    nextOffsets: ReadonlyMap<number, Offset>,
    replacesOlder: boolean,
  ): Promise<WrittenSnapshot> {
    let written: WrittenSnapshot;
    try {
      written = await this.#writeNew(shard, nextOffsets, replacesOlder);
    } catch (cause) {
      // Asked before room is made: the library that writes the graph does not say why it failed.
      const isFull = hasNoSpaceCode(cause) || (await this.#freeBytes()) < SPARE_BYTES;
      await this.#removeTemporary().catch(() => {}); // The next snapshot tries again; the cause is what matters.
      if (isFull) throw new Failure('SNAPSHOT_NO_SPACE', 'The disk has no room for a snapshot.', true, { cause });
      throw new Failure('SNAPSHOT_NOT_WRITTEN', 'The snapshot could not be written.', true, { cause });
    }
    try {
      await this.#removeOlder(written.sequence, replacesOlder);
    } catch (cause) {
      throw new Failure('SNAPSHOT_OLD_NOT_REMOVED', 'An older snapshot could not be removed.', true, { cause });
    }
    return written;
  }

  /**
   * Loads the newest snapshot that verifies. Never throws for what is on disk, nor for what the disk does: whatever cannot
   * be read is left to the log.
   *
   * @param createShard makes an empty one
   * @throws Error of the file system when the base is no folder, or may not be read by this account
   */
  async restore(createShard: () => GalleryShard): Promise<RestoredSnapshot> {
    const notices: string[] = [];
    const unless = (what: string) => (error: unknown) => {
      notices.push(`${what}: ${describeError(error)}`);
      return undefined;
    };
    await this.#removeTemporary().catch(unless('a temporary snapshot could not be removed'));
    const sequences = await this.#sequences().catch((error: unknown) => {
      if (isMisplaced(error)) throw error;
      unless('the snapshots could not be listed')(error);
      return [];
    });
    for (const sequence of sequences.reverse()) {
      const shard = createShard();
      try {
        const manifest = await this.#load(sequence, shard, notices);
        if (manifest.replacesOlder) {
          await this.#removeOlder(sequence, true).catch(unless('an older snapshot could not be removed'));
        }
        const sizeBytes = manifest.files.reduce((sum, file) => sum + file.sizeBytes, 0);
        const written = { atMs: Date.parse(manifest.createdAt), sizeBytes };
        return { sequence, previous: manifest.previous ?? undefined, written, shard, notices };
      } catch (error) {
        const code = error instanceof CodedError ? error.code : 'SNAPSHOT_UNREADABLE';
        notices.push(`snapshot ${sequence} set aside: ${code}`);
        await this.#setAside(sequence, code).catch(unless(`snapshot ${sequence} could not be set aside`));
      }
    }
    return { sequence: undefined, previous: undefined, written: undefined, shard: createShard(), notices };
  }

  /** Sets all aside, when they turn out to be of another log. @param code in capitals */
  async setAsideAll(code: string): Promise<void> {
    // What stays because the disk fails is older than whatever is written next, and set aside by the next start.
    const sequences = await this.#sequences().catch(() => []);
    for (const sequence of sequences) await this.#setAside(sequence, code).catch(() => {});
  }

  /**
   * Whether there are files that nobody will restore from, and whose content is not known: set aside, not removed though
   * it was to be, or put there by hand.
   *
   * @param known sequences of what was restored from, and of the one before it
   */
  async hasOthers(known: readonly (number | undefined)[]): Promise<boolean> {
    try {
      const names = await this.fs.list(this.base);
      return names.some((name) => !/^\d+$/.test(name) || !known.includes(Number(name)));
    } catch {
      return true;
    }
  }

  /** What {@link write} would need at most. @returns bytes */
  neededBytes(shard: GalleryShard): number {
    const { labelEnd } = shard.approximate.graphFacts;
    const { dimension, slotEnd } = shard.store;
    return (
      (slotEnd + shard.unusableCount) * ENTRY_BYTES +
      slotEnd * dimension * 4 +
      shard.templates.exact.sectionsBytes(slotEnd) +
      graphFileBytes(labelEnd, dimension)
    );
  }

  async #writeNew(
    shard: GalleryShard,
    nextOffsets: ReadonlyMap<number, Offset>,
    replacesOlder: boolean,
  ): Promise<WrittenSnapshot> {
    const { fs, base } = this;
    await this.#removeTemporary();
    const sequence = 1 + (await this.#lastSequence());
    const previous = replacesOlder ? null : ((await this.#sequences()).at(-1) ?? null);
    const folder = `${base}/tmp-${sequence}`;
    await fs.makeFolder(folder);
    const needed = this.neededBytes(shard);
    const free = await fs.freeBytes(folder);
    if (free < needed + SPARE_BYTES) throw new NoSpace(`${needed} bytes are needed and ${free} are free`);
    // At once: a disposition may take one out meanwhile, and what is written must be what is counted.
    const unusable = [...shard.unusableImages()];
    const files: FileFacts[] = [];
    for (const [name, sections] of columnFiles(shard)) files.push(await writeFlushed(fs, folder, name, sections));
    const graph = shard.approximate.graphFacts;
    const hasGraph = graph.labelEnd > graph.deleted;
    if (hasGraph) {
      await shard.approximate.writeGraph(`${folder}/${GRAPH}`);
      files.push(await flushAndRead(fs, folder, GRAPH));
    }
    if (unusable.length > 0) files.push(await writeFlushed(fs, folder, UNUSABLE, unusableLines(unusable)));
    const digests = new Map(shard.partitionDigests().map(({ partition, digest }) => [partition, digest]));
    const manifest: SnapshotManifest = {
      formatVersion: SNAPSHOT_FORMAT_VERSION,
      ...this.identity,
      sequence,
      createdAt: new Date().toISOString(),
      nextOffsets: [...nextOffsets].map(([partition, nextOffset]) => ({
        partition,
        nextOffset,
        digest: digests.get(partition)!,
      })),
      templates: shard.size,
      slotEnd: shard.store.slotEnd,
      unusable: unusable.length,
      ...(hasGraph && { graph }),
      previous,
      replacesOlder,
      files,
    };
    const manifestFacts = await writeFlushed(fs, folder, MANIFEST, [encodeManifest(manifest)]);
    await fs.syncFolder(folder);

    for (const facts of [...files, manifestFacts]) await readVerified(fs, folder, facts);
    // hnswlib reports success for a file that it could not write, so only loading it tells.
    if (hasGraph) (await HnswGraph.load(`${folder}/${GRAPH}`, this.identity.dimension, graph)).release();

    await fs.rename(folder, `${base}/${sequence}`);
    await fs.syncFolder(base);
    const sizeBytes = [...files, manifestFacts].reduce((sum, file) => sum + file.sizeBytes, 0);
    return { sequence, templates: shard.size, sizeBytes };
  }

  async #load(sequence: number, shard: GalleryShard, notices: string[]): Promise<SnapshotManifest> {
    const folder = `${this.base}/${sequence}`;
    const manifest = decodeManifest(await this.#readManifest(folder), this.identity);
    // Beside the columns, as reading, hashing and the library's own loading each keep one processor busy.
    const loading = Promise.allSettled([this.#loadGraph(folder, manifest)]);
    let labels: Int32Array;
    try {
      labels = await this.#loadColumns(folder, manifest, shard);
    } catch (error) {
      const [loaded] = await loading;
      if (loaded.status === 'fulfilled') loaded.value?.release();
      throw error;
    }
    const [loaded] = await loading;
    try {
      if (loaded.status === 'rejected') throw loaded.reason;
      if (loaded.value === undefined) shard.approximate.addAll();
      else shard.approximate.adopt(loaded.value, labels);
    } catch (error) {
      if (loaded.status === 'fulfilled') loaded.value?.release();
      // The graph follows from the vectors, which are good.
      const code = error instanceof CodedError ? error.code : 'SNAPSHOT_UNREADABLE';
      notices.push(`snapshot ${sequence}: its graph is built anew: ${code}`);
      shard.approximate.addAll();
    }
    return manifest;
  }

  /** All but the graph. @returns labels in the graph, by slot */
  async #loadColumns(folder: string, manifest: SnapshotManifest, shard: GalleryShard): Promise<Int32Array> {
    const labels = await restoreColumns(this.fs, folder, shard, {
      ...manifest,
      entries: factsOf(manifest, ENTRIES),
      vectors: factsOf(manifest, VECTORS),
      codes: factsOf(manifest, CODES),
    });
    if (shard.size !== manifest.templates) throw corrupt('the number of templates differs');
    if (manifest.unusable > 0) {
      await restoreUnusable(this.fs, folder, shard, factsOf(manifest, UNUSABLE), manifest.unusable);
    }
    for (const { partition, nextOffset, digest } of manifest.nextOffsets) {
      shard.advance(partition, nextOffset);
      shard.restoreDigest(partition, digest);
    }
    return labels;
  }

  /** @returns undefined when nothing was in it */
  async #loadGraph(folder: string, manifest: SnapshotManifest): Promise<HnswGraph | undefined> {
    if (manifest.graph === undefined) return undefined;
    await readVerified(this.fs, folder, factsOf(manifest, GRAPH));
    return HnswGraph.load(`${folder}/${GRAPH}`, this.identity.dimension, manifest.graph);
  }

  async #readManifest(folder: string): Promise<string> {
    const sizeBytes = await this.fs.sizeBytes(`${folder}/${MANIFEST}`).catch((cause: unknown) => {
      throw corrupt('the manifest is missing', cause);
    });
    if (sizeBytes > MANIFEST_BYTES_MAX) throw corrupt('the manifest is too long');
    const bytes = new Uint8Array(sizeBytes);
    const file = await this.fs.open(`${folder}/${MANIFEST}`, 'r');
    try {
      await file.read(bytes);
    } finally {
      await file.close();
    }
    return Buffer.from(bytes).toString('utf8');
  }

  async #removeOlder(newest: number, all: boolean): Promise<void> {
    const kept = all ? 1 : SNAPSHOTS_KEPT;
    const older = (await this.#sequences()).filter((sequence) => sequence < newest);
    for (const sequence of older.slice(0, Math.max(0, older.length - (kept - 1)))) {
      await this.fs.remove(`${this.base}/${sequence}`);
    }
    const quarantined = (await this.fs.list(this.base))
      .filter((name) => name.startsWith('quarantine-'))
      .sort((a, b) => sequenceOf(a) - sequenceOf(b));
    const keptAside = all ? 0 : QUARANTINED_KEPT;
    for (const name of quarantined.slice(0, Math.max(0, quarantined.length - keptAside))) {
      await this.fs.remove(`${this.base}/${name}`);
    }
    await this.fs.syncFolder(this.base);
  }

  async #setAside(sequence: number, code: string): Promise<void> {
    const aside = `${this.base}/quarantine-${sequence}-${code}`;
    await this.fs.remove(aside);
    await this.fs.rename(`${this.base}/${sequence}`, aside);
    await this.fs.syncFolder(this.base);
  }

  /** @returns bytes; endless when the disk does not say */
  async #freeBytes(): Promise<number> {
    return this.fs.freeBytes(this.base).catch(() => Infinity);
  }

  async #removeTemporary(): Promise<void> {
    for (const name of await this.fs.list(this.base)) {
      if (name.startsWith('tmp-')) await this.fs.remove(`${this.base}/${name}`);
    }
  }

  /** Of the good ones, oldest first. */
  async #sequences(): Promise<number[]> {
    const names = (await this.fs.list(this.base)).filter((name) => /^\d+$/.test(name));
    return names.map(Number).sort((a, b) => a - b);
  }

  /** Of all that has a number, so that none is given twice; 0 when there is none. */
  async #lastSequence(): Promise<number> {
    return Math.max(0, ...(await this.fs.list(this.base)).map(sequenceOf));
  }
}

function sequenceOf(name: string): number {
  return Number(/\d+/.exec(name)?.[0] ?? 0);
}

function factsOf(manifest: SnapshotManifest, name: string): FileFacts {
  const facts = manifest.files.find((file) => file.name === name);
  if (facts === undefined) throw corrupt(`the manifest does not name ${name}`);
  return facts;
}

/** Of this error or of what caused it: the disk, or the share of it that this account may use, is full. */
function hasNoSpaceCode(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const code = 'code' in error ? error.code : undefined;
  return error instanceof NoSpace || code === 'ENOSPC' || code === 'EDQUOT' || hasNoSpaceCode(error.cause);
}

class NoSpace extends Error {}

/** Somebody has set the wrong path, or the wrong permissions: that is not a disk that fails. */
function isMisplaced(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'ENOTDIR' || error.code === 'EACCES');
}
