/**
 * The approximate engine: an HNSW graph, built in the background.
 *
 * Insertion costs about a thousand times what keeping a template costs (1 to 3 ms), so a template is *pending* until
 * {@link HnswEngine.build} gets to it. A search joins what the graph finds with an exact look at all that is pending, so
 * that nothing is missed for being new. When too much is pending, or when the graph would have to be widened so far
 * that a scan is cheaper, the search is handed to the exact engine, and the answer says so.
 */
import { HnswGraph, type GraphFacts } from './hnsw-graph.js';
import { grownFor } from './slot-columns.js';
import { SubjectRanking } from './subject-ranking.js';
import type { SlotAnswer, SlotSearch, VectorIndex } from './vector-index.js';
import type { VectorStore } from './vector-store.js';

/** Pending templates that a search looks at one by one, about 0.6 us each: as long as the graph itself takes. */
export const PENDING_SCAN_MAX = 4096;
/** Beyond it a search of the graph costs more than a scan of 100,000 templates. */
const WIDEN_MAX = 2048;
/** Labels asked for first; fewer save nothing, as the graph looks at ef candidates anyhow. */
const WANTED_MIN = 32;
/** A fifth of the graph deleted costs recall, and searches that walk through the dead. */
const REBUILD_DELETED_SHARE = 0.2;
/** A smaller graph is not worth it: whatever it loses, a scan of the same size is as quick. */
const REBUILD_LABELS_MIN = 1000;

const NO_LABEL = -1;
const NO_SLOT = NO_LABEL;

export class HnswEngine implements VectorIndex {
  #graph: HnswGraph;
  #labelOfSlot = new Int32Array();
  #slotOfLabel = new Int32Array();
  readonly #pending = new Set<number>();
  readonly #probe: Float64Array;

  /** @param exact answers what the graph cannot answer well */
  constructor(
    private readonly store: VectorStore,
    private readonly exact: VectorIndex,
  ) {
    this.#graph = HnswGraph.create(store.dimension);
    this.#probe = new Float64Array(store.dimension);
  }

  /** Templates not in the graph yet. */
  get pending(): number {
    return this.#pending.size;
  }

  /** Templates in the graph. */
  get approximateSize(): number {
    return this.#graph.live;
  }

  /** Deleted nodes that the graph still walks through. */
  get tombstones(): number {
    return this.#graph.facts.deleted;
  }

  get memoryBytes(): number {
    return this.#graph.memoryBytes + this.#labelOfSlot.byteLength + this.#slotOfLabel.byteLength;
  }

  add(slot: number): void {
    this.#setLabel(slot, NO_LABEL);
    this.#pending.add(slot);
  }

  remove(slot: number): void {
    if (this.#pending.delete(slot)) return;
    const label = this.labelOf(slot);
    if (label === NO_LABEL) throw new RangeError(`slot ${slot} is not in the index`);
    this.#graph.erase(label);
    this.#slotOfLabel[label] = NO_SLOT;
    this.#labelOfSlot[slot] = NO_LABEL;
  }

  /**
   * Moves pending templates into the graph until the clock says so; one is always moved.
   *
   * @param deadlineMs by `performance.now()`
   * @returns whether nothing is pending any more
   */
  build(deadlineMs: number): boolean {
    if (this.rebuildNeeded()) this.rebuild();
    for (const slot of this.#pending) {
      this.#insert(slot);
      if (performance.now() >= deadlineMs) break;
    }
    return this.#pending.size === 0;
  }

  rebuildNeeded(): boolean {
    const { labelEnd, deleted } = this.#graph.facts;
    return labelEnd >= REBUILD_LABELS_MIN && deleted > labelEnd * REBUILD_DELETED_SHARE;
  }

  /** Starts the graph again: all is pending, and searches are exact until the graph has caught up. */
  rebuild(): void {
    this.#graph.release();
    this.#graph = HnswGraph.create(this.store.dimension, this.store.size);
    this.#slotOfLabel = new Int32Array();
    this.#labelOfSlot = new Int32Array();
    this.addAll();
  }

  /** All that the store holds is pending. */
  addAll(): void {
    for (let slot = 0; slot < this.store.slotEnd; slot++) if (!this.store.isFree(slot)) this.add(slot);
  }

  search(search: SlotSearch): SlotAnswer {
    if (search.accepts !== undefined || this.#pending.size > PENDING_SCAN_MAX) return this.exact.search(search);
    const { probe, k } = search;
    this.#probe.set(probe);
    for (let wanted = Math.max(2 * k, WANTED_MIN); wanted <= WIDEN_MAX; wanted *= 2) {
      const ranking = new SubjectRanking(this.store);
      const labels = this.#graph.search(probe, wanted);
      for (const label of labels) this.#offer(ranking, this.#slotOfLabel[label] ?? NO_SLOT);
      // The graph's share alone must have k subjects: a pending one must not stand in for one not widened to.
      const enough = ranking.subjects >= k;
      const all = labels.length >= this.#graph.live;
      if (!enough && !all) {
        if (labels.length < wanted) break;
        continue;
      }
      for (const slot of this.#pending) this.#offer(ranking, slot);
      return { mode: 'approximate', hits: ranking.top(k) };
    }
    return this.exact.search(search);
  }

  /** The slot's label in the graph, or -1 while it is pending. */
  labelOf(slot: number): number {
    return this.#labelOfSlot[slot] ?? NO_LABEL;
  }

  /** By slot; -1 for one that is not in the graph. A copy. */
  labels(): Int32Array {
    const labels = new Int32Array(this.store.slotEnd).fill(NO_LABEL);
    labels.set(this.#labelOfSlot.subarray(0, labels.length));
    return labels;
  }

  /** See {@link HnswGraph.write}. */
  writeGraph(path: string): Promise<GraphFacts> {
    return this.#graph.write(path);
  }

  get graphFacts(): GraphFacts {
    return this.#graph.facts;
  }

  /**
   * Takes over a graph that was loaded; what the store holds and the graph does not is pending.
   *
   * @param labels by slot, of all slots, -1 for one that is not in the graph; the graph has the vector of each that is
   * @throws RangeError when they are not those of the graph and the store, with nothing changed
   */
  adopt(graph: HnswGraph, labels: Int32Array): void {
    const slotOfLabel = new Int32Array(graph.facts.labelEnd).fill(NO_SLOT);
    let used = 0;
    for (let slot = 0; slot < labels.length; slot++) {
      const label = labels[slot]!;
      if (label === NO_LABEL) continue;
      if (slotOfLabel[label] !== NO_SLOT) throw new RangeError(`label ${label} is unknown or used twice`);
      if (this.store.isFree(slot)) throw new RangeError(`label ${label} is of a slot without a template`);
      slotOfLabel[label] = slot;
      used++;
    }
    if (used !== graph.live) throw new RangeError(`the graph has ${graph.live} templates, the entries name ${used}`);
    this.#graph.release();
    this.#graph = graph;
    this.#slotOfLabel = slotOfLabel;
    this.#labelOfSlot = labels.slice();
    this.#pending.clear();
    for (let slot = 0; slot < labels.length; slot++) {
      if (labels[slot] === NO_LABEL && !this.store.isFree(slot)) this.#pending.add(slot);
    }
  }

  #insert(slot: number): void {
    const label = this.#graph.add(this.store.vector(slot));
    this.#setLabel(slot, label);
    this.#slotOfLabel = grownFor(label, this.#slotOfLabel, noneOf);
    this.#slotOfLabel[label] = slot;
    this.#pending.delete(slot);
  }

  #setLabel(slot: number, label: number): void {
    this.#labelOfSlot = grownFor(slot, this.#labelOfSlot, noneOf);
    this.#labelOfSlot[slot] = label;
  }

  #offer(ranking: SubjectRanking, slot: number): void {
    if (slot !== NO_SLOT && this.store.isSearchable(slot)) ranking.offer(slot, this.store.score(this.#probe, slot));
  }
}

/** Neither a label nor a slot. */
function noneOf(length: number): Int32Array<ArrayBuffer> {
  return new Int32Array(length).fill(NO_LABEL);
}
