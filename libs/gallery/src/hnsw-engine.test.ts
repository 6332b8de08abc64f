import { mkdtemp, readFile, rm, truncate } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ExactEngine } from './exact-engine.js';
import { HnswEngine, PENDING_SCAN_MAX } from './hnsw-engine.js';
import { HnswGraph } from './hnsw-graph.js';
import { plainScan, testVectorIndex } from './vector-index.conformance.js';
import { faceLikeVector, seededRandom } from './vectors-for-tests.js';
import { VectorStore } from './vector-store.js';

const DIMENSION = 32;

testVectorIndex({
  name: 'HnswEngine, built',
  create: enginesOf,
  settle: (engine) => (engine as HnswEngine).build(Infinity),
  firstHitShareMin: 0.99,
});

testVectorIndex({
  name: 'HnswEngine, all pending',
  create: enginesOf,
  settle: () => {},
  firstHitShareMin: 1,
});

function enginesOf(store: VectorStore): [HnswEngine, ExactEngine] {
  const exact = new ExactEngine(store);
  return [new HnswEngine(store, exact), exact];
}

function build(size: number): {
  store: VectorStore;
  engine: HnswEngine;
  faces: Float32Array[];
  remove: (slot: number) => void;
} {
  const random = seededRandom(size);
  const store = new VectorStore(DIMENSION);
  const [engine, exact] = enginesOf(store);
  const faces = Array.from({ length: size }, () => faceLikeVector(random, DIMENSION));
  faces.forEach((face, i) => {
    const slot = store.put(face, `i${i}`, i);
    engine.add(slot);
    exact.add(slot);
  });
  const remove = (slot: number): void => {
    engine.remove(slot);
    exact.remove(slot);
    store.clear(slot);
  };
  return { store, engine, faces, remove };
}

describe('HnswEngine', () => {
  it('finds a template that the graph does not have yet', () => {
    const { store, engine, faces } = build(100);
    engine.build(Infinity);
    const late = faceLikeVector(seededRandom(77), DIMENSION);
    const slot = store.put(late, 'late', 1000);
    engine.add(slot);
    expect(engine.pending).toBe(1);
    expect(engine.search({ probe: late, k: 1 })).toEqual({ mode: 'approximate', hits: plainScan(store, late, 1) });
    expect(engine.search({ probe: faces[3]!, k: 1 }).hits[0]!.slot).toBe(3);
  });

  it('says that it was exact while too much is pending', () => {
    const { engine, faces } = build(PENDING_SCAN_MAX + 1);
    expect(engine.search({ probe: faces[9]!, k: 1 })).toMatchObject({ mode: 'exact', hits: [{ slot: 9 }] });
    engine.build(0);
    expect(engine.pending).toBe(PENDING_SCAN_MAX);
    expect(engine.search({ probe: faces[9]!, k: 1 })).toMatchObject({ mode: 'approximate', hits: [{ slot: 9 }] });
  });

  it('starts the graph again when a fifth of it is deleted, and loses nobody', () => {
    const { store, engine, faces } = build(1200);
    engine.build(Infinity);
    for (let slot = 0; slot <= 240; slot++) {
      engine.remove(slot);
      store.clear(slot);
    }
    expect(engine.tombstones).toBe(241);
    expect(engine.rebuildNeeded()).toBe(true);
    engine.build(Infinity);
    expect(engine).toMatchObject({ tombstones: 0, approximateSize: 959, pending: 0 });
    for (let slot = 300; slot < 330; slot++) {
      expect(engine.search({ probe: faces[slot]!, k: 1 }).hits[0]!.slot).toBe(slot);
    }
  });
});

it('answers rightly while the graph is built anew, whatever is removed meanwhile', () => {
  // Three quarters stay: more than is looked at one by one, so that searches are exact first.
  const size = Math.ceil(((PENDING_SCAN_MAX + 600) * 4) / 3);
  const insertionsPerSearch = 20;
  const { store, engine, faces, remove } = build(size);
  engine.build(Infinity);
  for (let slot = 0; slot < size; slot += 4) remove(slot);
  expect(engine.rebuildNeeded()).toBe(true);
  const modes = new Set<string>();
  for (let slice = 0; engine.pending > 0 || slice === 0; slice++) {
    // One is inserted a call, whatever the clock says, so that every run is the same.
    for (let i = 0; i < insertionsPerSearch; i++) engine.build(0);
    const kept = 4 * slice + 2;
    if (kept >= size - 8) continue;
    // Templates are inserted in the order of their slots: the one is in the new graph by now, the other waits to the end.
    for (const slot of [kept, size - 2 - (size % 4)]) {
      const { mode, hits } = engine.search({ probe: faces[slot]!, k: 5 });
      modes.add(mode);
      expect(hits[0]).toEqual(plainScan(store, faces[slot]!, 1)[0]);
      expect(hits).toHaveLength(5);
      for (const hit of hits) expect(store.isSearchable(hit.slot)).toBe(true);
    }
    // Out of the new graph or out of what is pending.
    remove(kept - 1);
    expect(engine.search({ probe: faces[kept - 1]!, k: 1 }).hits[0]!.slot).not.toBe(kept - 1);
  }
  expect([...modes]).toEqual(['exact', 'approximate']);
  expect(engine.approximateSize).toBe(store.size);
}, 120_000);

describe('HnswGraph', () => {
  it('overwrites an erased template before it deletes it, in the file as well', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'graph-'));
    try {
      const graph = HnswGraph.create(DIMENSION);
      const random = seededRandom(5);
      const faces = Array.from({ length: 50 }, () => faceLikeVector(random, DIMENSION));
      for (const face of faces) graph.add(face);
      graph.erase(7);
      const path = join(folder, 'hnsw.bin');
      await graph.write(path);
      const bytes = await readFile(path);
      expect(bytes.includes(Buffer.from(faces[8]!.buffer))).toBe(true);
      expect(bytes.includes(Buffer.from(faces[7]!.buffer))).toBe(false);
      expect(bytes.includes(Buffer.from(faces[7]!.buffer, 0, 16))).toBe(false);

      const loaded = await HnswGraph.load(path, DIMENSION, graph.facts);
      expect(loaded.live).toBe(49);
      expect(loaded.search(faces[7]!, 50)).not.toContain(7);
      expect(loaded.search(faces[8]!, 3)).toEqual(graph.search(faces[8]!, 3));
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it('refuses what the library would crash on or lose people by', async () => {
    const graph = HnswGraph.create(DIMENSION);
    const face = faceLikeVector(seededRandom(1), DIMENSION);
    graph.add(face);
    const withNaN = face.slice();
    withNaN[3] = Number.NaN;
    expect(() => graph.add(withNaN)).toThrow('not finite');
    expect(() => graph.add(face.map((value) => value * 1.01))).toThrow('norm');
    expect(() => graph.add(face.subarray(1))).toThrow('dimensions');
    expect(() => graph.search(withNaN, 1)).toThrow('not finite');
    expect(() => graph.erase(1)).toThrow('no label');
    expect(() => graph.erase(-1)).toThrow('no label');
    const writing = graph.write(join(tmpdir(), 'no-such-folder', 'hnsw.bin'));
    expect(() => graph.add(face)).toThrow('must not change');
    await expect(writing).rejects.toMatchObject({ code: 'SNAPSHOT_NOT_WRITTEN', retryable: true });
    expect(graph.add(face)).toBe(1);
  });

  it('refuses a file that is too short, or of another dimension', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'graph-'));
    try {
      const graph = HnswGraph.create(DIMENSION);
      const random = seededRandom(6);
      for (let i = 0; i < 50; i++) graph.add(faceLikeVector(random, DIMENSION));
      const path = join(folder, 'hnsw.bin');
      await graph.write(path);
      await expect(HnswGraph.load(path, DIMENSION * 2, graph.facts)).rejects.toMatchObject({
        code: 'GRAPH_UNREADABLE',
      });
      await truncate(path, 5000);
      await expect(HnswGraph.load(path, DIMENSION, graph.facts)).rejects.toMatchObject({ code: 'GRAPH_UNREADABLE' });
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
