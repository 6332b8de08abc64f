/**
 * What a shard knows of its templates beside their vectors: numbers in typed arrays, and the metadata as bytes that are
 * read when somebody asks for them, so that a million templates are no millions of objects.
 *
 * A record: the length of the subjectId (a byte), the subjectId in ASCII, and the rest of the metadata and `keeping` as
 * JSON in UTF-8, or nothing where there is no more. The imageId is in ./vector-store.ts.
 */
import type { TemplateKeeping, TemplateMetadata } from '#domain/gallery.js';
import type { ImageId, Offset, SubjectId } from '#domain/ids.js';
import type { GalleryEntry } from './gallery-contents.js';
import { hashOfBytes } from './id-index.js';
import { bytesOf, grownFor, SLOTS_PER_BLOCK } from './slot-columns.js';
import { SlotRecords } from './slot-records.js';

/** What its length, a byte, can say; an id has 128 at most. */
const SUBJECT_BYTES_MAX = 255;
const NO_MORE = '{}';

type More = Omit<TemplateMetadata, 'imageId' | 'subjectId'> & { readonly keeping?: TemplateKeeping };

export class EntryColumns {
  #partitions = new Uint16Array(SLOTS_PER_BLOCK);
  #sourceOffsets = new Float64Array(SLOTS_PER_BLOCK);
  #acceptedAtMs = new Float64Array(SLOTS_PER_BLOCK);
  readonly #records = new SlotRecords();

  get memoryBytes(): number {
    return this.#partitions.length * (2 + 8 + 8) + this.#records.memoryBytes;
  }

  set(slot: number, { partition, metadata, source, keeping }: GalleryEntry): void {
    this.#partitions = grownFor(slot, this.#partitions, (length) => new Uint16Array(length));
    this.#sourceOffsets = grownFor(slot, this.#sourceOffsets, (length) => new Float64Array(length));
    this.#acceptedAtMs = grownFor(slot, this.#acceptedAtMs, (length) => new Float64Array(length));
    this.#partitions[slot] = partition;
    this.#sourceOffsets[slot] = source.sourceOffset;
    this.#acceptedAtMs[slot] = source.acceptedAtMs;
    this.#records.set(slot, encodeRecord(metadata, keeping));
  }

  clear(slot: number): void {
    this.#partitions[slot] = 0;
    this.#sourceOffsets[slot] = 0;
    this.#acceptedAtMs[slot] = 0;
    this.#records.clear(slot);
  }

  /** As it was {@link set}. @param imageId of the slot */
  entry(slot: number, imageId: ImageId): GalleryEntry {
    const { keeping, ...more } = this.#more(slot);
    return {
      partition: this.partition(slot),
      metadata: { imageId, subjectId: this.subjectId(slot), ...more },
      source: { sourceOffset: this.sourceOffset(slot), acceptedAtMs: this.#acceptedAtMs[slot]! },
      ...(keeping !== undefined && { keeping }),
    };
  }

  partition(slot: number): number {
    return this.#partitions[slot]!;
  }

  /** Inclusive. */
  sourceOffset(slot: number): Offset {
    return this.#sourceOffsets[slot]! as Offset;
  }

  subjectId(slot: number): SubjectId {
    const start = this.#records.start(slot) + 1;
    return this.#records.bufferOf(slot).toString('latin1', start, this.#subjectEnd(slot)) as SubjectId;
  }

  /** Of the subjectId, see ./id-index.ts. */
  subjectHash(slot: number): number {
    return hashOfBytes(this.#records.bufferOf(slot), this.#records.start(slot) + 1, this.#subjectEnd(slot));
  }

  /** What a snapshot has of the slots below the end. */
  *sections(slotEnd: number): Generator<Uint8Array> {
    yield* this.#numbers(slotEnd);
    yield* this.#records.sections(slotEnd);
  }

  /** The same, to be filled in turn. @param bytesMax of all records together @throws RangeError */
  *sectionsToFill(slotEnd: number, bytesMax: number): Generator<Uint8Array> {
    const slots = Math.ceil(slotEnd / SLOTS_PER_BLOCK) * SLOTS_PER_BLOCK;
    this.#partitions = new Uint16Array(slots);
    this.#sourceOffsets = new Float64Array(slots);
    this.#acceptedAtMs = new Float64Array(slots);
    yield* this.#numbers(slotEnd);
    yield* this.#records.sectionsToFill(slotEnd, bytesMax);
  }

  #numbers(slotEnd: number): Uint8Array[] {
    return [this.#partitions, this.#sourceOffsets, this.#acceptedAtMs].map((column) => bytesOf(column, slotEnd));
  }

  /** Exclusive, in the record's buffer. */
  #subjectEnd(slot: number): number {
    const start = this.#records.start(slot);
    return start + 1 + this.#records.bufferOf(slot)[start]!;
  }

  #more(slot: number): More {
    const start = this.#subjectEnd(slot);
    const end = this.#records.end(slot);
    return start === end ? {} : (JSON.parse(this.#records.bufferOf(slot).toString('utf8', start, end)) as More);
  }
}

function encodeRecord(
  { imageId: _elsewhere, subjectId, ...metadata }: TemplateMetadata,
  keeping: TemplateKeeping | undefined,
): Uint8Array {
  if (subjectId.length > SUBJECT_BYTES_MAX) throw new RangeError('a subjectId is longer than one can be');
  const more: More = keeping === undefined ? metadata : { ...metadata, keeping };
  const json = JSON.stringify(more);
  const rest = json === NO_MORE ? '' : json;
  const record = Buffer.alloc(1 + subjectId.length + Buffer.byteLength(rest));
  record[0] = subjectId.length;
  record.write(subjectId, 1, 'latin1');
  record.write(rest, 1 + subjectId.length);
  return record;
}
