/**
 * What a search may be filtered by, a typed array an attribute, so that looking at every template of a shard costs a
 * fraction of scoring it.
 */
import { Refusal } from '#domain/errors.js';
import type { AgeBand, GalleryFilter, Sex, TemplateMetadata } from '#domain/gallery.js';
import type { ImageId } from '#domain/ids.js';
import { bytesOf, grownFor } from './slot-columns.js';

const SLOTS_MIN = 4096;
const NO_NAMES = Buffer.from('[]');
/** Of an attribute that a template does not have. No filter asks for it. */
const ABSENT = 0;
/** Of a filter that does not ask. */
const ANY = -1;
/** Of a force that no template is of. */
const NOBODY = -2;
const SEXES: Readonly<Record<Sex, number>> = { female: 1, male: 2, other: 3, unknown: 4 };
const AGE_BANDS: Readonly<Record<AgeBand, number>> = {
  '10-17': 1,
  '18-24': 2,
  '25-34': 3,
  '35-49': 4,
  '50-64': 5,
  '65+': 6,
  unknown: 7,
};

export class FilterColumns {
  #forces = new Uint32Array(SLOTS_MIN);
  #sexes = new Uint8Array(SLOTS_MIN);
  #ageBands = new Uint8Array(SLOTS_MIN);
  #capturedMs = new Float64Array(SLOTS_MIN);
  /** From 1. A force's name is nobody's personal data, so it may stay when its last template goes. */
  readonly #forceCodes = new Map<string, number>();
  /** Between {@link sectionsToFill} and {@link adoptForces}. */
  #restoredNames = NO_NAMES;

  get memoryBytes(): number {
    return this.#forces.length * (4 + 1 + 1 + 8);
  }

  set(slot: number, { force, sex, ageBand, capturedAt }: TemplateMetadata): void {
    this.#growFor(slot);
    this.#forces[slot] = force === undefined ? ABSENT : this.#forceCode(force);
    this.#sexes[slot] = sex === undefined ? ABSENT : SEXES[sex];
    this.#ageBands[slot] = ageBand === undefined ? ABSENT : AGE_BANDS[ageBand];
    // An absent or unreadable date is NaN, which no comparison holds for.
    this.#capturedMs[slot] = Date.parse(capturedAt ?? '');
  }

  clear(slot: number): void {
    this.#forces[slot] = ABSENT;
    this.#sexes[slot] = ABSENT;
    this.#ageBands[slot] = ABSENT;
    this.#capturedMs[slot] = 0;
  }

  /** What a snapshot has of the slots below the end, and the names of the forces. Most are views. */
  *sections(slotEnd: number): Generator<Uint8Array> {
    yield* this.#columns(slotEnd);
    const names = Buffer.from(JSON.stringify([...this.#forceCodes.keys()]));
    yield bytesOf(Uint32Array.of(names.byteLength));
    yield names;
  }

  /**
   * The same, to be filled in turn, of an object without anything; {@link adoptForces} finishes it.
   *
   * @param bytesMax more than the names cannot have
   * @throws RangeError when they say that they have
   */
  *sectionsToFill(slotEnd: number, bytesMax: number): Generator<Uint8Array> {
    this.#growFor(slotEnd);
    yield* this.#columns(slotEnd);
    const length = new Uint32Array(1);
    yield bytesOf(length);
    if (length[0]! > bytesMax) throw new RangeError('the names of the forces are longer than they can be');
    this.#restoredNames = Buffer.alloc(length[0]!);
    yield this.#restoredNames;
  }

  /** When it is known that what was filled in is good. */
  adoptForces(): void {
    for (const force of JSON.parse(this.#restoredNames.toString()) as string[]) this.#forceCode(force);
    this.#restoredNames = NO_NAMES;
  }

  /**
   * A filter as a function of the slot, to be used before anything changes. Each part that is present must hold; a
   * template without the attribute does not pass.
   *
   * @param slotOf undefined for an image that is not held
   * @throws Refusal BAD_FILTER when a date cannot be read
   */
  compile(filter: GalleryFilter, slotOf: (imageId: ImageId) => number | undefined): (slot: number) => boolean {
    const force = filter.force === undefined ? ANY : (this.#forceCodes.get(filter.force) ?? NOBODY);
    const sex = filter.sex === undefined ? ANY : SEXES[filter.sex];
    const ageBand = filter.ageBand === undefined ? ANY : AGE_BANDS[filter.ageBand];
    const dated = filter.capturedFrom !== undefined || filter.capturedTo !== undefined;
    const fromMs = filter.capturedFrom === undefined ? -Infinity : timeMs(filter.capturedFrom);
    const toMs = filter.capturedTo === undefined ? Infinity : timeMs(filter.capturedTo);
    const excluded = this.#columnOf(filter.excludeImageIds ?? [], slotOf);
    const forces = this.#forces;
    const sexes = this.#sexes;
    const ageBands = this.#ageBands;
    const capturedMs = this.#capturedMs;
    return (slot) =>
      (force === ANY || forces[slot] === force) &&
      (sex === ANY || sexes[slot] === sex) &&
      (ageBand === ANY || ageBands[slot] === ageBand) &&
      (!dated || (capturedMs[slot]! >= fromMs && capturedMs[slot]! < toMs)) &&
      (excluded === undefined || excluded[slot] === 0);
  }

  /** A byte a slot, 1 for those of the images; undefined when there are none. */
  #columnOf(imageIds: readonly ImageId[], slotOf: (imageId: ImageId) => number | undefined): Uint8Array | undefined {
    if (imageIds.length === 0) return undefined;
    const column = new Uint8Array(this.#forces.length);
    for (const imageId of imageIds) {
      const slot = slotOf(imageId);
      if (slot !== undefined) column[slot] = 1;
    }
    return column;
  }

  #forceCode(force: string): number {
    const known = this.#forceCodes.get(force);
    if (known !== undefined) return known;
    const code = this.#forceCodes.size + 1;
    this.#forceCodes.set(force, code);
    return code;
  }

  #columns(slotEnd: number): Uint8Array[] {
    return [this.#capturedMs, this.#forces, this.#sexes, this.#ageBands].map((column) => bytesOf(column, slotEnd));
  }

  #growFor(slot: number): void {
    this.#forces = grownFor(slot, this.#forces, (length) => new Uint32Array(length));
    this.#sexes = grownFor(slot, this.#sexes, (length) => new Uint8Array(length));
    this.#ageBands = grownFor(slot, this.#ageBands, (length) => new Uint8Array(length));
    this.#capturedMs = grownFor(slot, this.#capturedMs, (length) => new Float64Array(length));
  }
}

/** Whether the filter asks for anything. */
export function isFiltering(filter: GalleryFilter | undefined): filter is GalleryFilter {
  return filter !== undefined && Object.values(filter).some((part) => part !== undefined);
}

function timeMs(text: string): number {
  const ms = Date.parse(text);
  if (Number.isNaN(ms)) throw new Refusal('BAD_FILTER', 'The dates of a filter are in ISO 8601.');
  return ms;
}
