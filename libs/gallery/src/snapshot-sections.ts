/**
 * What the files of a snapshot hold. Three of them are the shard's own columns, byte for byte and slot by slot, free slots
 * included, so that writing one is handing over views, and a restore reads into the arrays that the shard then works with:
 *
 * - `entries.bin`: a column after the other: whether the slot is held (uint8), label in the graph (int32, -1: not in it),
 *   when it was captured (float64, milliseconds since 1970), force (uint32, from 1: its place among the names), sex and
 *   age band (uint8); the length of the forces' names (uint32), and these as an array in JSON; imageIds; partition
 *   (uint16), sourceOffset and acceptedAtMs (float64); records, see ./entry-columns.ts. Ids and records are each a column
 *   of starts and one of lengths (uint32, within their block), and then the bytes of each block of 4,096 slots;
 * - `vectors.f32`: the templates, float32, `dimension` each;
 * - `codes.bin`: for each block, the exact engine's codes (int8), scales and residuals (float32), sums of codes (int32);
 * - `unusable.jsonl`: a line an image whose last record cannot be used: imageId, partition, sourceOffset (null: the
 *   record did not say), timestampMs; absent when there is none.
 *
 * Numbers are little-endian.
 */
import type { ImageId, Offset } from '#domain/ids.js';
import type { GalleryShard } from './gallery-shard.js';
import { corrupt, fillVerified, readVerified, type FileFacts, type SnapshotFs } from './snapshot-files.js';
import type { UnusableImage } from './unusable-images.js';

export const ENTRIES = 'entries.bin';
export const VECTORS = 'vectors.f32';
export const CODES = 'codes.bin';
export const UNUSABLE = 'unusable.jsonl';

interface UnusableLine {
  readonly imageId: ImageId;
  readonly partition: number;
  readonly sourceOffset: Offset | null;
  readonly timestampMs: number;
}

/** The columns' files, and what each is made of. The shard must not change until all is read. */
export function columnFiles(shard: GalleryShard): readonly (readonly [string, Iterable<Uint8Array>])[] {
  const { templates, store } = shard;
  return [
    [ENTRIES, templates.entrySections()],
    [VECTORS, store.sections()],
    [CODES, templates.exact.sections(store.slotEnd)],
  ];
}

export interface ColumnFacts {
  readonly entries: FileFacts;
  readonly vectors: FileFacts;
  readonly codes: FileFacts;
  readonly slotEnd: number;
}

/**
 * Reads the columns' files into an empty shard.
 *
 * @returns labels in the graph, by slot; the shard's own graph is empty still, and nothing is pending
 * @throws Failure SNAPSHOT_CORRUPT, SHARD_FULL; the shard must not be used then
 */
export async function restoreColumns(
  fs: SnapshotFs,
  folder: string,
  shard: GalleryShard,
  { entries, vectors, codes, slotEnd }: ColumnFacts,
): Promise<Int32Array> {
  const { templates, store } = shard;
  // Before any memory is asked for.
  if (vectors.sizeBytes !== slotEnd * store.dimension * 4) throw corrupt('the number of vectors differs');
  if (codes.sizeBytes !== templates.exact.sectionsBytes(slotEnd)) throw corrupt('the number of codes differs');
  if (entries.sizeBytes < slotEnd) throw corrupt('the number of entries differs');
  templates.reserve(slotEnd);
  const held = new Uint8Array(slotEnd);
  const labels = new Int32Array(slotEnd);
  try {
    await fillVerified(fs, folder, entries, templates.entrySectionsToFill(held, labels, entries.sizeBytes));
    await fillVerified(fs, folder, vectors, store.sections());
    await fillVerified(fs, folder, codes, templates.exact.sections(slotEnd));
    templates.adopt(held);
  } catch (cause) {
    if (cause instanceof RangeError) throw corrupt('an entry or a vector cannot be', cause);
    throw cause;
  }
  return labels;
}

export function* unusableLines(images: Iterable<readonly [ImageId, UnusableImage]>): Generator<Uint8Array> {
  for (const [imageId, { partition, sourceOffset, timestampMs }] of images) {
    const line: UnusableLine = { imageId, partition, sourceOffset: sourceOffset ?? null, timestampMs };
    yield Buffer.from(`${JSON.stringify(line)}\n`);
  }
}

/** @param count lines that there should be @throws Failure SNAPSHOT_CORRUPT */
export async function restoreUnusable(
  fs: SnapshotFs,
  folder: string,
  shard: GalleryShard,
  facts: FileFacts,
  count: number,
): Promise<void> {
  const parts: Buffer[] = [];
  await readVerified(fs, folder, facts, (chunk) => parts.push(Buffer.from(chunk)));
  const lines = Buffer.concat(parts).toString().split('\n').slice(0, -1);
  if (lines.length !== count) throw corrupt('the number of unusable images differs');
  try {
    for (const line of lines) {
      const { imageId, partition, sourceOffset, timestampMs } = JSON.parse(line) as UnusableLine;
      shard.restoreUnusable(imageId, { partition, sourceOffset: sourceOffset ?? undefined, timestampMs });
    }
  } catch (cause) {
    throw corrupt('an unusable image cannot be', cause);
  }
}
