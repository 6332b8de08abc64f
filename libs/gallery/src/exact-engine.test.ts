import { expect, it } from 'vitest';
import { ExactEngine } from './exact-engine.js';
import { plainScan, testVectorIndex } from './vector-index.conformance.js';
import { faceLikeVector, normalised, seededRandom, variantOf } from './vectors-for-tests.js';
import { SLOTS_PER_BLOCK } from './slot-columns.js';
import { VectorStore } from './vector-store.js';

testVectorIndex({
  name: 'ExactEngine',
  create: (store) => [new ExactEngine(store)],
  settle: () => {},
  firstHitShareMin: 1,
});

it('equals a plain scan to the bit over random galleries, with clusters, duplicates, gaps and filters', () => {
  const seed = Number(process.env['GALLERY_SEED'] ?? Date.now() % 1e9);
  const random = seededRandom(seed);
  for (let round = 0; round < 60; round++) {
    const dimension = [8, 48, 128, 512, 1024][Math.floor(random() * 5)]!;
    const size = Math.floor(random() * (round % 10 === 0 ? 6000 : 700));
    const subjects = 1 + Math.floor(random() * size);
    const store = new VectorStore(dimension);
    const engine = new ExactEngine(store);
    const faces: Float32Array[] = [];
    for (let i = 0; i < size; i++) {
      const last = faces.at(-1);
      const face = last !== undefined && random() < 0.5 ? variantOf(last, random, random() < 0.3 ? 0 : 1e-4) : spiky();
      faces.push(face);
      const slot = store.put(face, `i${i}`, Math.floor(random() * subjects));
      engine.add(slot);
      if (random() < 0.1) store.setSuppressed(slot, true);
      if (random() < 0.1) {
        engine.remove(slot);
        store.clear(slot);
      }
    }
    for (let i = 0; i < 5; i++) {
      const probe = faces.length > 0 && random() < 0.5 ? faces[Math.floor(random() * faces.length)]! : spiky();
      const k = 1 + Math.floor(random() * 60);
      const oneIn = [1, 2, 7, 40][Math.floor(random() * 4)]!;
      const accepts = random() < 0.5 ? (slot: number): boolean => slot % oneIn === 0 : undefined;
      const { hits } = engine.search(accepts === undefined ? { probe, k } : { probe, k, accepts });
      expect(hits, `seed ${seed}, round ${round}`).toEqual(plainScan(store, probe, k, accepts));
    }

    /** Now and then nearly all of the norm in one dimension: the worst that coding to eight bits can meet. */
    function spiky(): Float32Array {
      const vector = faceLikeVector(random, dimension);
      if (random() < 0.2) vector[Math.floor(random() * dimension)] = random() < 0.5 ? 5 : -50;
      return normalised(vector);
    }
  }
}, 120_000);

it('loses nobody where the error bound is tight: in few dimensions the coding error often points along the probe', () => {
  const random = seededRandom(21);
  for (let round = 0; round < 300; round++) {
    const dimension = 2 + (round % 3);
    const store = new VectorStore(dimension);
    const engine = new ExactEngine(store);
    const probe = faceLikeVector(random, dimension);
    // All within the coding error of each other, so that only the bound keeps the best one in.
    for (let i = 0; i < 400; i++) engine.add(store.put(variantOf(probe, random, 0.05 * random()), `i${i}`, i));
    expect(engine.search({ probe, k: 1 }).hits, `round ${round}`).toEqual(plainScan(store, probe, 1));
  }
});

it('overwrites the code of a removed template', () => {
  const store = new VectorStore(64);
  const engine = new ExactEngine(store);
  const random = seededRandom(11);
  const face = faceLikeVector(random, 64);
  const slot = store.put(face, 'a', 0);
  engine.add(slot);
  const view = store.vector(slot);
  engine.remove(slot);
  store.clear(slot);
  expect([...view].every((value) => value === 0)).toBe(true);
  // A free slot is nobody's, so put it back without telling the engine: it must score as if nothing were there.
  store.put(face, 'b', 0);
  for (let i = 1; i < 50; i++) engine.add(store.put(variantOf(face, random, 0.5), `c${i}`, i));
  expect(engine.search({ probe: face, k: 1 }).hits[0]!.slot).not.toBe(slot);
});

it('grows by blocks without losing what it has', () => {
  const store = new VectorStore(16);
  const engine = new ExactEngine(store);
  const random = seededRandom(12);
  const faces = Array.from({ length: 2 * SLOTS_PER_BLOCK + 10 }, () => faceLikeVector(random, 16));
  faces.forEach((face, i) => engine.add(store.put(face, `i${i}`, i)));
  for (const i of [0, SLOTS_PER_BLOCK - 1, SLOTS_PER_BLOCK, 2 * SLOTS_PER_BLOCK + 9]) {
    expect(engine.search({ probe: faces[i]!, k: 1 }).hits[0]!.slot).toBe(i);
  }
});

it('refuses more dimensions than the kernel can add up without overflow', () => {
  expect(() => new ExactEngine(new VectorStore(1025))).toThrow(RangeError);
});

it('says that the shard is full, and goes on with what it has', () => {
  const store = new VectorStore(1024);
  const engine = new ExactEngine(store);
  const face = faceLikeVector(seededRandom(13), 1024);
  engine.add(store.put(face, 'a', 0));
  // More than WebAssembly can address; the memory is reserved, not touched.
  expect(() => engine.ensureRoomFor(5_000_000)).toThrow('SHARD_FULL');
  expect(engine.search({ probe: face, k: 1 }).hits).toMatchObject([{ slot: 0 }]);
});
