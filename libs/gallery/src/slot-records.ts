/**
 * Bytes by slot, of any length: for a block of slots one buffer, with where each record starts and how long it is. So a
 * template's record costs its bytes and eight more, and nothing that the garbage collector must look at.
 *
 * What is cleared or replaced is overwritten with zeros. The hole that it leaves stays until the buffer is full: then it
 * is written anew without holes, a quarter larger than what is in it.
 */
import { bytesOf, grownFor, SLOTS_PER_BLOCK } from './slot-columns.js';

/** Of a block's buffer: some 60 records. */
const BLOCK_BYTES_MIN = 16_384;
const SLACK = 1.25;
const NOTHING = Buffer.alloc(0);

export class SlotRecords {
  readonly #blocks: Buffer[] = [];
  /** By block; exclusive: nothing is at or beyond it. */
  readonly #ends: number[] = [];
  /** By slot, within the block's buffer. */
  #starts = new Uint32Array(SLOTS_PER_BLOCK);
  #lengths = new Uint32Array(SLOTS_PER_BLOCK);

  get memoryBytes(): number {
    return this.#blocks.reduce((sum, { byteLength }) => sum + byteLength, 0) + this.#starts.length * 8;
  }

  /** Where the record is, without making an object of it: from {@link start} to {@link end}, exclusive. */
  bufferOf(slot: number): Buffer {
    return this.#blocks[Math.floor(slot / SLOTS_PER_BLOCK)] ?? NOTHING;
  }

  start(slot: number): number {
    return this.#starts[slot] ?? 0;
  }

  end(slot: number): number {
    return this.start(slot) + (this.#lengths[slot] ?? 0);
  }

  /** @param record copied */
  set(slot: number, record: Uint8Array): void {
    this.#starts = grownFor(slot, this.#starts, (length) => new Uint32Array(length));
    this.#lengths = grownFor(slot, this.#lengths, (length) => new Uint32Array(length));
    this.clear(slot);
    const block = Math.floor(slot / SLOTS_PER_BLOCK);
    while (this.#blocks.length <= block) {
      this.#blocks.push(NOTHING);
      this.#ends.push(0);
    }
    if (this.#ends[block]! + record.byteLength > this.#blocks[block]!.byteLength) {
      this.#rewrite(block, record.byteLength);
    }
    const start = this.#ends[block]!;
    this.#blocks[block]!.set(record, start);
    this.#starts[slot] = start;
    this.#lengths[slot] = record.byteLength;
    this.#ends[block] = start + record.byteLength;
  }

  clear(slot: number): void {
    if (slot >= this.#lengths.length) return;
    this.bufferOf(slot).fill(0, this.start(slot), this.end(slot));
    this.#starts[slot] = 0;
    this.#lengths[slot] = 0;
  }

  /** What a snapshot has of the slots below the end, and is read back into by {@link sectionsToFill}. */
  *sections(slotEnd: number): Generator<Uint8Array> {
    yield bytesOf(this.#starts, slotEnd);
    yield bytesOf(this.#lengths, slotEnd);
    for (let block = 0; block * SLOTS_PER_BLOCK < slotEnd; block++) {
      yield (this.#blocks[block] ?? NOTHING).subarray(0, this.#usedBytes(block));
    }
  }

  /**
   * The same sections, of an object without records; each is to be filled before the next is asked for.
   *
   * @param bytesMax more than all records together cannot have
   * @throws RangeError when what the first sections were filled with asks for more
   */
  *sectionsToFill(slotEnd: number, bytesMax: number): Generator<Uint8Array> {
    const slots = Math.ceil(slotEnd / SLOTS_PER_BLOCK) * SLOTS_PER_BLOCK;
    this.#starts = new Uint32Array(slots);
    this.#lengths = new Uint32Array(slots);
    yield bytesOf(this.#starts, slotEnd);
    yield bytesOf(this.#lengths, slotEnd);
    for (let block = 0, left = bytesMax; block * SLOTS_PER_BLOCK < slotEnd; block++) {
      const usedBytes = this.#usedBytes(block);
      left -= usedBytes;
      if (left < 0) throw new RangeError('records are longer than they can be');
      this.#ends[block] = usedBytes;
      this.#blocks[block] = Buffer.alloc(usedBytes);
      yield this.#blocks[block]!;
    }
  }

  #usedBytes(block: number): number {
    let used = 0;
    const end = Math.min((block + 1) * SLOTS_PER_BLOCK, this.#starts.length);
    for (let slot = block * SLOTS_PER_BLOCK; slot < end; slot++) {
      used = Math.max(used, this.#starts[slot]! + this.#lengths[slot]!);
    }
    return used;
  }

  /** Without holes, and with room for one record more. */
  #rewrite(block: number, moreBytes: number): void {
    const from = this.#blocks[block]!;
    const first = block * SLOTS_PER_BLOCK;
    const end = Math.min(first + SLOTS_PER_BLOCK, this.#lengths.length);
    let neededBytes = moreBytes;
    for (let slot = first; slot < end; slot++) neededBytes += this.#lengths[slot]!;
    const to = Buffer.alloc(Math.max(BLOCK_BYTES_MIN, Math.ceil(neededBytes * SLACK)));
    let at = 0;
    for (let slot = first; slot < end; slot++) {
      const copied = from.copy(to, at, this.start(slot), this.end(slot));
      this.#starts[slot] = at;
      at += copied;
    }
    from.fill(0);
    this.#blocks[block] = to;
    this.#ends[block] = at;
  }
}
