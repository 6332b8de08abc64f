/** Nothing that is wrong reaches native code, or changes what is there. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { HnswGraph } from './hnsw-graph.js';
import { vectorFault } from './template-vector.js';
import { VectorStore } from './vector-store.js';
import { faceLikeVector, seededRandom } from './vectors-for-tests.js';

const DIMENSION = 16;
const values = fc.oneof(fc.float(), fc.constantFrom(NaN, Infinity, -Infinity, 1e-45, -0, 3.4e38));
const rubbish = fc
  .array(values, { maxLength: 3 * DIMENSION })
  .map((array) => Float32Array.from(array))
  .filter((vector) => vectorFault(vector, DIMENSION) !== undefined);
const noPlace = fc
  .oneof(fc.integer({ max: -1 }), fc.integer({ min: 10 }), fc.double(), fc.constantFrom(NaN, 2 ** 32, 1.5))
  .filter((place) => !Number.isInteger(place) || place < 0 || place >= 10);

function face(seed: number): Float32Array {
  return faceLikeVector(seededRandom(seed), DIMENSION);
}

function graphOfTen(): HnswGraph {
  const graph = HnswGraph.create(DIMENSION);
  for (let i = 0; i < 10; i++) graph.add(face(i));
  return graph;
}

describe('the graph', () => {
  it('takes no vector that is not a template, and stays as it is', () => {
    const graph = graphOfTen();
    fc.assert(
      fc.property(rubbish, (vector) => {
        expect(() => graph.add(vector)).toThrow(RangeError);
        expect(() => graph.search(vector, 5)).toThrow(RangeError);
      }),
    );
    expect(graph.facts).toEqual({ labelEnd: 10, deleted: 0 });
    expect(graph.search(face(3), 1)).toEqual([3]);
  });

  it('erases no label that it did not give', () => {
    const graph = graphOfTen();
    fc.assert(
      fc.property(noPlace, (label) => {
        expect(() => graph.erase(label)).toThrow(RangeError);
      }),
    );
    expect(graph.live).toBe(10);
  });
});

describe('the store', () => {
  it('clears and suppresses no slot that holds nothing', () => {
    const store = new VectorStore(DIMENSION);
    for (let i = 0; i < 10; i++) store.put(face(i), `i${i}`, i);
    fc.assert(
      fc.property(noPlace, (slot) => {
        expect(() => store.clear(slot)).toThrow(RangeError);
        expect(() => store.setSuppressed(slot, true)).toThrow(RangeError);
        expect(store.isSearchable(slot)).toBe(false);
      }),
    );
    expect(store).toMatchObject({ size: 10, suppressed: 0 });
    store.clear(4);
    expect(() => store.clear(4)).toThrow(RangeError);
    expect(store.nextSlot).toBe(4);
  });
});
