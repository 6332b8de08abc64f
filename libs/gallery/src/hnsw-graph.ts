/**
 * hnswlib-node behind a guard. The library aborts the process, reads beyond its memory or loses people silently when it
 * is handed something wrong, so nothing reaches it unchecked: every value is finite and of norm 1, every label is one
 * that this class gave, nothing changes while a file is written, and a file is only loaded into a fresh object after
 * its checksum was verified.
 *
 * Labels are whole numbers given in order and never used twice; who holds what is kept by ./hnsw-engine.ts.
 */
import { stat } from 'node:fs/promises';
import { Failure } from '#domain/errors.js';
import { loadHnswlib, type NativeGraph } from './hnsw-native.js';
import { randomUnitVector, vectorFault } from './template-vector.js';

export interface HnswParameters {
  /** Links a node; twice as many on the ground level. */
  readonly links: number;
  /** Candidates looked at to choose a new node's links; more costs insertion time and gains little. */
  readonly efConstruction: number;
  /** Candidates looked at in a search. */
  readonly efSearch: number;
}

/** Up to here half as many candidates find as many people. */
const FEW_DIMENSIONS_MAX = 256;

/**
 * The least ef that has 99.8 % of mates first, of those whom an exact search has first. By `npm run bench -- parameters`,
 * 100,000 templates spread as real ones are, 500 probes; mate first % / recall of ten % / ms of CPU a search:
 *
 *     dimensions  links   ef 64              ef 128             ef 256              ef 512
 *     128         16      89.8 / 58 / .22    97.0 / 73 / .37    99.2 / 86 /  .63    99.8 / 94 / 1.31
 *     128         32      98.0 / 77 / .34    99.8 / 89 / .59   100.0 / 97 / 1.16   100.0 / 99 / 2.09
 *     512         16      85.7 / 57 / .52    94.3 / 71 / .88    97.1 / 84 / 1.63    98.6 / 93 / 3.46
 *     512         32      96.7 / 75 / 1.04   99.6 / 87 / 1.61   99.8 / 96 / 3.05    99.8 / 99 / 5.54
 *
 * One person is .2 %, so that neighbours in a row that differ by that much are not told apart; the table is of one run.
 * Sixteen links lose isolated people whatever the ef, or take longer for as many; they would save 128 bytes a template.
 */
export function hnswParameters(dimension: number): HnswParameters {
  return { links: 32, efConstruction: 200, efSearch: dimension <= FEW_DIMENSIONS_MAX ? 128 : 256 };
}

/** Links are drawn from this seed, so that two builds from the same log are alike. */
const LEVEL_SEED = 100;
/** Growing reallocates the whole graph, so it grows by a quarter. */
const GROWTH_FACTOR = 1.25;
const CAPACITY_MIN = 1024;
/** A label is a uint32 in the library, which would wrap without a word, and an int32 in ./hnsw-engine.ts. */
const LABEL_END = 2 ** 31;
/** Worked out from the library's structures, not measured. Beside the node itself: a mutex (40), its label in a hash map (40), its level, a pointer, and links of upper levels. */
const NODE_EXTRA_BYTES = 100;
/** Mutexes for 65,536 labels, whatever the graph has. */
const LIBRARY_BYTES = 65_536 * 40;
/** Of the library's file, before the nodes. */
const FILE_HEADER_BYTES = 96;

export interface GraphFacts {
  /** Labels ever given; exclusive. */
  readonly labelEnd: number;
  /** Of those, how many are deleted. */
  readonly deleted: number;
}

export class HnswGraph {
  readonly #index: NativeGraph;
  /** One array for every call: filling it costs 0.7 us, allocating one 20. */
  readonly #values: number[];
  #labelEnd = 0;
  #deleted = 0;
  #writing = false;

  private constructor(
    readonly dimension: number,
    index: NativeGraph,
    /** Of the first allocation; undefined when it is made. One that a loaded graph takes the place of needs none. */
    private firstCapacity?: number,
  ) {
    this.#index = index;
    this.#values = new Array<number>(dimension).fill(0.5);
  }

  static create(dimension: number, capacity = CAPACITY_MIN): HnswGraph {
    const index = new (loadHnswlib().HierarchicalNSW)('ip', dimension);
    return new HnswGraph(dimension, index, Math.max(capacity, CAPACITY_MIN));
  }

  /**
   * @param path of a file that {@link write} wrote, whose checksum the caller has just verified
   * @throws Failure GRAPH_UNREADABLE; the object that failed is dropped and never touched again
   */
  static async load(path: string, dimension: number, facts: GraphFacts): Promise<HnswGraph> {
    const index = new (loadHnswlib().HierarchicalNSW)('ip', dimension);
    try {
      requirePlausibleSize((await stat(path)).size, dimension, facts);
      await index.readIndex(path);
    } catch (cause) {
      throw new Failure('GRAPH_UNREADABLE', 'The graph file cannot be loaded.', false, { cause });
    }
    if (index.getCurrentCount() !== facts.labelEnd) {
      throw new Failure('GRAPH_UNREADABLE', 'The graph file holds another number of templates than it should.', false);
    }
    index.setEf(hnswParameters(dimension).efSearch);
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

  /** What the library has for the nodes there are; what is reserved for more is not touched, so that nobody has it. */
  get memoryBytes(): number {
    return this.#labelEnd * (nodeBytes(this.dimension) + NODE_EXTRA_BYTES) + LIBRARY_BYTES;
  }

  /** @returns the label */
  add(vector: Float32Array): number {
    this.#requireIdle();
    if (this.#labelEnd >= LABEL_END) throw new RangeError('the graph has no labels left');
    this.#fill(vector);
    this.#allocateFirst();
    if (this.#labelEnd === this.#index.getMaxElements()) {
      this.#index.resizeIndex(Math.ceil(this.#labelEnd * GROWTH_FACTOR));
    }
    this.#index.addPoint(this.#values, this.#labelEnd);
    this.#forget();
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
    const { neighbors } = this.#index.searchKnn(this.#values, count);
    this.#forget();
    return neighbors;
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
    if (this.firstCapacity !== undefined) return;
    const { links, efConstruction } = hnswParameters(this.dimension);
    this.#index.initIndex(1, links, efConstruction, LEVEL_SEED);
    this.#labelEnd = 0;
    this.#deleted = 0;
  }

  #allocateFirst(): void {
    if (this.firstCapacity === undefined) return;
    const { links, efConstruction, efSearch } = hnswParameters(this.dimension);
    this.#index.initIndex(this.firstCapacity, links, efConstruction, LEVEL_SEED);
    this.#index.setEf(efSearch);
    this.firstCapacity = undefined;
  }

  #fill(vector: Float32Array): void {
    const fault = vectorFault(vector, this.dimension);
    if (fault !== undefined) throw new RangeError(`a vector for the graph ${fault}`);
    for (let i = 0; i < this.dimension; i++) this.#values[i] = vector[i]!;
  }

  /** Neither a template nor a probe stays in what only hands it over. */
  #forget(): void {
    this.#values.fill(0.5);
  }

  #requireIdle(): void {
    if (this.#writing) throw new Error('the graph must not change while it is being written');
  }
}

/** What the graph's file has at most: one node in 32 has links on an upper level, as many again, and so on. */
export function graphFileBytes(labelEnd: number, dimension: number): number {
  return FILE_HEADER_BYTES + Math.ceil(labelEnd * (nodeBytes(dimension) + 4) * 1.05);
}

function nodeBytes(dimension: number): number {
  return (2 * hnswParameters(dimension).links + 1) * 4 + dimension * 4 + 8;
}

function requirePlausibleSize(sizeBytes: number, dimension: number, facts: GraphFacts): void {
  const least = FILE_HEADER_BYTES + facts.labelEnd * (nodeBytes(dimension) + 4);
  if (sizeBytes < least) throw new Error(`the graph file has ${sizeBytes} bytes, and should have ${least} at least`);
}
