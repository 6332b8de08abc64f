/**
 * The templates of one shard by *slot*: a dense whole number that is used again after the template is gone. Vectors are
 * float32 in native memory, in blocks, so that growing never copies. The engines read from here and keep nothing else
 * of a template than what they derive from it.
 */
import { cosine } from './template-vector.js';

/** Slots a block: 8 MiB of float32 at 512 dimensions, so that growing costs a few milliseconds and wastes little. */
export const SLOTS_PER_BLOCK = 4096;

const FREE = 0;
const SEARCHABLE = 1;
const SUPPRESSED = 2;

/** How far a search has seen, to compare a later one with it. */
export interface StoreSight {
  readonly puts: number;
  readonly changes: number;
}

export class VectorStore {
  readonly #blocks: Float32Array[] = [];
  #states = new Uint8Array(SLOTS_PER_BLOCK);
  #subjects = new Int32Array(SLOTS_PER_BLOCK);
  readonly #imageIds: string[] = [];
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

  /** Bytes of the native columns; the image ids, a pointer each, are the garbage collector's. */
  get memoryBytes(): number {
    return this.#blocks.length * SLOTS_PER_BLOCK * this.dimension * 4 + this.#states.length * (1 + 4 + 8);
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
   * @param subject the subject's number within the shard
   * @returns the slot
   */
  put(vector: Float32Array, imageId: string, subject: number): number {
    const slot = this.#free.pop() ?? this.#slotEnd++;
    const block = Math.floor(slot / SLOTS_PER_BLOCK);
    if (block === this.#blocks.length) this.#blocks.push(new Float32Array(SLOTS_PER_BLOCK * this.dimension));
    if (slot >= this.#states.length) this.#growColumns();
    this.#blocks[block]!.set(vector, (slot % SLOTS_PER_BLOCK) * this.dimension);
    this.#states[slot] = SEARCHABLE;
    this.#subjects[slot] = subject;
    this.#imageIds[slot] = imageId;
    this.#puts[slot] = this.#putsTotal++;
    return slot;
  }

  /** Overwrites the template with zeros and frees its slot. */
  clear(slot: number): void {
    if (this.isFree(slot)) throw new RangeError(`slot ${slot} is free already`);
    if (this.#states[slot] === SUPPRESSED) this.#suppressed--;
    this.#changesTotal++;
    this.vector(slot).fill(0);
    this.#states[slot] = FREE;
    this.#subjects[slot] = -1;
    this.#imageIds[slot] = '';
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
    return this.#imageIds[slot]!;
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

  #growColumns(): void {
    const length = this.#states.length * 2;
    const states = new Uint8Array(length);
    states.set(this.#states);
    this.#states = states;
    const subjects = new Int32Array(length);
    subjects.set(this.#subjects);
    this.#subjects = subjects;
    const puts = new Float64Array(length);
    puts.set(this.#puts);
    this.#puts = puts;
  }
}
