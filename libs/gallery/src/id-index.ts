/**
 * Finds whole numbers by an id, without keeping the ids: whoever made the index knows them. A hash table of open addressing
 * in two typed arrays, so that a million ids cost some ten megabytes and nothing that the garbage collector must look at.
 */
const NONE = -1;
const CAPACITY_MIN = 1024;
/** Above it a search walks over more than ten places for an id that is not there. */
const FILLED_MAX = 0.8;

export class IdIndex {
  /** By place: the number, or -1. */
  #items = new Int32Array(CAPACITY_MIN).fill(NONE);
  /** By place: the hash of the number's id. */
  #hashes = new Int32Array(CAPACITY_MIN);
  #size = 0;

  /** @param idOf of a number that is in the index, or is being put there */
  constructor(private readonly idOf: (item: number) => string) {}

  get size(): number {
    return this.#size;
  }

  get memoryBytes(): number {
    return this.#items.byteLength + this.#hashes.byteLength;
  }

  find(id: string): number | undefined {
    const hash = hashOf(id);
    for (let place = this.#first(hash); ; place = this.#next(place)) {
      const item = this.#items[place]!;
      if (item === NONE) return undefined;
      if (this.#hashes[place] === hash && this.idOf(item) === id) return item;
    }
  }

  /**
   * Puts a number in whose id is not in the index yet.
   *
   * @param hash of its id
   * @returns the number that has the id already; undefined when it was put in
   */
  put(item: number, hash: number): number | undefined {
    if (this.#size >= this.#items.length * FILLED_MAX) this.#resize(this.#items.length * 2);
    let place = this.#first(hash);
    for (; this.#items[place] !== NONE; place = this.#next(place)) {
      const other = this.#items[place]!;
      if (this.#hashes[place] === hash && this.idOf(other) === this.idOf(item)) return other;
    }
    this.#items[place] = item;
    this.#hashes[place] = hash;
    this.#size++;
    return undefined;
  }

  /** @param hash of its id @throws RangeError when it is not in the index */
  remove(item: number, hash: number): void {
    let hole = this.#first(hash);
    for (; this.#items[hole] !== item; hole = this.#next(hole)) {
      if (this.#items[hole] === NONE) throw new RangeError(`${item} is not in the index`);
    }
    // What stands behind moves up, unless it stands where it belongs, so that no search stops too early.
    for (let place = this.#next(hole); this.#items[place] !== NONE; place = this.#next(place)) {
      const wanted = this.#first(this.#hashes[place]!);
      const isReachable = hole <= place ? hole < wanted && wanted <= place : hole < wanted || wanted <= place;
      if (isReachable) continue;
      this.#items[hole] = this.#items[place]!;
      this.#hashes[hole] = this.#hashes[place]!;
      hole = place;
    }
    this.#items[hole] = NONE;
    this.#hashes[hole] = 0;
    this.#size--;
  }

  /** Room for so many, so that putting them in does not grow it again and again. */
  reserve(count: number): void {
    let capacity = this.#items.length;
    while (count >= capacity * FILLED_MAX) capacity *= 2;
    if (capacity > this.#items.length) this.#resize(capacity);
  }

  #resize(capacity: number): void {
    const items = this.#items;
    const hashes = this.#hashes;
    this.#items = new Int32Array(capacity).fill(NONE);
    this.#hashes = new Int32Array(capacity);
    for (let from = 0; from < items.length; from++) {
      if (items[from] === NONE) continue;
      let place = this.#first(hashes[from]!);
      while (this.#items[place] !== NONE) place = this.#next(place);
      this.#items[place] = items[from]!;
      this.#hashes[place] = hashes[from]!;
    }
  }

  #first(hash: number): number {
    return hash & (this.#items.length - 1);
  }

  #next(place: number): number {
    return (place + 1) & (this.#items.length - 1);
  }
}

/** FNV-1a with the last step of MurmurHash3, of an id in ASCII. @returns an int32 */
export function hashOf(id: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < id.length; i++) hash = Math.imul(hash ^ id.charCodeAt(i), 0x01000193);
  return mixed(hash);
}

/** The same of the id's bytes. @param end exclusive */
export function hashOfBytes(bytes: Uint8Array, start: number, end: number): number {
  let hash = 0x811c9dc5;
  for (let i = start; i < end; i++) hash = Math.imul(hash ^ bytes[i]!, 0x01000193);
  return mixed(hash);
}

function mixed(hash: number): number {
  const a = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  const b = Math.imul(a ^ (a >>> 13), 0xc2b2ae35);
  return b ^ (b >>> 16);
}
