/**
 * What a search may be filtered by, a typed array an attribute, so that looking at every template of a shard costs a
 * fraction of scoring it.
 */
import { Refusal } from '#domain/errors.js';
import type { AgeBand, GalleryFilter, Sex, TemplateMetadata } from '#domain/gallery.js';
import type { ImageId } from '#domain/ids.js';

const SLOTS_MIN = 4096;
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

  get memoryBytes(): number {
    return this.#forces.length * (4 + 1 + 1 + 8);
  }

  set(slot: number, { force, sex, ageBand, capturedAt }: TemplateMetadata): void {
    if (slot >= this.#forces.length) this.#growFor(slot);
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

  #growFor(slot: number): void {
    const length = Math.max(slot + 1, this.#forces.length * 2);
    this.#forces = grown(this.#forces, new Uint32Array(length));
    this.#sexes = grown(this.#sexes, new Uint8Array(length));
    this.#ageBands = grown(this.#ageBands, new Uint8Array(length));
    this.#capturedMs = grown(this.#capturedMs, new Float64Array(length));
  }
}

/** Whether the filter asks for anything. */
export function isFiltering(filter: GalleryFilter | undefined): filter is GalleryFilter {
  return filter !== undefined && Object.values(filter).some((part) => part !== undefined);
}

function grown<Column extends Uint8Array | Uint32Array | Float64Array>(from: Column, to: Column): Column {
  to.set(from);
  return to;
}

function timeMs(text: string): number {
  const ms = Date.parse(text);
  if (Number.isNaN(ms)) throw new Refusal('BAD_FILTER', 'The dates of a filter are in ISO 8601.');
  return ms;
}
