/** What the files of a snapshot hold, row by row: see ./snapshot.ts for the files. */
import type { TemplateMetadata } from '#domain/gallery.js';
import type { ImageId, Offset } from '#domain/ids.js';
import type { GalleryEntry } from './gallery-contents.js';
import type { GalleryShard } from './gallery-shard.js';
import { CHUNK_BYTES, corrupt } from './snapshot-files.js';
import type { UnusableImage } from './unusable-images.js';

export interface EntryLine {
  readonly partition: number;
  readonly sourceOffset: Offset;
  readonly acceptedAtMs: number;
  readonly label: number;
  readonly metadata: TemplateMetadata;
}

export interface UnusableLine {
  readonly imageId: ImageId;
  readonly partition: number;
  readonly sourceOffset: Offset | null;
  readonly timestampMs: number;
}

/** @returns the label */
export function restoreLine(
  shard: GalleryShard,
  line: EntryLine | undefined,
  vector: Float32Array,
  slot: number,
): number {
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

export function restoreUnusable(
  shard: GalleryShard,
  { imageId, partition, sourceOffset, timestampMs }: UnusableLine,
): void {
  try {
    shard.restoreUnusable(imageId, { partition, sourceOffset: sourceOffset ?? undefined, timestampMs });
  } catch (cause) {
    throw corrupt('an unusable image cannot be', cause);
  }
}

export function* unusableChunks(images: Iterable<readonly [ImageId, UnusableImage]>): Generator<Uint8Array> {
  for (const [imageId, { partition, sourceOffset, timestampMs }] of images) {
    const line: UnusableLine = { imageId, partition, sourceOffset: sourceOffset ?? null, timestampMs };
    yield Buffer.from(`${JSON.stringify(line)}\n`);
  }
}

export function* entryChunks(shard: GalleryShard): Generator<Uint8Array> {
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

export function* vectorChunks(shard: GalleryShard): Generator<Uint8Array> {
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
