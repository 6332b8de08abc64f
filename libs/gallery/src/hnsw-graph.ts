/**
 * hnswlib-node behind a guard. The library aborts the process, reads beyond its memory or loses people silently when it
 * is handed something wrong, so nothing reaches it unchecked: every value is finite and of norm 1, every label is one
 * that this class gave, nothing changes while a file is written, and a file is only loaded into a fresh object after
 * its checksum was verified.
 *
 * Labels are whole numbers given in order and never used twice; who holds what is kept by ./hnsw-engine.ts.
 */
import { stat } from 'node:fs/promises';
import hnswlib from 'hnswlib-node';
import { Failure } from '#domain/errors.js';
import { randomUnitVector, vectorFault } from './template-vector.js';

/** Links a node: at 100,000 templates M = 16 loses 12 % of mates at the same ef, M = 32 under 3 %. */
export const HNSW_LINKS = 32;
/** Candidates looked at to choose a new node's links; more costs insertion time and gains little. */
export const HNSW_EF_CONSTRUCTION = 200;
/** Candidates looked at in a search: at 100,000 templates 98 to 99 % of mates come first, for 3 ms; 128 loses 5 %. */
export const HNSW_EF_SEARCH = 256;
/** Links are drawn from this seed, so that two builds from the same log are alike. */
const LEVEL_SEED = 100;
/** Growing reallocates the whole graph, so it grows by a quarter. */
const GROWTH_FACTOR = 1.25;
const CAPACITY_MIN = 1024;
/** A label is a uint32 in the library, which would wrap without a word. */
const LABEL_END = 2 ** 32;
/** Of the library's file, before the nodes. */
const FILE_HEADER_BYTES = 96;

export interface GraphFacts {
  /** Labels ever given; exclusive. */
  readonly labelEnd: number;
  /** Of those, how many are deleted. */
  readonly deleted: number;
}

export class HnswGraph {
  readonly #index: hnswlib.HierarchicalNSW;
  /** One array for every call: filling it costs 0.7 us, allocating one 20. */
  readonly #values: number[];
  #labelEnd = 0;
  #deleted = 0;
  #writing = false;

  private constructor(
    readonly dimension: number,
    index: hnswlib.HierarchicalNSW,
  ) {
    this.#index = index;
    this.#values = new Array<number>(dimension).fill(0.5);
  }

  static create(dimension: number, capacity = CAPACITY_MIN): HnswGraph {
    const index = new hnswlib.HierarchicalNSW('ip', dimension);
    index.initIndex(Math.max(capacity, CAPACITY_MIN), HNSW_LINKS, HNSW_EF_CONSTRUCTION, LEVEL_SEED);
    index.setEf(HNSW_EF_SEARCH);
    return new HnswGraph(dimension, index);
  }

  /**
   * @param path of a file that {@link write} wrote, whose checksum the caller has just verified
   * @throws Failure GRAPH_UNREADABLE; the object that failed is dropped and never touched again
   */
  static async load(path: string, dimension: number, facts: GraphFacts): Promise<HnswGraph> {
    const index = new hnswlib.HierarchicalNSW('ip', dimension);
    try {
      requirePlausibleSize((await stat(path)).size, dimension, facts);
      await index.readIndex(path);
    } catch (cause) {
      throw new Failure('GRAPH_UNREADABLE', 'The graph file cannot be loaded.', false, { cause });
    }
    if (index.getCurrentCount() !== facts.labelEnd) {
      throw new Failure('GRAPH_UNREADABLE', 'The graph file holds another number of templates than it should.', false);
    }
    index.setEf(HNSW_EF_SEARCH);
    const graph = new HnswGraph(dimension, index);
    graph.#labelEnd = facts.labelEnd;
    graph.#deleted = facts.deleted;
    return graph;
  }

  get facts(): GraphFacts {
    return { labelEnd: this.#labelEnd, deleted: this.#deleted };
  }

  /** Templates that a search can find. */
  get live(): number {
    return this.#labelEnd - this.#deleted;
  }

  /** The nodes: vector, 64 links on the ground level, label; the upper levels add a few per cent. */
  get memoryBytes(): number {
    return this.#index.getMaxElements() * nodeBytes(this.dimension);
  }

  /** @returns the label */
  add(vector: Float32Array): number {
    this.#requireIdle();
    if (this.#labelEnd >= LABEL_END) throw new RangeError('the graph has no labels left');
    this.#fill(vector);
    if (this.#labelEnd === this.#index.getMaxElements()) {
      this.#index.resizeIndex(Math.ceil(this.#labelEnd * GROWTH_FACTOR));
    }
    this.#index.addPoint(this.#values, this.#labelEnd);
    return this.#labelEnd++;
  }

  /** Overwrites the template by a random one, because deleting alone leaves it in memory and in the file; then deletes. */
  erase(label: number): void {
    this.#requireIdle();
    if (!Number.isInteger(label) || label < 0 || label >= this.#labelEnd) throw new RangeError(`no label ${label}`);
    this.#fill(randomUnitVector(this.dimension));
    this.#index.addPoint(this.#values, label);
    this.#index.markDelete(label);
    this.#deleted++;
  }

  /**
   * @param wanted how many labels; fewer come when the graph has, or reaches, no more
   * @returns labels, most alike first by the library's own arithmetic
   */
  search(probe: Float32Array, wanted: number): number[] {
    const count = Math.min(wanted, this.#labelEnd);
    if (count < 1 || this.live === 0) return [];
    this.#fill(probe);
    return this.#index.searchKnn(this.#values, count).neighbors;
  }

  /**
   * Searches may go on meanwhile, changes may not. The library reports success whatever happened, so the caller must
   * check the file by {@link load}.
   *
   * @throws Failure SNAPSHOT_NOT_WRITTEN
   */
  async write(path: string): Promise<GraphFacts> {
    this.#requireIdle();
    this.#writing = true;
    try {
      // `this` is held until the promise settles: the library truncates the file of an index that was collected.
      await this.#index.writeIndex(path);
      requirePlausibleSize((await stat(path)).size, this.dimension, this.facts);
      return this.facts;
    } catch (cause) {
      throw new Failure('SNAPSHOT_NOT_WRITTEN', 'The graph could not be written.', true, { cause });
    } finally {
      this.#writing = false;
    }
  }

  /** Gives the native memory back at once; the collector does not know how much hangs on this object. */
  release(): void {
    this.#requireIdle();
    this.#index.initIndex(1, HNSW_LINKS, HNSW_EF_CONSTRUCTION, LEVEL_SEED);
    this.#labelEnd = 0;
    this.#deleted = 0;
  }

  #fill(vector: Float32Array): void {
    const fault = vectorFault(vector, this.dimension);
    if (fault !== undefined) throw new RangeError(`a vector for the graph ${fault}`);
    for (let i = 0; i < this.dimension; i++) this.#values[i] = vector[i]!;
  }

  #requireIdle(): void {
    if (this.#writing) throw new Error('the graph must not change while it is being written');
  }
}

function nodeBytes(dimension: number): number {
  return (2 * HNSW_LINKS + 1) * 4 + dimension * 4 + 8;
}

function requirePlausibleSize(sizeBytes: number, dimension: number, facts: GraphFacts): void {
  const least = FILE_HEADER_BYTES + facts.labelEnd * (nodeBytes(dimension) + 4);
  if (sizeBytes < least) throw new Error(`the graph file has ${sizeBytes} bytes, and should have ${least} at least`);
}
