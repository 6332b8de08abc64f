/**
 * The state of one worker's share of the gallery, and the rules by which the log changes it.
 *
 * Synchronous, without threads, Kafka or files, so that it can be compared with a plain map. A change from
 * `gallery.templates` goes in by {@link GalleryShard.apply}; a disposition by {@link GalleryShard.setDisposition}; both
 * leave the entries, the vectors and both engines agreeing. A search sees every change that was applied before it.
 *
 * - A later source wins over an earlier one, whatever order they arrive in.
 * - What is erased is never applied. A tombstone removes only what an erasure covers, or what no disposition speaks of.
 * - Whatever happens to a record, its partition's next offset moves past it.
 */
import { isErased, isSuppressed, type Disposition } from '#domain/disposition.js';
import { Refusal } from '#domain/errors.js';
import type {
  GalleryCandidate,
  GalleryFilter,
  PartitionCoverage,
  SearchMode,
  TemplateMetadata,
  TemplateSource,
  UsedMode,
} from '#domain/gallery.js';
import type { ImageId, Offset } from '#domain/ids.js';
import { ExactEngine } from './exact-engine.js';
import { GalleryDigest } from './gallery-digest.js';
import { compileFilter, isFiltering } from './gallery-filter.js';
import { HnswEngine } from './hnsw-engine.js';
import { SubjectNumbers } from './subject-numbers.js';
import { emptyApplyResult, type ApplyResult, type TemplateChange } from './template-change.js';
import { requireUsableProbe, vectorFault } from './template-vector.js';
import { SUBJECTS_MAX } from './vector-index.js';
import { VectorStore } from './vector-store.js';

export interface GalleryEntry {
  readonly partition: number;
  readonly metadata: TemplateMetadata;
  readonly source: TemplateSource;
}

export interface SlotEntry {
  readonly slot: number;
  readonly entry: GalleryEntry;
}

export interface HeldTemplate extends GalleryEntry {
  readonly imageId: ImageId;
  /** A copy. */
  readonly vector: Float32Array;
}

export interface GalleryQuery {
  /** Float32Array of length `dimension`, of norm 1. */
  readonly probe: Float32Array;
  /** Subjects wanted, 1 to 1000. */
  readonly k: number;
  readonly mode: SearchMode;
  readonly filter?: GalleryFilter | undefined;
}

export interface GalleryAnswer {
  readonly mode: UsedMode;
  /** Best first, ties by imageId; one for each subject. */
  readonly candidates: GalleryCandidate[];
}

/** How far behind the log's end that is, only who reads the log can say. */
export type ShardCoverage = Omit<PartitionCoverage, 'behindMs'>;

export interface GalleryShardOptions {
  readonly dimension: number;
  readonly partitions: readonly number[];
  /**
   * Above it `auto` is approximate. At 100,000 templates of 512 dimensions a scan takes 2.6 ms and loses nobody, the
   * graph 3.7 ms and 1 to 2 % of first candidates; beyond some 150,000 the graph is the quicker one.
   */
  readonly autoExactMaxTemplates: number;
}

interface PartitionState {
  /** Exclusive: every record below it was taken into account. */
  nextOffset: Offset;
  searchable: number;
}

export class GalleryShard {
  readonly store: VectorStore;
  readonly approximate: HnswEngine;
  readonly #exact: ExactEngine;
  readonly #entries: (GalleryEntry | undefined)[] = [];
  readonly #slots = new Map<ImageId, number>();
  readonly #subjects = new SubjectNumbers();
  readonly #partitions = new Map<number, PartitionState>();
  #dispositions = new Map<ImageId, Disposition>();
  #revision = 0;
  #erasures = 0;

  constructor(private readonly options: GalleryShardOptions) {
    this.store = new VectorStore(options.dimension);
    this.#exact = new ExactEngine(this.store);
    this.approximate = new HnswEngine(this.store, this.#exact);
    for (const partition of options.partitions) {
      this.#partitions.set(partition, { nextOffset: 0 as Offset, searchable: 0 });
    }
  }

  get size(): number {
    return this.store.size;
  }

  /** Changes whenever the shard would be written differently. */
  get revision(): number {
    return this.#revision;
  }

  /** Templates destroyed so far; older files still hold them. */
  get erasures(): number {
    return this.#erasures;
  }

  get memoryBytes(): number {
    return this.store.memoryBytes + this.#exact.memoryBytes + this.approximate.memoryBytes;
  }

  /** Changes one record's worth, and adds what happened to `result`. @throws Failure SHARD_FULL, with nothing changed */
  apply(change: TemplateChange, result: ApplyResult = emptyApplyResult()): ApplyResult {
    const partition = this.#partition(change.partition);
    switch (change.kind) {
      case 'template':
        this.#applyTemplate(change, result);
        break;
      case 'tombstone':
        this.#applyTombstone(change.imageId, result);
        break;
      case 'unusable':
        this.#reportUnusable(change, change.reason, result);
        break;
    }
    this.#advance(partition, (change.offset + 1) as Offset);
    return result;
  }

  /** Moves past what compaction removed. Never backwards. @param nextOffset exclusive */
  advance(partition: number, nextOffset: Offset): void {
    this.#advance(this.#partition(partition), nextOffset);
  }

  /**
   * What the disposition forbids is gone from searches when this returns. A template that it erases is destroyed as
   * well, unless `destroy` is 'later': {@link destroyErased} does it then, when the files at work are closed.
   *
   * @returns whether the held template is erased
   */
  setDisposition(imageId: ImageId, disposition: Disposition | null, destroy: 'now' | 'later' = 'now'): boolean {
    if (disposition === null) this.#dispositions.delete(imageId);
    else this.#dispositions.set(imageId, disposition);
    const slot = this.#slots.get(imageId);
    if (slot === undefined) return false;
    const { sourceOffset } = this.#entry(slot).source;
    const erased = isErased(disposition ?? undefined, sourceOffset);
    this.#suppress(slot, erased || isSuppressed(disposition ?? undefined, sourceOffset));
    if (erased && destroy === 'now') this.destroyErased(imageId);
    return erased;
  }

  /** Overwrites and forgets the image's template if its disposition says so. @returns whether there was one */
  destroyErased(imageId: ImageId): boolean {
    const slot = this.#slots.get(imageId);
    if (slot === undefined) return false;
    if (!isErased(this.#dispositions.get(imageId), this.#entry(slot).source.sourceOffset)) return false;
    this.#remove(imageId, slot);
    return true;
  }

  /** @throws Refusal TEMPLATE_NOT_USABLE, BAD_SUBJECT_COUNT, BAD_FILTER */
  search({ probe, k, mode, filter }: GalleryQuery): GalleryAnswer {
    requireUsableProbe(probe, this.options.dimension);
    if (!Number.isInteger(k) || k < 1 || k > SUBJECTS_MAX) {
      throw new Refusal('BAD_SUBJECT_COUNT', `A search asks for 1 to ${SUBJECTS_MAX} subjects.`);
    }
    const engine = this.#isExact(mode) ? this.#exact : this.approximate;
    let answer;
    if (isFiltering(filter)) {
      const passes = compileFilter(filter);
      answer = this.#exact.search({ probe, k, accepts: (slot) => passes(this.#entry(slot).metadata) });
    } else {
      answer = engine.search({ probe, k });
    }
    const candidates = answer.hits.map(({ slot, score }) => {
      const { metadata, source } = this.#entry(slot);
      return { ...metadata, score, sourceOffset: source.sourceOffset };
    });
    return { mode: answer.mode, candidates };
  }

  /** In the order of the partitions that the shard was given. */
  coverage(): ShardCoverage[] {
    return [...this.#partitions].map(([partition, { nextOffset, searchable }]) => ({
      partition,
      watermark: nextOffset,
      enrolled: searchable,
    }));
  }

  templateOf(imageId: ImageId): HeldTemplate | undefined {
    const slot = this.#slots.get(imageId);
    if (slot === undefined) return undefined;
    return { imageId, vector: this.store.vector(slot).slice(), ...this.#entry(slot) };
  }

  /** By slot, in order; what a snapshot writes. */
  *entries(): Generator<SlotEntry> {
    for (let slot = 0; slot < this.store.slotEnd; slot++) {
      const entry = this.#entries[slot];
      if (entry !== undefined) yield { slot, entry };
    }
  }

  /** Exclusive. */
  nextOffsets(): Map<number, Offset> {
    return new Map([...this.#partitions].map(([partition, state]) => [partition, state.nextOffset]));
  }

  /**
   * Puts back what a snapshot held, without judging it by its source.
   *
   * @returns the slot
   * @throws RangeError when the image is there already or the vector is not usable
   */
  restore(entry: GalleryEntry, vector: Float32Array): number {
    const fault = vectorFault(vector, this.options.dimension);
    if (fault !== undefined) throw new RangeError(`a restored template ${fault}`);
    if (this.#slots.has(entry.metadata.imageId)) throw new RangeError('an image was restored twice');
    this.#partition(entry.partition);
    return this.#insert(entry, vector);
  }

  /** The same dispositions in force on a shard that takes this one's place. */
  takeDispositionsFrom(other: GalleryShard): void {
    this.#dispositions = new Map();
    for (const [imageId, disposition] of other.#dispositions) this.setDisposition(imageId, disposition);
  }

  /** Equal for two shards that hold the same templates of the same images from the same sources. */
  digest(): string {
    const digest = new GalleryDigest();
    for (const part of this.entries()) this.addToDigest(digest, part);
    return digest.hex();
  }

  addToDigest(digest: GalleryDigest, { slot, entry }: SlotEntry): void {
    digest.add(entry.metadata.imageId, entry.source.sourceOffset, this.store.vector(slot));
  }

  #applyTemplate(change: TemplateChange & { kind: 'template' }, result: ApplyResult): void {
    const { imageId, metadata, source, vector, partition } = change;
    const fault = vectorFault(vector, this.options.dimension);
    if (fault !== undefined) return this.#reportUnusable(change, fault, result);
    if (metadata.imageId !== imageId) return this.#reportUnusable(change, 'has another imageId than its key', result);

    const slot = this.#slots.get(imageId);
    // Before the erasure: when a later image is held, the log needs that one again rather than a tombstone.
    if (slot !== undefined && source.sourceOffset < this.#entry(slot).source.sourceOffset) {
      result.staleOverwrites.push(imageId);
      return;
    }
    if (isErased(this.#dispositions.get(imageId), source.sourceOffset)) {
      result.resurrections.push(imageId);
      return;
    }
    const entry: GalleryEntry = { partition, metadata, source };
    if (slot !== undefined && this.#isSameTemplate(slot, entry, vector)) this.#replaceEntry(slot, entry);
    else {
      // Asked for first, so that a full shard keeps the template that it has.
      this.#exact.ensureRoomFor(this.store.nextSlot);
      if (slot !== undefined) this.#remove(imageId, slot);
      this.#insert(entry, vector);
    }
    result.applied++;
  }

  #applyTombstone(imageId: ImageId, result: ApplyResult): void {
    const slot = this.#slots.get(imageId);
    if (slot === undefined) return;
    const disposition = this.#dispositions.get(imageId);
    if (disposition !== undefined && !isErased(disposition, this.#entry(slot).source.sourceOffset)) {
      result.staleOverwrites.push(imageId);
      return;
    }
    this.#remove(imageId, slot);
    result.removed++;
  }

  #reportUnusable({ partition, offset, imageId }: TemplateChange, reason: string, result: ApplyResult): void {
    result.unusable.push({ partition, offset, imageId, reason });
  }

  #insert(entry: GalleryEntry, vector: Float32Array): number {
    const { imageId, subjectId } = entry.metadata;
    this.#exact.ensureRoomFor(this.store.nextSlot);
    const slot = this.store.put(vector, imageId, this.#subjects.take(subjectId));
    this.#exact.add(slot);
    this.approximate.add(slot);
    this.#entries[slot] = entry;
    this.#slots.set(imageId, slot);
    this.#partition(entry.partition).searchable++;
    this.#suppress(slot, isSuppressed(this.#dispositions.get(imageId), entry.source.sourceOffset));
    this.#revision++;
    return slot;
  }

  #remove(imageId: ImageId, slot: number): void {
    const { metadata, partition } = this.#entry(slot);
    if (this.store.isSearchable(slot)) this.#partition(partition).searchable--;
    this.approximate.remove(slot);
    this.#exact.remove(slot);
    this.store.clear(slot);
    this.#subjects.release(metadata.subjectId);
    this.#entries[slot] = undefined;
    this.#slots.delete(imageId);
    this.#erasures++;
    this.#revision++;
  }

  /** The vector stays, so that a replayed record costs no work in the engines. */
  #replaceEntry(slot: number, entry: GalleryEntry): void {
    const before = this.#entry(slot);
    this.store.setSubject(slot, this.#subjects.take(entry.metadata.subjectId));
    this.#subjects.release(before.metadata.subjectId);
    this.#entries[slot] = entry;
    this.#suppress(slot, isSuppressed(this.#dispositions.get(entry.metadata.imageId), entry.source.sourceOffset));
    this.#revision++;
  }

  #isSameTemplate(slot: number, entry: GalleryEntry, vector: Float32Array): boolean {
    if (this.#entry(slot).partition !== entry.partition) return false;
    const held = this.store.vector(slot);
    for (let i = 0; i < held.length; i++) if (!Object.is(held[i], vector[i])) return false;
    return true;
  }

  #suppress(slot: number, suppressed: boolean): void {
    const before = this.store.isSearchable(slot);
    this.store.setSuppressed(slot, suppressed);
    const after = this.store.isSearchable(slot);
    this.#partition(this.#entry(slot).partition).searchable += Number(after) - Number(before);
  }

  #isExact(mode: SearchMode): boolean {
    switch (mode) {
      case 'exact':
        return true;
      case 'approximate':
        return false;
      case 'auto':
        return this.size <= this.options.autoExactMaxTemplates;
    }
  }

  #advance(partition: PartitionState, nextOffset: Offset): void {
    if (nextOffset <= partition.nextOffset) return;
    partition.nextOffset = nextOffset;
    this.#revision++;
  }

  #partition(partition: number): PartitionState {
    const state = this.#partitions.get(partition);
    if (state === undefined) throw new RangeError(`partition ${partition} is not of this shard`);
    return state;
  }

  #entry(slot: number): GalleryEntry {
    const entry = this.#entries[slot];
    if (entry === undefined) throw new RangeError(`slot ${slot} has no entry`);
    return entry;
  }
}
