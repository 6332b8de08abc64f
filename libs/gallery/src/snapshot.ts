/**
 * A shard on disk: `<base>/<sequence>/` with
 *
 * - `entries.jsonl`: a line an entry, UTF-8 JSON: partition, sourceOffset, acceptedAtMs, label (-1: not in the graph),
 *   metadata;
 * - `vectors.f32`: the templates in the order of the entries, float32 little-endian, `dimension` each;
 * - `hnsw.bin`: the graph as hnswlib writes it; absent when it is empty;
 * - `manifest.json`: see ./snapshot-manifest.ts.
 *
 * Written as `tmp-<sequence>`, flushed, read back and verified, and only then renamed, so that a numbered folder was
 * good once. The newest two are kept; after an erasure just the new one, as the older hold what was erased. What cannot
 * be used is set aside as `quarantine-<sequence>-<code>` and the one before it is tried.
 */
import { Failure, CodedError } from '#domain/errors.js';
import type { TemplateMetadata } from '#domain/gallery.js';
import type { Offset } from '#domain/ids.js';
import type { GalleryEntry, GalleryShard } from './gallery-shard.js';
import { HnswGraph } from './hnsw-graph.js';
import {
  CHUNK_BYTES,
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

/** One to use, and one in case the disk damages it. */
export const SNAPSHOTS_KEPT = 2;
/** Enough to find out what happened, without filling the disk. */
const QUARANTINED_KEPT = 2;
/** Of a manifest, which has some 2 KiB: more is not one. */
const MANIFEST_BYTES_MAX = 1_048_576;

const ENTRIES = 'entries.jsonl';
const VECTORS = 'vectors.f32';
const GRAPH = 'hnsw.bin';
const MANIFEST = 'manifest.json';

interface EntryLine {
  readonly partition: number;
  readonly sourceOffset: Offset;
  readonly acceptedAtMs: number;
  readonly label: number;
  readonly metadata: TemplateMetadata;
}

export interface WrittenSnapshot {
  readonly sequence: number;
  readonly templates: number;
  readonly sizeBytes: number;
}

export interface RestoredSnapshot {
  /** Undefined when there was none to use; the shard is empty then. */
  readonly sequence: number | undefined;
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
   * @throws Failure SNAPSHOT_NOT_WRITTEN (what was there is still there), SNAPSHOT_OLD_NOT_REMOVED (the new one is good)
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
      await this.#removeTemporary().catch(() => {}); // The next snapshot tries again; the cause is what matters.
      throw new Failure('SNAPSHOT_NOT_WRITTEN', 'The snapshot could not be written.', true, { cause });
    }
    try {
      await this.#removeOlder(written.sequence, replacesOlder);
    } catch (cause) {
      throw new Failure('SNAPSHOT_OLD_NOT_REMOVED', 'An older snapshot could not be removed.', true, { cause });
    }
    return written;
  }

  /** Loads the newest snapshot that verifies. @param createShard makes an empty one */
  async restore(createShard: () => GalleryShard): Promise<RestoredSnapshot> {
    const notices: string[] = [];
    await this.#removeTemporary();
    for (const sequence of (await this.#sequences()).reverse()) {
      const shard = createShard();
      try {
        const manifest = await this.#load(sequence, shard, notices);
        if (manifest.replacesOlder) await this.#removeOlder(sequence, true);
        return { sequence, shard, notices };
      } catch (error) {
        const code = error instanceof CodedError ? error.code : 'SNAPSHOT_UNREADABLE';
        notices.push(`snapshot ${sequence} set aside: ${code}`);
        await this.#setAside(sequence, code);
      }
    }
    return { sequence: undefined, shard: createShard(), notices };
  }

  /** Sets all aside, when they turn out to be of another log. @param code in capitals */
  async setAsideAll(code: string): Promise<void> {
    for (const sequence of await this.#sequences()) await this.#setAside(sequence, code);
  }

  /** Whether there are snapshots that were set aside. */
  async hasSetAside(): Promise<boolean> {
    return (await this.fs.list(this.base)).some((name) => name.startsWith('quarantine-'));
  }

  async #writeNew(
    shard: GalleryShard,
    nextOffsets: ReadonlyMap<number, Offset>,
    replacesOlder: boolean,
  ): Promise<WrittenSnapshot> {
    const { fs, base } = this;
    await this.#removeTemporary();
    const sequence = 1 + (await this.#lastSequence());
    const folder = `${base}/tmp-${sequence}`;
    await fs.makeFolder(folder);
    const files: FileFacts[] = [
      await writeFlushed(fs, folder, ENTRIES, entryChunks(shard)),
      await writeFlushed(fs, folder, VECTORS, vectorChunks(shard)),
    ];
    const graph = shard.approximate.graphFacts;
    const hasGraph = graph.labelEnd > graph.deleted;
    if (hasGraph) {
      await shard.approximate.writeGraph(`${folder}/${GRAPH}`);
      files.push(await flushAndRead(fs, folder, GRAPH));
    }
    const manifest: SnapshotManifest = {
      formatVersion: SNAPSHOT_FORMAT_VERSION,
      ...this.identity,
      sequence,
      createdAt: new Date().toISOString(),
      nextOffsets: [...nextOffsets].map(([partition, nextOffset]) => ({ partition, nextOffset })),
      templates: shard.size,
      ...(hasGraph && { graph }),
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
    const lines = await this.#readEntries(folder, manifest);
    const labels = await this.#readVectors(folder, manifest, lines, shard);
    for (const { partition, nextOffset } of manifest.nextOffsets) shard.advance(partition, nextOffset);
    if (manifest.graph !== undefined) {
      try {
        await readVerified(this.fs, folder, factsOf(manifest, GRAPH));
        const graph = await HnswGraph.load(`${folder}/${GRAPH}`, this.identity.dimension, manifest.graph);
        shard.approximate.adopt(graph, labels);
      } catch (error) {
        // The graph follows from the vectors, which are good.
        const code = error instanceof CodedError ? error.code : 'SNAPSHOT_UNREADABLE';
        notices.push(`snapshot ${sequence}: its graph is built anew: ${code}`);
      }
    }
    return manifest;
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

  async #readEntries(folder: string, manifest: SnapshotManifest): Promise<EntryLine[]> {
    const parts: Buffer[] = [];
    await readVerified(this.fs, folder, factsOf(manifest, ENTRIES), (chunk) => parts.push(Buffer.from(chunk)));
    const lines: EntryLine[] = [];
    // Line by line from the bytes: a million entries as one string would be longer than a string may be.
    const bytes = Buffer.concat(parts);
    for (let start = 0; start < bytes.length;) {
      const end = bytes.indexOf(0x0a, start);
      if (end === -1) throw corrupt('the last entry has no end');
      lines.push(JSON.parse(bytes.toString('utf8', start, end)) as EntryLine);
      start = end + 1;
    }
    if (lines.length !== manifest.templates) throw corrupt('the number of entries differs');
    return lines;
  }

  /** @returns labels by slot */
  async #readVectors(
    folder: string,
    manifest: SnapshotManifest,
    lines: readonly EntryLine[],
    shard: GalleryShard,
  ): Promise<number[]> {
    const vector = new Float32Array(this.identity.dimension);
    const bytes = new Uint8Array(vector.buffer);
    const labels: number[] = [];
    let filled = 0;
    let row = 0;
    await readVerified(this.fs, folder, factsOf(manifest, VECTORS), (chunk) => {
      for (let at = 0; at < chunk.length;) {
        const part = chunk.subarray(at, at + bytes.length - filled);
        bytes.set(part, filled);
        filled += part.length;
        at += part.length;
        if (filled < bytes.length) break;
        filled = 0;
        labels.push(restoreLine(shard, lines[row++], vector, labels.length));
      }
    });
    if (row !== lines.length || filled !== 0) throw corrupt('the number of vectors differs');
    return labels;
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

/** @returns the label */
function restoreLine(shard: GalleryShard, line: EntryLine | undefined, vector: Float32Array, slot: number): number {
  if (line === undefined) throw corrupt('there are more vectors than entries');
  const { partition, sourceOffset, acceptedAtMs, metadata, label } = line;
  const entry: GalleryEntry = { partition, metadata, source: { sourceOffset, acceptedAtMs } };
  let restored: number;
  try {
    restored = shard.restore(entry, vector);
  } catch (cause) {
    if (cause instanceof RangeError) throw corrupt('an entry or a vector cannot be', cause);
    throw cause;
  }
  if (restored !== slot) throw new Error('a snapshot is restored into an empty shard only');
  return label;
}

function* entryChunks(shard: GalleryShard): Generator<Uint8Array> {
  let text = '';
  for (const { slot, entry } of shard.entries()) {
    const line: EntryLine = {
      partition: entry.partition,
      sourceOffset: entry.source.sourceOffset,
      acceptedAtMs: entry.source.acceptedAtMs,
      label: shard.approximate.labelOf(slot),
      metadata: entry.metadata,
    };
    text += `${JSON.stringify(line)}\n`;
    // Building a line costs more than hashing it; a quarter of a chunk keeps the thread free for searches.
    if (text.length >= CHUNK_BYTES / 4) {
      yield Buffer.from(text);
      text = '';
    }
  }
  if (text !== '') yield Buffer.from(text);
}

function* vectorChunks(shard: GalleryShard): Generator<Uint8Array> {
  const { dimension } = shard.store;
  const rows = Math.max(1, Math.floor(CHUNK_BYTES / 4 / dimension));
  const chunk = new Float32Array(rows * dimension);
  let row = 0;
  for (const { slot } of shard.entries()) {
    chunk.set(shard.store.vector(slot), row * dimension);
    row++;
    if (row < rows) continue;
    yield new Uint8Array(chunk.buffer);
    row = 0;
  }
  if (row > 0) yield new Uint8Array(chunk.buffer, 0, row * dimension * 4);
}
