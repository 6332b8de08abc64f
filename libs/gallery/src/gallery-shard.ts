/**
 * The state of one worker's share of the gallery, and the rules by which the log changes it.
 *
 * Synchronous, without threads, Kafka or files, so that it can be compared with a plain map. A change from
 * `gallery.templates` goes in by {@link GalleryShard.apply}; a disposition by {@link GalleryShard.setDisposition}; both
 * leave the entries, the vectors and both engines agreeing. A search sees every change that was applied before it.
 *
 * - A later source wins over an earlier one, whatever order they arrive in.
 * - What is erased is never applied. A tombstone removes only what an erasure covers, or what no disposition speaks of;
 *   one that names the later photograph from which it follows removes what is not later than that.
 * - A record that cannot be used changes no template. Where there is an earlier one it stays, and the log is put right;
 *   where there is none, the image counts as unusable, so that answers say that something is missing.
 * - Whatever happens to a record, its partition's next offset moves past it.
 */
import { isErased, isSuppressed, type Disposition } from '#domain/disposition.js';
import { Failure, Refusal } from '#domain/errors.js';
import type { SearchMode } from '#domain/gallery.js';
import { isImageId, type ImageId, type Offset } from '#domain/ids.js';
import type {
  GalleryAnswer,
  GalleryEntry,
  GalleryQuery,
  HeldTemplate,
  PartitionDigest,
  ShardCoverage,
} from './gallery-contents.js';
import { isFiltering } from './filter-columns.js';
import { GalleryDigest } from './gallery-digest.js';
import { HeldTemplates } from './held-templates.js';
import type { HnswEngine } from './hnsw-engine.js';
import { emptyApplyResult, type ApplyResult, type TemplateChange } from './template-change.js';
import { requireUsableProbe, vectorFault } from './template-vector.js';
import { coversUnusable, UnusableImages, type UnusableImage } from './unusable-images.js';
import { SUBJECTS_MAX } from './vector-index.js';
import type { StoreSight, VectorStore } from './vector-store.js';

export interface GalleryShardOptions {
  readonly dimension: number;
  readonly partitions: readonly number[];
  /**
   * Above it `auto` is approximate. At 100,000 templates of 512 dimensions the scan takes a fifth less and loses nobody,
   * the graph .2 % of first candidates. Crossover measured: 124,000, by `npm run bench -- engines`.
   */
  readonly autoExactMaxTemplates: number;
}

export class GalleryShard {
  readonly templates: HeldTemplates;
  /** Exclusive: every record below it was taken into account. */
  readonly #nextOffsets: Map<number, Offset>;
  readonly #unusable = new UnusableImages();
  #dispositions = new Map<ImageId, Disposition>();
  #revision = 0;
  #erasures = 0;

  constructor(private readonly options: GalleryShardOptions) {
    this.templates = new HeldTemplates(options.dimension, options.partitions);
    this.#nextOffsets = new Map(options.partitions.map((partition) => [partition, 0 as Offset]));
  }

  get store(): VectorStore {
    return this.templates.store;
  }

  get approximate(): HnswEngine {
    return this.templates.approximate;
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

  /**
   * Changes one record's worth, and adds what happened to `result`; what the log was to be told of the image because of
   * an earlier record is left out there, as that one is not its last any more. A shard without room counts a new image as
   * one that cannot be used.
   */
  apply(change: TemplateChange, result: ApplyResult = emptyApplyResult()): ApplyResult {
    this.#requirePartition(change.partition);
    forgetRepairsOf(change.imageId, result);
    switch (change.kind) {
      case 'template':
        this.#applyTemplate(change, result);
        break;
      case 'tombstone':
        this.#applyTombstone(change, result);
        break;
      case 'unusable':
        this.#applyUnusable(change, change.reason, change.sourceOffset, result);
        break;
    }
    this.advance(change.partition, (change.offset + 1) as Offset);
    return result;
  }

  /** Moves past what compaction removed. Never backwards. @param nextOffset exclusive */
  advance(partition: number, nextOffset: Offset): void {
    this.#requirePartition(partition);
    if (nextOffset <= this.#nextOffsets.get(partition)!) return;
    this.#nextOffsets.set(partition, nextOffset);
    this.#revision++;
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
    const slot = this.templates.slotOf(imageId);
    if (slot === undefined) return false;
    const sourceOffset = this.templates.sourceOffset(slot);
    const erased = isErased(disposition ?? undefined, sourceOffset);
    this.templates.suppress(slot, erased || isSuppressed(disposition ?? undefined, sourceOffset));
    if (erased && destroy === 'now') this.destroyErased(imageId);
    return erased;
  }

  /** Overwrites and forgets the image's template if its disposition says so. @returns whether there was one */
  destroyErased(imageId: ImageId): boolean {
    const slot = this.templates.slotOf(imageId);
    if (slot === undefined) return false;
    if (!isErased(this.#dispositions.get(imageId), this.templates.sourceOffset(slot))) return false;
    this.#remove(slot);
    return true;
  }

  /** @throws Refusal TEMPLATE_NOT_USABLE, BAD_SUBJECT_COUNT, BAD_FILTER */
  search({ probe, k, mode, filter }: GalleryQuery): GalleryAnswer {
    requireUsableProbe(probe, this.options.dimension);
    if (!Number.isInteger(k) || k < 1 || k > SUBJECTS_MAX) {
      throw new Refusal('BAD_SUBJECT_COUNT', `A search asks for 1 to ${SUBJECTS_MAX} subjects.`);
    }
    const { templates } = this;
    const engine = this.#isExact(mode) ? templates.exact : templates.approximate;
    let answer;
    if (isFiltering(filter)) {
      answer = templates.exact.search({ probe, k, accepts: templates.compileFilter(filter) });
    } else {
      answer = engine.search({ probe, k });
    }
    const candidates = answer.hits.map(({ slot, score }) => {
      const { metadata, source } = templates.entry(slot);
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
    return [...this.#nextOffsets].map(([partition, nextOffset]) => ({
      partition,
      watermark: nextOffset,
      enrolled: this.templates.searchable(partition),
      unusable: this.#unusable.count(partition),
    }));
  }

  /** In the same order; kept up to date with every change, so that this costs nothing. */
  partitionDigests(): PartitionDigest[] {
    return this.coverage().map((part) => ({ ...part, digest: this.templates.digest(part.partition).hex() }));
  }

  /** Images whose last record cannot be used, those that are suppressed included. */
  get unusableCount(): number {
    return this.#unusable.size;
  }

  unusableImages(): Generator<readonly [ImageId, UnusableImage]> {
    return this.#unusable.entries();
  }

  templateOf(imageId: ImageId): HeldTemplate | undefined {
    const slot = this.templates.slotOf(imageId);
    if (slot === undefined) return undefined;
    return { imageId, vector: this.store.vector(slot).slice(), ...this.templates.entry(slot) };
  }

  /** What the log may be told again: not what is erased, and only waits to be destroyed. */
  republishable(imageId: ImageId): HeldTemplate | undefined {
    const held = this.templateOf(imageId);
    return held && isErased(this.#dispositions.get(imageId), held.source.sourceOffset) ? undefined : held;
  }

  /** In order. */
  *heldSlots(): Generator<number> {
    for (let slot = 0; slot < this.store.slotEnd; slot++) if (!this.store.isFree(slot)) yield slot;
  }

  /** Exclusive. */
  nextOffsets(): Map<number, Offset> {
    return new Map(this.#nextOffsets);
  }

  /** @throws RangeError when the partition is another shard's or the id none */
  restoreUnusable(imageId: ImageId, image: UnusableImage): void {
    this.#requirePartition(image.partition);
    if (!isImageId(imageId)) throw new RangeError('what was restored as unusable is no image');
    this.#unusable.set(imageId, image, this.#dispositions.get(imageId));
  }

  /** @param digest 64 hexadecimal digits, of what was restored of the partition. @throws RangeError */
  restoreDigest(partition: number, digest: string): void {
    this.templates.digest(partition).resume(digest);
  }

  /** The same dispositions in force on a shard that takes this one's place. */
  takeDispositionsFrom(other: GalleryShard): void {
    this.#dispositions = new Map();
    for (const [imageId, disposition] of other.#dispositions) this.setDisposition(imageId, disposition);
  }

  /** Equal for two shards that hold the same templates of the same images from the same sources. Hashes all of them. */
  digest(): string {
    const digest = new GalleryDigest();
    for (const slot of this.heldSlots()) this.templates.addToDigest(digest, slot);
    return digest.hex();
  }

  *#searchAgain(
    probe: Float32Array,
    k: number,
    sight: StoreSight,
  ): Generator<undefined, readonly ImageId[] | undefined> {
    const { store } = this;
    const answer = yield* this.templates.exact.searchInSteps({
      probe,
      k,
      accepts: (slot) => store.isSeen(slot, sight),
    });
    if (!store.isSeenWhole(sight)) return undefined;
    return answer.hits.map(({ slot }) => store.imageId(slot) as ImageId);
  }

  #applyTemplate(change: TemplateChange & { kind: 'template' }, result: ApplyResult): void {
    const { imageId, metadata, source, keeping, vector, partition } = change;
    const fault = vectorFault(vector, this.options.dimension);
    if (fault !== undefined) return this.#applyUnusable(change, fault, source.sourceOffset, result);
    if (metadata.imageId !== imageId) {
      return this.#applyUnusable(change, 'has another imageId than its key', source.sourceOffset, result);
    }

    const slot = this.templates.slotOf(imageId);
    // Before the erasure: when a later image is held, the log needs that one again rather than a tombstone.
    if (slot !== undefined && source.sourceOffset < this.templates.sourceOffset(slot)) {
      result.staleOverwrites.push(imageId);
      return;
    }
    if (isErased(this.#dispositions.get(imageId), source.sourceOffset)) {
      this.#reportErased(imageId, result);
      return;
    }
    // A record may have been written again without why the image is held, by those who did not know.
    const isAgain = slot !== undefined && source.sourceOffset === this.templates.sourceOffset(slot);
    const before = isAgain ? this.templates.entry(slot).keeping : undefined;
    const kept = before === undefined ? keeping : { ...before, ...keeping };
    const entry: GalleryEntry = { partition, metadata, source, ...(kept !== undefined && { keeping: kept }) };
    if (slot !== undefined && this.#isSameTemplate(slot, entry, vector)) {
      this.templates.replaceEntry(slot, entry);
      this.#suppressAsDisposed(imageId, slot, source.sourceOffset);
    } else {
      // The slot that goes is the one that is taken: a full shard can still replace what it has.
      if (slot !== undefined) this.#remove(slot);
      else if (!this.#hasRoom()) return this.#applyUnusable(change, 'SHARD_FULL', source.sourceOffset, result);
      this.#suppressAsDisposed(imageId, this.templates.insert(entry, vector), source.sourceOffset);
    }
    this.#unusable.delete(imageId);
    result.applied++;
  }

  #applyTombstone(
    { imageId, sourceOffset: supersedes }: TemplateChange & { kind: 'tombstone' },
    result: ApplyResult,
  ): void {
    const disposition = this.#dispositions.get(imageId);
    const outlives = (from: Offset | undefined): boolean =>
      supersedes === undefined || from === undefined ? disposition !== undefined : from > supersedes;
    const unusable = this.#unusable.get(imageId);
    // As with a template: the erasure does not cover it, or it would not be there.
    if (unusable !== undefined && outlives(unusable.sourceOffset)) {
      result.unusableOverwrites.push({ imageId, ...unusable });
    } else this.#unusable.delete(imageId);
    const slot = this.templates.slotOf(imageId);
    if (slot === undefined) return;
    const from = this.templates.sourceOffset(slot);
    if (outlives(from) && !isErased(disposition, from)) {
      result.staleOverwrites.push(imageId);
      return;
    }
    this.#remove(slot);
    result.removed++;
  }

  #applyUnusable(change: TemplateChange, reason: string, sourceOffset: Offset | undefined, result: ApplyResult): void {
    const { partition, offset, imageId, timestampMs } = change;
    result.unusable.push({ partition, offset, imageId, reason });
    // Under a key that no image can have, none is missing.
    if (!isImageId(imageId)) return;
    const disposition = this.#dispositions.get(imageId);
    const slot = this.templates.slotOf(imageId);
    if (slot !== undefined && !isErased(disposition, this.templates.sourceOffset(slot))) {
      result.staleOverwrites.push(imageId);
      return;
    }
    const image = { partition, sourceOffset, timestampMs };
    const known = this.#unusable.get(imageId);
    if (known !== undefined && known.timestampMs > timestampMs) {
      // Somebody who had not read of the later one has put the earlier one back behind it.
      result.unusableOverwrites.push({ imageId, ...known });
      return;
    }
    if (!coversUnusable(disposition, image)) this.#unusable.set(imageId, image, disposition);
    else if (sourceOffset !== undefined) this.#reportErased(imageId, result);
  }

  /** What is erased has come last in the log. A tombstone is put back, but for what was not erased and cannot be used. */
  #reportErased(imageId: ImageId, result: ApplyResult): void {
    const unusable = this.#unusable.get(imageId);
    if (unusable === undefined) result.resurrections.push(imageId);
    else result.unusableOverwrites.push({ imageId, ...unusable });
  }

  #remove(slot: number): void {
    this.templates.remove(slot);
    this.#erasures++;
    this.#revision++;
  }

  /** Of a template that is new or has another source. */
  #suppressAsDisposed(imageId: ImageId, slot: number, sourceOffset: Offset): void {
    this.templates.suppress(slot, isSuppressed(this.#dispositions.get(imageId), sourceOffset));
    this.#revision++;
  }

  #isSameTemplate(slot: number, entry: GalleryEntry, vector: Float32Array): boolean {
    if (this.templates.partition(slot) !== entry.partition) return false;
    const held = this.store.vector(slot);
    for (let i = 0; i < held.length; i++) if (!Object.is(held[i], vector[i])) return false;
    return true;
  }

  /** One image that is missing and said is better than a shard that ends at its record, at each start again. */
  #hasRoom(): boolean {
    try {
      this.templates.ensureRoomForOneMore();
      return true;
    } catch (error) {
      if (error instanceof Failure && error.code === 'SHARD_FULL') return false;
      throw error;
    }
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

  #requirePartition(partition: number): void {
    if (!this.#nextOffsets.has(partition)) throw new RangeError(`partition ${partition} is not of this shard`);
  }
}

function forgetRepairsOf(image: ImageId, result: ApplyResult): void {
  const isOther = (other: ImageId): boolean => other !== image;
  if (result.resurrections.length > 0) result.resurrections = result.resurrections.filter(isOther);
  if (result.staleOverwrites.length > 0) result.staleOverwrites = result.staleOverwrites.filter(isOther);
  if (result.unusableOverwrites.length > 0) {
    result.unusableOverwrites = result.unusableOverwrites.filter(({ imageId }) => isOther(imageId));
  }
}
