import { grownFor } from './slot-columns.js';
import { IdIndex } from './id-index.js';

const NO_SLOT = -1;

/** What the numbers are of: somebody who knows which subject each slot is of. */
export interface SubjectsOfSlots {
  subjectId(slot: number): string;
  /** Of the slot's subjectId, see ./id-index.ts. */
  subjectHash(slot: number): number;
  /** Another slot whose subject has that number. */
  otherSlotOf(subject: number, slot: number): number;
}

/**
 * Small numbers for the subjects of a shard, counted, so that nothing of a subject stays when the last image goes. A
 * subject's id is not kept but looked up at one of its slots.
 */
export class SubjectNumbers {
  readonly #numbers: IdIndex;
  /** By number: the slot where the id stands. */
  #slots = new Int32Array();
  /** By number; 0 for one that is free. */
  #images = new Int32Array();
  readonly #free: number[] = [];
  #end = 0;

  constructor(private readonly subjects: SubjectsOfSlots) {
    this.#numbers = new IdIndex((number) => subjects.subjectId(this.#slots[number]!));
  }

  get memoryBytes(): number {
    return this.#numbers.memoryBytes + this.#slots.byteLength + this.#images.byteLength;
  }

  /** Room for as many subjects. */
  reserve(count: number): void {
    this.#numbers.reserve(count);
    this.#growFor(count);
  }

  /** The number of the slot's subject, counting one image more. */
  take(slot: number): number {
    const number = this.#free.at(-1) ?? this.#end;
    this.#growFor(number);
    this.#slots[number] = slot;
    const known = this.#numbers.put(number, this.subjects.subjectHash(slot));
    if (known !== undefined) {
      this.#images[known]!++;
      return known;
    }
    if (this.#free.length > 0) this.#free.pop();
    else this.#end++;
    this.#images[number] = 1;
    return number;
  }

  /** Counts one image less, while the slot is still of that subject; the number of one without images is given away again. */
  release(slot: number, number: number): void {
    if (this.#images[number]! === 0) throw new RangeError('a subject was released that has no image');
    this.#images[number]!--;
    if (this.#images[number]! > 0) {
      if (this.#slots[number] === slot) this.#slots[number] = this.subjects.otherSlotOf(number, slot);
      return;
    }
    this.#numbers.remove(number, this.subjects.subjectHash(slot));
    this.#slots[number] = NO_SLOT;
    this.#free.push(number);
  }

  #growFor(number: number): void {
    this.#slots = grownFor(number, this.#slots, (length) => new Int32Array(length).fill(NO_SLOT));
    this.#images = grownFor(number, this.#images, (length) => new Int32Array(length));
  }
}
