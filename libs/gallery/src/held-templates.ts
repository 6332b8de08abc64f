/**
 * The templates that a shard holds, by slot, and all that is kept of each: vector, code, graph node, what it is filtered
 * by, and its entry. Every change leaves all of them agreeing, and the figures of each partition with them; whether it
 * ought to be made is for ./gallery-shard.ts to say.
 */
import type { GalleryFilter } from '#domain/gallery.js';
import type { ImageId, Offset } from '#domain/ids.js';
import { EntryColumns } from './entry-columns.js';
import { ExactEngine } from './exact-engine.js';
import { FilterColumns } from './filter-columns.js';
import type { GalleryEntry } from './gallery-contents.js';
import { GalleryDigest } from './gallery-digest.js';
import { HnswEngine } from './hnsw-engine.js';
import { hashOf, IdIndex } from './id-index.js';
import { SubjectNumbers } from './subject-numbers.js';
import { VectorStore } from './vector-store.js';

interface PartitionState {
  searchable: number;
  readonly digest: GalleryDigest;
}

export class HeldTemplates {
  readonly store: VectorStore;
  readonly exact: ExactEngine;
  readonly approximate: HnswEngine;
  readonly #filters = new FilterColumns();
  readonly #entries = new EntryColumns();
  readonly #slots: IdIndex;
  readonly #subjects: SubjectNumbers;
  readonly #partitions: ReadonlyMap<number, PartitionState>;

  constructor(dimension: number, partitions: readonly number[]) {
    this.store = new VectorStore(dimension);
    this.exact = new ExactEngine(this.store);
    this.approximate = new HnswEngine(this.store, this.exact);
    this.#slots = new IdIndex((slot) => this.store.imageId(slot));
    this.#subjects = new SubjectNumbers({
      subjectId: (slot) => this.#entries.subjectId(slot),
      subjectHash: (slot) => this.#entries.subjectHash(slot),
      otherSlotOf: (subject, slot) => this.store.otherSlotOf(subject, slot),
    });
    this.#partitions = new Map(partitions.map((number) => [number, { searchable: 0, digest: new GalleryDigest() }]));
  }

  /** Of vectors, codes, graph and what is filtered by. */
  get memoryBytes(): number {
    return this.store.memoryBytes + this.exact.memoryBytes + this.#filters.memoryBytes + this.approximate.memoryBytes;
  }

  /** Of the entries, and of finding them by their ids. */
  get entryBytes(): number {
    const idBytes = this.store.imageIdBytes + this.#slots.memoryBytes + this.#subjects.memoryBytes;
    return this.#entries.memoryBytes + idBytes;
  }

  slotOf(imageId: ImageId): number | undefined {
    return this.#slots.find(imageId);
  }

  entry(slot: number): GalleryEntry {
    this.#requireHeld(slot);
    return this.#entries.entry(slot, this.store.imageId(slot) as ImageId);
  }

  /** Inclusive. */
  sourceOffset(slot: number): Offset {
    this.#requireHeld(slot);
    return this.#entries.sourceOffset(slot);
  }

  partition(slot: number): number {
    this.#requireHeld(slot);
    return this.#entries.partition(slot);
  }

  /** Templates of the partition that a search may return. */
  searchable(partition: number): number {
    return this.#partition(partition).searchable;
  }

  /** Of the partition's templates; kept up to date with every change. */
  digest(partition: number): GalleryDigest {
    return this.#partition(partition).digest;
  }

  /** See FilterColumns.compile. @throws Refusal BAD_FILTER */
  compileFilter(filter: GalleryFilter): (slot: number) => boolean {
    return this.#filters.compile(filter, (imageId) => this.#slots.find(imageId));
  }

  /** @throws Failure SHARD_FULL, with nothing changed, when there is no room for one more */
  ensureRoomForOneMore(): void {
    this.exact.ensureRoomFor(this.store.nextSlot);
  }

  /** @param vector checked; copied. @returns the slot @throws Failure SHARD_FULL, with nothing changed */
  insert(entry: GalleryEntry, vector: Float32Array): number {
    const partition = this.#partition(entry.partition);
    this.ensureRoomForOneMore();
    const slot = this.store.nextSlot;
    this.#entries.set(slot, entry);
    this.store.put(vector, entry.metadata.imageId, this.#subjects.take(slot));
    this.#slots.put(slot, hashOf(entry.metadata.imageId));
    this.exact.add(slot);
    this.approximate.add(slot);
    this.#filters.set(slot, entry.metadata);
    partition.searchable++;
    this.#toggleDigest(slot);
    return slot;
  }

  /** Overwrites all that there is of it. */
  remove(slot: number): void {
    if (this.store.isSearchable(slot)) this.#partition(this.partition(slot)).searchable--;
    this.#toggleDigest(slot);
    this.approximate.remove(slot);
    this.exact.remove(slot);
    this.#filters.clear(slot);
    this.#slots.remove(slot, this.store.imageHash(slot));
    this.#subjects.release(slot, this.store.subject(slot));
    this.store.clear(slot);
    this.#entries.clear(slot);
  }

  /** The vector stays, so that a replayed record costs no work in the engines. @param entry of the same image and partition */
  replaceEntry(slot: number, entry: GalleryEntry): void {
    this.#toggleDigest(slot);
    this.#subjects.release(slot, this.store.subject(slot));
    this.#entries.set(slot, entry);
    this.store.setSubject(slot, this.#subjects.take(slot));
    this.#filters.set(slot, entry.metadata);
    this.#toggleDigest(slot);
  }

  suppress(slot: number, suppressed: boolean): void {
    const before = this.store.isSearchable(slot);
    this.store.setSuppressed(slot, suppressed);
    const after = this.store.isSearchable(slot);
    this.#partition(this.partition(slot)).searchable += Number(after) - Number(before);
  }

  addToDigest(digest: GalleryDigest, slot: number): void {
    const imageId = this.store.imageId(slot) as ImageId;
    digest.toggle(imageId, this.#entries.sourceOffset(slot), this.store.vector(slot));
  }

  /** What a snapshot has of all slots, free ones included, beside vectors and codes. Most are views. */
  *entrySections(): Generator<Uint8Array> {
    const { slotEnd } = this.store;
    yield this.store.heldFlags();
    yield new Uint8Array(this.approximate.labels().buffer);
    yield* this.#filters.sections(slotEnd);
    yield* this.store.imageIdSections();
    yield* this.#entries.sections(slotEnd);
  }

  /**
   * Gives an empty shard so many slots, whose sections are to be filled: those of the store, of the exact engine, and
   * {@link entrySectionsToFill}. {@link adopt} makes them templates.
   *
   * @throws Failure SHARD_FULL
   */
  reserve(slotEnd: number): void {
    this.store.reserve(slotEnd);
    if (slotEnd > 0) this.exact.ensureRoomFor(slotEnd - 1);
    this.#slots.reserve(slotEnd);
    this.#subjects.reserve(slotEnd);
  }

  /**
   * Each section is to be filled before the next is asked for.
   *
   * @param held takes the flags, of length slotEnd
   * @param labels takes the labels in the graph, of length slotEnd
   * @param bytesMax of all ids, records or names together @throws RangeError
   */
  *entrySectionsToFill(held: Uint8Array, labels: Int32Array, bytesMax: number): Generator<Uint8Array> {
    const { slotEnd } = this.store;
    yield held;
    yield new Uint8Array(labels.buffer, labels.byteOffset, labels.byteLength);
    yield* this.#filters.sectionsToFill(slotEnd, bytesMax);
    yield* this.store.imageIdSectionsToFill(bytesMax);
    yield* this.#entries.sectionsToFill(slotEnd, bytesMax);
  }

  /**
   * Takes what the sections were filled with, and makes what is held of it searchable. Vectors are not looked at again:
   * the checksum of their file says that they are those that were checked when they were taken in. The digests of the
   * partitions are to be resumed, as hashing each template would cost as much as reading it; and so is the graph.
   *
   * @throws RangeError when an image is there twice, or a partition is another shard's
   */
  adopt(held: Uint8Array): void {
    const { store } = this;
    this.#filters.adoptForces();
    for (let slot = 0; slot < store.slotEnd; slot++) {
      if (held[slot] === 0) {
        store.leaveFree(slot);
        continue;
      }
      this.#putBack(slot);
    }
  }

  #putBack(slot: number): void {
    this.store.putBack(slot, this.#subjects.take(slot));
    if (this.#slots.put(slot, this.store.imageHash(slot)) !== undefined) {
      throw new RangeError('an image was restored twice');
    }
    this.#partition(this.#entries.partition(slot)).searchable++;
  }

  #toggleDigest(slot: number): void {
    this.addToDigest(this.#partition(this.#entries.partition(slot)).digest, slot);
  }

  #partition(partition: number): PartitionState {
    const state = this.#partitions.get(partition);
    if (state === undefined) throw new RangeError(`partition ${partition} is not of this shard`);
    return state;
  }

  #requireHeld(slot: number): void {
    if (this.store.isFree(slot)) throw new RangeError(`slot ${slot} has no entry`);
  }
}
