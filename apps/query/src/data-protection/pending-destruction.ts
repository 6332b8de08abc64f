/** One erased image on its way to being destroyed: which stores may still hold something of it, and which do not. */
import type { DestroyedStore, ErasureDestruction } from '#domain/direction.js';
import type { Disposition } from '#domain/disposition.js';
import { IMAGE_STORE, IMAGES_LOG } from '#domain/erasure-destruction.js';
import type { ImageId, Offset } from '#domain/ids.js';

interface StoreState {
  at: string | null;
  marker?: Offset;
}

const TEMPLATES_LOG = /^templates-log\//;

export class PendingDestruction {
  /** Whether there is something that is not on record yet. */
  changed = true;
  private readonly states = new Map<string, StoreState>();
  /** Erased records that were read behind the marker, by the log's name; the last of each. Inclusive. */
  private readonly found = new Map<string, Offset>();

  private constructor(
    readonly imageId: ImageId,
    /** What came from this record of `custody.images` or before. Inclusive. */
    readonly through: Offset,
    readonly erasedAt: string,
    readonly authority: string,
    readonly reason: string,
  ) {}

  /** @param record as far as it is on record */
  static of(
    { imageId, since, authority, reason }: Disposition,
    through: Offset,
    record: ErasureDestruction | undefined,
  ): PendingDestruction {
    const pending = new PendingDestruction(imageId, through, record?.erasedAt ?? since, authority, reason);
    if (record?.through !== through) return pending;
    for (const { store, at, marker } of record.stores) {
      pending.states.set(store, { at, ...(marker !== undefined && { marker }) });
    }
    pending.changed = false;
    return pending;
  }

  /** Those that may hold something, by name. Empty only when all that were expected have confirmed. */
  get open(): readonly string[] {
    if (this.states.size === 0) return ['unknown'];
    return [...this.states].filter(([, { at }]) => at === null).map(([store]) => store);
  }

  get stores(): readonly DestroyedStore[] {
    return [...this.states].map(([store, state]) => ({ store, ...state }));
  }

  /** What there is now. A store that is no more, such as a retired replica's, holds nothing. @param now ISO 8601 */
  expect(stores: readonly string[], now: string): void {
    for (const store of stores) if (!this.states.has(store)) this.set(store, { at: null });
    const expected = new Set(stores);
    for (const [store, { at }] of this.states) {
      if (!expected.has(store) && at === null) this.confirm(store, now);
    }
  }

  isOpen(store: string): boolean {
    return this.states.get(store)?.at === null;
  }

  confirm(store: string, now: string = new Date().toISOString()): void {
    const state = this.states.get(store);
    if (state?.at === null) this.set(store, { ...state, at: now });
  }

  /** It can no longer be said. */
  withdraw(store: string): void {
    const state = this.states.get(store);
    if (state !== undefined && state.at !== null) this.set(store, { ...state, at: null });
  }

  /** A log of which nothing has been marked since it may hold something. */
  needsMarker(store: string): boolean {
    const isLog = store === IMAGES_LOG || TEMPLATES_LOG.test(store);
    return isLog && this.isOpen(store) && this.markerOf(store) === undefined;
  }

  markerOf(store: string): Offset | undefined {
    return this.states.get(store)?.marker;
  }

  mark(store: string, marker: Offset): void {
    this.set(store, { at: null, marker });
  }

  /**
   * A record was found that is erased: behind the marker, nothing proves that it is gone, nor that its photograph did not
   * come with it.
   *
   * @param at inclusive: the record's own
   * @returns whether there is more to do than before
   */
  reopenLog(store: string, at: Offset): boolean {
    const marker = this.markerOf(store);
    if (marker === undefined || at < marker) return false;
    this.set(store, { at: null });
    if (this.states.has(IMAGE_STORE)) this.set(IMAGE_STORE, { at: null });
    this.found.set(store, at);
    return true;
  }

  /** Whether the record knows of everything that was found. */
  isKnownTo({ stores }: ErasureDestruction): boolean {
    return [...this.found].every(([store, at]) => {
      const marker = stores.find((known) => known.store === store)?.marker;
      return marker !== undefined && marker > at;
    });
  }

  /** Found here, and to be answered by whoever follows the erasure now. */
  passFoundTo(other: PendingDestruction): void {
    for (const [store, at] of this.found) other.reopenLog(store, at);
  }

  private set(store: string, state: StoreState): void {
    this.states.set(store, state);
    this.changed = true;
  }
}
