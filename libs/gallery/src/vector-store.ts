/**
 * The templates of one shard by *slot*: a dense whole number that is used again after the template is gone. Vectors are
 * float32 in native memory, in blocks, so that growing never copies. The engines read from here and keep nothing else
 * of a template than what they derive from it.
 */
import { hashOfBytes } from './id-index.js';
import { bytesOf, grownFor, SLOTS_PER_BLOCK } from './slot-columns.js';
import { SlotRecords } from './slot-records.js';
import { cosine } from './template-vector.js';

const FREE = 0;
const SEARCHABLE = 1;
const SUPPRESSED = 2;
const NO_SUBJECT = -1;

/** How far a search has seen, to compare a later one with it. */
export interface StoreSight {
  readonly puts: number;
  readonly changes: number;
}

export class VectorStore {
  readonly #blocks: Float32Array[] = [];
  #states = new Uint8Array(SLOTS_PER_BLOCK);
  #subjects = noSubjects(SLOTS_PER_BLOCK);
  readonly #imageIds = new SlotRecords();
  readonly #free: number[] = [];
  /** By slot: how many were put before it. */
  #puts = new Float64Array(SLOTS_PER_BLOCK);
  #slotEnd = 0;
  #suppressed = 0;
  #putsTotal = 0;
  #changesTotal = 0;

  /** @param dimension values a template */
  constructor(readonly dimension: number) {}

  /** Slots ever used; exclusive. */
  get slotEnd(): number {
    return this.#slotEnd;
  }

  /** Templates held, suppressed ones included. */
  get size(): number {
    return this.#slotEnd - this.#free.length;
  }

  get suppressed(): number {
    return this.#suppressed;
  }

  /** But for the image ids. */
  get memoryBytes(): number {
    return this.#blocks.length * SLOTS_PER_BLOCK * this.dimension * 4 + this.#states.length * (1 + 4 + 8);
  }

  get imageIdBytes(): number {
    return this.#imageIds.memoryBytes;
  }

  /** What a search can see now, for {@link isSeen} and {@link isSeenWhole}. */
  get sight(): StoreSight {
    return { puts: this.#putsTotal, changes: this.#changesTotal };
  }

  /** Whether nothing that was there to be seen was removed, or changed what it is or whether it is searchable. */
  isSeenWhole(sight: StoreSight): boolean {
    return sight.changes === this.#changesTotal;
  }

  /** Whether the slot's template was there already. */
  isSeen(slot: number, sight: StoreSight): boolean {
    return this.#puts[slot]! < sight.puts;
  }

  /** The slot that the next {@link put} will take. */
  get nextSlot(): number {
    return this.#free.at(-1) ?? this.#slotEnd;
  }

  /**
   * @param vector Float32Array of length `dimension`, checked by the caller; copied
   * @param imageId in ASCII
   * @param subject the subject's number within the shard
   * @returns the slot
   */
  put(vector: Float32Array, imageId: string, subject: number): number {
    const slot = this.#free.pop() ?? this.#slotEnd++;
    const block = Math.floor(slot / SLOTS_PER_BLOCK);
    if (block === this.#blocks.length) this.#blocks.push(new Float32Array(SLOTS_PER_BLOCK * this.dimension));
    this.#growColumnsFor(slot);
    this.#blocks[block]!.set(vector, (slot % SLOTS_PER_BLOCK) * this.dimension);
    this.#imageIds.set(slot, Buffer.from(imageId, 'latin1'));
    this.#occupy(slot, subject);
    return slot;
  }

  /** Overwrites the template with zeros and frees its slot. */
  clear(slot: number): void {
    if (this.isFree(slot)) throw new RangeError(`slot ${slot} is free already`);
    if (this.#states[slot] === SUPPRESSED) this.#suppressed--;
    this.#changesTotal++;
    this.vector(slot).fill(0);
    this.#states[slot] = FREE;
    this.#subjects[slot] = NO_SUBJECT;
    this.#imageIds.clear(slot);
    this.#free.push(slot);
  }

  setSuppressed(slot: number, suppressed: boolean): void {
    const before = this.#states[slot];
    if (before === FREE || before === undefined) throw new RangeError(`slot ${slot} is free`);
    const after = suppressed ? SUPPRESSED : SEARCHABLE;
    if (before === after) return;
    this.#changesTotal++;
    this.#states[slot] = after;
    this.#suppressed += suppressed ? 1 : -1;
  }

  setSubject(slot: number, subject: number): void {
    this.#subjects[slot] = subject;
    this.#changesTotal++;
  }

  isFree(slot: number): boolean {
    return (this.#states[slot] ?? FREE) === FREE;
  }

  /** Whether a search may return it: held, and not suppressed. */
  isSearchable(slot: number): boolean {
    return this.#states[slot] === SEARCHABLE;
  }

  subject(slot: number): number {
    return this.#subjects[slot]!;
  }

  imageId(slot: number): string {
    const bytes = this.#imageIds.bufferOf(slot);
    return bytes.toString('latin1', this.#imageIds.start(slot), this.#imageIds.end(slot));
  }

  /** Of the imageId, see ./id-index.ts. */
  imageHash(slot: number): number {
    return hashOfBytes(this.#imageIds.bufferOf(slot), this.#imageIds.start(slot), this.#imageIds.end(slot));
  }

  /** A slot beside this one that is of the subject too. @throws RangeError when there is none */
  otherSlotOf(subject: number, slot: number): number {
    const before = this.#subjects.subarray(0, slot).indexOf(subject);
    const other = before === -1 ? this.#subjects.subarray(0, this.#slotEnd).indexOf(subject, slot + 1) : before;
    if (other === -1) throw new RangeError(`no other slot is of the subject ${subject}`);
    return other;
  }

  /** A byte a slot: 1 where there is a template, 0 where there is none. A copy. */
  heldFlags(): Uint8Array {
    return this.#states.slice(0, this.#slotEnd).map((state) => Number(state !== FREE));
  }

  /** The vectors of all slots, a block after the other: what a snapshot has of them. Views. */
  *sections(): Generator<Uint8Array> {
    for (const [block, vectors] of this.#blocks.entries()) {
      const slots = Math.min(SLOTS_PER_BLOCK, this.#slotEnd - block * SLOTS_PER_BLOCK);
      yield bytesOf(vectors, slots * this.dimension);
    }
  }

  /** What a snapshot has of the image ids. */
  imageIdSections(): Generator<Uint8Array> {
    return this.#imageIds.sections(this.#slotEnd);
  }

  /** The same, to be filled in turn after {@link reserve}. @param bytesMax of all ids together @throws RangeError */
  imageIdSectionsToFill(bytesMax: number): Generator<Uint8Array> {
    return this.#imageIds.sectionsToFill(this.#slotEnd, bytesMax);
  }

  /**
   * Gives an empty store so many slots, whose {@link sections} are to be filled. Each slot is then either
   * {@link putBack} or {@link leaveFree}; until then it is of no subject.
   */
  reserve(slotEnd: number): void {
    if (this.#slotEnd > 0) throw new RangeError('only an empty store is restored');
    for (let slots = 0; slots < slotEnd; slots += SLOTS_PER_BLOCK) {
      this.#blocks.push(new Float32Array(SLOTS_PER_BLOCK * this.dimension));
    }
    this.#growColumnsFor(this.#blocks.length * SLOTS_PER_BLOCK - 1);
    this.#slotEnd = slotEnd;
  }

  putBack(slot: number, subject: number): void {
    this.#occupy(slot, subject);
  }

  leaveFree(slot: number): void {
    this.#subjects[slot] = NO_SUBJECT;
    this.#free.push(slot);
  }

  /** A view, not a copy: it changes with the slot. */
  vector(slot: number): Float32Array {
    const start = (slot % SLOTS_PER_BLOCK) * this.dimension;
    return this.#blocks[Math.floor(slot / SLOTS_PER_BLOCK)]!.subarray(start, start + this.dimension);
  }

  /** The exact score, see {@link cosine}. */
  score(probe: Float64Array, slot: number): number {
    const block = this.#blocks[Math.floor(slot / SLOTS_PER_BLOCK)]!;
    return cosine(probe, block, (slot % SLOTS_PER_BLOCK) * this.dimension, this.dimension);
  }

  #occupy(slot: number, subject: number): void {
    this.#states[slot] = SEARCHABLE;
    this.#subjects[slot] = subject;
    this.#puts[slot] = this.#putsTotal++;
  }

  #growColumnsFor(slot: number): void {
    this.#states = grownFor(slot, this.#states, (length) => new Uint8Array(length));
    this.#subjects = grownFor(slot, this.#subjects, noSubjects);
    this.#puts = grownFor(slot, this.#puts, (length) => new Float64Array(length));
  }
}

function noSubjects(length: number): Int32Array<ArrayBuffer> {
  return new Int32Array(length).fill(NO_SUBJECT);
}
