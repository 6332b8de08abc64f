/**
 * The state of one worker's share of the gallery, and the rules by which the log changes it.
 *
 * Synchronous, without threads, Kafka or files, so that it can be compared with a plain map. A change from
 * `gallery.templates` goes in by {@link GalleryShard.apply}; a disposition by {@link GalleryShard.setDisposition}; both
 * leave the entries, the vectors and both engines agreeing. A search sees every change that was applied before it.
 *
 * - A later source wins over an earlier one, whatever order they arrive in.
 * - What is erased is never applied. A tombstone removes only what an erasure covers, or what no disposition speaks of.
 * - A record that cannot be used changes no template. Where there is an earlier one it stays, and the log is put right;
 *   where there is none, the image counts as unusable, so that answers say that something is missing.
 * - Whatever happens to a record, its partition's next offset moves past it.
 */
import { isErased, isSuppressed, type Disposition } from '#domain/disposition.js';
import { Refusal } from '#domain/errors.js';
import type { SearchMode } from '#domain/gallery.js';
import { isImageId, type ImageId, type Offset } from '#domain/ids.js';
import { ExactEngine } from './exact-engine.js';
import type {
  GalleryAnswer,
  GalleryEntry,
  GalleryQuery,
  HeldTemplate,
  PartitionDigest,
  ShardCoverage,
  SlotEntry,
} from './gallery-contents.js';
import { FilterColumns, isFiltering } from './filter-columns.js';
import { GalleryDigest } from './gallery-digest.js';
import { HnswEngine } from './hnsw-engine.js';
import { SubjectNumbers } from './subject-numbers.js';
import { emptyApplyResult, type ApplyResult, type TemplateChange } from './template-change.js';
import { requireUsableProbe, vectorFault } from './template-vector.js';
import { coversUnusable, UnusableImages, type UnusableImage } from './unusable-images.js';
import { SUBJECTS_MAX } from './vector-index.js';
import { VectorStore, type StoreSight } from './vector-store.js';

export interface GalleryShardOptions {
  readonly dimension: number;
  readonly partitions: readonly number[];
  /**
   * Above it `auto` is approximate. At 100,000 templates of 512 dimensions both engines take 2.4 to 3.5 ms; the scan loses
   * nobody, the graph .2 % of first candidates. Crossovers measured: 97,000 to 121,000, by `npm run bench -- engines`.
   */
  readonly autoExactMaxTemplates: number;
}

interface PartitionState {
  /** Exclusive: every record below it was taken into account. */
  nextOffset: Offset;
  searchable: number;
  readonly digest: GalleryDigest;
}

export class GalleryShard {
  readonly store: VectorStore;
  readonly approximate: HnswEngine;
  readonly #exact: ExactEngine;
  readonly #columns = new FilterColumns();
  readonly #entries: (GalleryEntry | undefined)[] = [];
  readonly #slots = new Map<ImageId, number>();
  readonly #subjects = new SubjectNumbers();
  readonly #partitions = new Map<number, PartitionState>();
  readonly #unusable = new UnusableImages();
  #dispositions = new Map<ImageId, Disposition>();
  #revision = 0;
  #erasures = 0;

  constructor(private readonly options: GalleryShardOptions) {
    this.store = new VectorStore(options.dimension);
    this.#exact = new ExactEngine(this.store);
    this.approximate = new HnswEngine(this.store, this.#exact);
    for (const partition of options.partitions) {
      this.#partitions.set(partition, { nextOffset: 0 as Offset, searchable: 0, digest: new GalleryDigest() });
    }
  }

  get size(): number {
    return this.store.size;
  }

  /** Changes whenever the shard would be written differently. */
  get revision(): number {
    return this.#revision;
  }

  /** Templates, and images of unusable records, destroyed so far; older files still hold them. */
  get erasures(): number {
    return this.#erasures;
  }

  get memoryBytes(): number {
    return this.store.memoryBytes + this.#exact.memoryBytes + this.#columns.memoryBytes + this.approximate.memoryBytes;
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
        this.#applyUnusable(change, change.reason, change.sourceOffset, result);
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
    if (this.#unusable.reconsider(imageId, disposition ?? undefined)) {
      this.#erasures++;
      this.#revision++;
    }
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
      const accepts = this.#columns.compile(filter, (imageId) => this.#slots.get(imageId));
      answer = this.#exact.search({ probe, k, accepts });
    } else {
      answer = engine.search({ probe, k });
    }
    const candidates = answer.hits.map(({ slot, score }) => {
      const { metadata, source } = this.#entry(slot);
      return { ...metadata, score, sourceOffset: source.sourceOffset };
    });
    return { mode: answer.mode, candidates };
  }

  /**
   * Searches exactly, a block at a time, what can be seen now: templates that come meanwhile are left out.
   *
   * @returns the images, best first; undefined when something that could be seen was removed or changed meanwhile
   */
  searchAgain(probe: Float32Array, k: number): Generator<undefined, readonly ImageId[] | undefined> {
    return this.#searchAgain(probe, k, this.store.sight);
  }

  /** In the order of the partitions that the shard was given. */
  coverage(): ShardCoverage[] {
    return [...this.#partitions].map(([partition, { nextOffset, searchable }]) => ({
      partition,
      watermark: nextOffset,
      enrolled: searchable,
      unusable: this.#unusable.count(partition),
    }));
  }

  /** In the same order; kept up to date with every change, so that this costs nothing. */
  partitionDigests(): PartitionDigest[] {
    return this.coverage().map((part) => ({ ...part, digest: this.#partition(part.partition).digest.hex() }));
  }

  /** Images whose last record cannot be used, those that are suppressed included. */
  get unusableCount(): number {
    return this.#unusable.size;
  }

  unusableImages(): Generator<readonly [ImageId, UnusableImage]> {
    return this.#unusable.entries();
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
   * Puts back what a snapshot held, without judging it by its source. Digests come by {@link restoreDigest}: hashing each
   * template would cost as much as reading it.
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

  /** @throws RangeError when the partition is another shard's or the id none */
  restoreUnusable(imageId: ImageId, image: UnusableImage): void {
    this.#partition(image.partition);
    if (!isImageId(imageId)) throw new RangeError('what was restored as unusable is no image');
    this.#unusable.set(imageId, image, this.#dispositions.get(imageId));
  }

  /** @param digest 64 hexadecimal digits, of what was restored of the partition. @throws RangeError */
  restoreDigest(partition: number, digest: string): void {
    this.#partition(partition).digest.resume(digest);
  }

  /** The same dispositions in force on a shard that takes this one's place. */
  takeDispositionsFrom(other: GalleryShard): void {
    this.#dispositions = new Map();
    for (const [imageId, disposition] of other.#dispositions) this.setDisposition(imageId, disposition);
  }

  /** Equal for two shards that hold the same templates of the same images from the same sources. Hashes all of them. */
  digest(): string {
    const digest = new GalleryDigest();
    for (const part of this.entries()) this.addToDigest(digest, part);
    return digest.hex();
  }

  addToDigest(digest: GalleryDigest, { slot, entry }: SlotEntry): void {
    digest.toggle(entry.metadata.imageId, entry.source.sourceOffset, this.store.vector(slot));
  }

  *#searchAgain(
    probe: Float32Array,
    k: number,
    sight: StoreSight,
  ): Generator<undefined, readonly ImageId[] | undefined> {
    const { store } = this;
    const answer = yield* this.#exact.searchInSteps({ probe, k, accepts: (slot) => store.isSeen(slot, sight) });
    if (!store.isSeenWhole(sight)) return undefined;
    return answer.hits.map(({ slot }) => this.#entry(slot).metadata.imageId);
  }

  #applyTemplate(change: TemplateChange & { kind: 'template' }, result: ApplyResult): void {
    const { imageId, metadata, source, vector, partition } = change;
    const fault = vectorFault(vector, this.options.dimension);
    if (fault !== undefined) return this.#applyUnusable(change, fault, source.sourceOffset, result);
    if (metadata.imageId !== imageId) {
      return this.#applyUnusable(change, 'has another imageId than its key', source.sourceOffset, result);
    }

    const slot = this.#slots.get(imageId);
    // Before the erasure: when a later image is held, the log needs that one again rather than a tombstone.
    if (slot !== undefined && source.sourceOffset < this.#entry(slot).source.sourceOffset) {
      result.staleOverwrites.push(imageId);
      return;
    }
    if (isErased(this.#dispositions.get(imageId), source.sourceOffset)) {
      this.#reportErased(imageId, result);
      return;
    }
    const entry: GalleryEntry = { partition, metadata, source };
    if (slot !== undefined && this.#isSameTemplate(slot, entry, vector)) this.#replaceEntry(slot, entry);
    else {
      // Asked for first, so that a full shard keeps the template that it has.
      this.#exact.ensureRoomFor(this.store.nextSlot);
      if (slot !== undefined) this.#remove(imageId, slot);
      this.#toggleDigest(this.#insert(entry, vector));
    }
    this.#unusable.delete(imageId);
    result.applied++;
  }

  #applyTombstone(imageId: ImageId, result: ApplyResult): void {
    const disposition = this.#dispositions.get(imageId);
    const unusable = this.#unusable.get(imageId);
    // As with a template: the erasure does not cover it, or it would not be there.
    if (unusable !== undefined && disposition !== undefined) {
      result.unusableOverwrites.push({ imageId, ...unusable });
    } else this.#unusable.delete(imageId);
    const slot = this.#slots.get(imageId);
    if (slot === undefined) return;
    if (disposition !== undefined && !isErased(disposition, this.#entry(slot).source.sourceOffset)) {
      result.staleOverwrites.push(imageId);
      return;
    }
    this.#remove(imageId, slot);
    result.removed++;
  }

  #applyUnusable(change: TemplateChange, reason: string, sourceOffset: Offset | undefined, result: ApplyResult): void {
    const { partition, offset, imageId, timestampMs } = change;
    result.unusable.push({ partition, offset, imageId, reason });
    // Under a key that no image can have, none is missing.
    if (!isImageId(imageId)) return;
    const disposition = this.#dispositions.get(imageId);
    const slot = this.#slots.get(imageId);
    if (slot !== undefined && !isErased(disposition, this.#entry(slot).source.sourceOffset)) {
      result.staleOverwrites.push(imageId);
      return;
    }
    const image = { partition, sourceOffset, timestampMs };
    if (!coversUnusable(disposition, image)) this.#unusable.set(imageId, image, disposition);
    else if (sourceOffset !== undefined) this.#reportErased(imageId, result);
  }

  /** What is erased has come last in the log. A tombstone is put back, but for what was not erased and cannot be used. */
  #reportErased(imageId: ImageId, result: ApplyResult): void {
    const unusable = this.#unusable.get(imageId);
    if (unusable === undefined) result.resurrections.push(imageId);
    else result.unusableOverwrites.push({ imageId, ...unusable });
  }

  #insert(entry: GalleryEntry, vector: Float32Array): number {
    const { imageId, subjectId } = entry.metadata;
    this.#exact.ensureRoomFor(this.store.nextSlot);
    const slot = this.store.put(vector, imageId, this.#subjects.take(subjectId));
    this.#exact.add(slot);
    this.approximate.add(slot);
    this.#columns.set(slot, entry.metadata);
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
    this.#toggleDigest(slot);
    this.approximate.remove(slot);
    this.#exact.remove(slot);
    this.#columns.clear(slot);
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
    this.#toggleDigest(slot);
    this.store.setSubject(slot, this.#subjects.take(entry.metadata.subjectId));
    this.#subjects.release(before.metadata.subjectId);
    this.#columns.set(slot, entry.metadata);
    this.#entries[slot] = entry;
    this.#toggleDigest(slot);
    this.#suppress(slot, isSuppressed(this.#dispositions.get(entry.metadata.imageId), entry.source.sourceOffset));
    this.#revision++;
  }

  #toggleDigest(slot: number): void {
    const entry = this.#entry(slot);
    this.addToDigest(this.#partition(entry.partition).digest, { slot, entry });
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
