/**
 * Galleries made to break the error bound of the exact engine: differences below what eight bits tell, codes at the edge
 * of rounding, scores at the ends of their range. The answer is compared with a plain scan, bit by bit.
 * GALLERY_SEED repeats a run that failed.
 */
import { describe, expect, it } from 'vitest';
import { ExactEngine } from './exact-engine.js';
import { NORM_TOLERANCE } from './template-vector.js';
import { plainScan } from './vector-index.conformance.js';
import { faceLikeVector, normalised, seededRandom, variantOf } from './vectors-for-tests.js';
import { VectorStore } from './vector-store.js';

const SEED = Number(process.env['GALLERY_SEED'] ?? Date.now() % 1e9);
const DIMENSIONS = [1, 2, 3, 7, 15, 16, 17, 31, 33, 64, 127, 200, 512, 1000, 1023, 1024];
/** Just inside what is accepted as a norm of 1. */
const NORM_OFF = NORM_TOLERANCE * 0.99;

type Random = () => number;
/** A vector of norm 1 or as far from it as is accepted. */
type Adversary = (random: Random, dimension: number, centre: Float32Array) => Float32Array;

const ADVERSARIES: Readonly<Record<string, Adversary>> = {
  'near-ties far below the resolution of the codes': (random, _dimension, centre) =>
    normalised(centre.map((value) => value * (1 + (random() - 0.5) * 2e-6))),
  duplicates: (_random, _dimension, centre) => centre.slice(),
  'duplicates but for the last bit of one value': (random, dimension, centre) => {
    const vector = centre.slice();
    const at = Math.floor(random() * dimension);
    vector[at] = vector[at]! * (1 + 2 ** -23);
    return vector;
  },
  'clusters a hundredth wide': (random, _dimension, centre) => variantOf(centre, random, 0.01),
  'equal values, signs at random': (random, dimension) =>
    normalised(new Float32Array(dimension).map(() => (random() < 0.5 ? 1 : -1))),
  'one value alone': (random, dimension) => {
    const vector = new Float32Array(dimension);
    vector[Math.floor(random() * dimension)] = random() < 0.5 ? 1 : -1;
    return vector;
  },
  'every value half way between two codes, signs in turn': (random, dimension) => {
    const vector = new Float32Array(dimension).map(
      (_, i) => (Math.floor(random() * 126) + 0.5) * (i % 2 === 0 ? 1 : -1),
    );
    vector[Math.floor(random() * dimension)] = 127;
    return normalised(vector);
  },
  'one great value and the rest below half a code, all on the side of the probe': (random, dimension, centre) => {
    const vector = centre.map((value) => Math.sign(value) * 0.499 * random());
    vector[Math.floor(random() * dimension)] = 127;
    return normalised(vector);
  },
  'values too small for float32 to have all their bits': (random, dimension) => {
    const vector = new Float32Array(dimension).map(() => (random() - 0.5) * 1e-38);
    vector[Math.floor(random() * dimension)] = random() < 0.5 ? 1 : -1;
    return vector;
  },
  'norms at both ends of what is accepted': (random, _dimension, centre) =>
    variantOf(centre, random, 0.02 * random()).map((value) => value * (random() < 0.5 ? 1 + NORM_OFF : 1 - NORM_OFF)),
  'the opposite of the probe, longer than 1: all scores are clamped to -1': (_random, _dimension, centre) =>
    centre.map((value) => -value * (1 + NORM_OFF)),
  'the probe itself, longer than 1: all scores are clamped to 1': (random, _dimension, centre) =>
    centre.map((value) => value * (1 + NORM_OFF * random())),
  strangers: (random, dimension) => faceLikeVector(random, dimension),
};

function galleryOf(
  random: Random,
  dimension: number,
  size: number,
  make: (slot: number) => Float32Array,
  subjects: number,
): { store: VectorStore; engine: ExactEngine } {
  const store = new VectorStore(dimension);
  const engine = new ExactEngine(store);
  for (let i = 0; i < size; i++) {
    // Ids in no order, so that ties are not decided by the order of the slots.
    const slot = store.put(make(i), `i${Math.floor(random() * 1e9)}-${i}`, Math.floor(random() * subjects));
    engine.add(slot);
  }
  return { store, engine };
}

function expectPlain(store: VectorStore, engine: ExactEngine, probe: Float32Array, k: number, what: string): void {
  expect(engine.search({ probe, k }).hits, `seed ${SEED}, ${what}`).toEqual(plainScan(store, probe, k));
}

describe(`the exact engine's bound (seed ${SEED})`, () => {
  it.each(Object.entries(ADVERSARIES))('loses nobody among %s', (name, adversary) => {
    const random = seededRandom(SEED + name.length);
    for (const dimension of DIMENSIONS) {
      const centre = faceLikeVector(random, dimension);
      const size = 300;
      const subjects = random() < 0.5 ? size : 40;
      const { store, engine } = galleryOf(
        random,
        dimension,
        size,
        () => adversary(random, dimension, centre),
        subjects,
      );
      const off = centre.map((value) => value * (1 + (random() - 0.5) * 2 * NORM_OFF));
      const probes = [centre, off, adversary(random, dimension, centre), faceLikeVector(random, dimension)];
      for (const probe of probes) {
        for (const k of [1, 5, 60, 1000]) expectPlain(store, engine, probe, k, `${dimension} dimensions, k ${k}`);
      }
    }
  });

  it('loses nobody when all of them are in one gallery, some removed and some suppressed', () => {
    const random = seededRandom(SEED);
    const makers = Object.values(ADVERSARIES);
    for (const dimension of [3, 64, 509, 512]) {
      const centre = faceLikeVector(random, dimension);
      const { store, engine } = galleryOf(
        random,
        dimension,
        5000,
        () => makers[Math.floor(random() * makers.length)]!(random, dimension, centre),
        3000,
      );
      for (let slot = 0; slot < 5000; slot++) {
        const fate = random();
        if (fate < 0.1) {
          engine.remove(slot);
          store.clear(slot);
        } else if (fate < 0.2) store.setSuppressed(slot, true);
      }
      for (let i = 0; i < 20; i++) {
        const probe = i === 0 ? centre : variantOf(centre, random, random());
        expectPlain(store, engine, probe, [1, 10, 100][i % 3]!, `${dimension} dimensions together`);
      }
    }
  });

  it('loses nobody where the templates are whole codes, so that only what the code of the probe leaves out errs', () => {
    const random = seededRandom(SEED + 4);
    const { store, engine } = galleryOf(
      random,
      3,
      2000,
      () => normalised(Float32Array.of(127, Math.round((random() - 0.5) * 254), Math.round((random() - 0.5) * 254))),
      2000,
    );
    for (let i = 0; i < 200; i++) {
      const probe = normalised(Float32Array.of(random() - 0.5, random() - 0.5, random() - 0.5));
      for (const k of [20, 100, 500]) expectPlain(store, engine, probe, k, `k ${k}`);
    }
  });

  it('leaves room for others beside a thousand images of one subject that all score higher', () => {
    const random = seededRandom(SEED + 1);
    const man = faceLikeVector(random, 512);
    const { store, engine } = galleryOf(random, 512, 0, () => man, 1);
    for (let i = 0; i < 1000; i++) engine.add(store.put(variantOf(man, random, 0.05), `man${i}`, 0));
    for (let i = 1; i <= 500; i++) engine.add(store.put(faceLikeVector(random, 512), `other${i}`, i));
    for (const k of [1, 2, 20, 501, 1000]) expectPlain(store, engine, man, k, `k ${k}`);
    expect(engine.search({ probe: man, k: 20 }).hits).toHaveLength(20);
  });

  it('finds nobody when all are suppressed, and the one that is not when one is', () => {
    const random = seededRandom(SEED + 2);
    const { store, engine } = galleryOf(random, 48, 5000, () => faceLikeVector(random, 48), 5000);
    for (let slot = 0; slot < 5000; slot++) store.setSuppressed(slot, true);
    const probe = faceLikeVector(random, 48);
    expect(engine.search({ probe, k: 10 }).hits).toEqual([]);
    store.setSuppressed(4711, false);
    expect(engine.search({ probe, k: 10 }).hits).toMatchObject([{ slot: 4711 }]);
  });

  it('scores as the sum in another order does, to the thirteenth digit', () => {
    const random = seededRandom(SEED + 3);
    for (const dimension of DIMENSIONS) {
      const { store, engine } = galleryOf(random, dimension, 50, () => faceLikeVector(random, dimension), 50);
      const probe = faceLikeVector(random, dimension);
      for (const { slot, score } of engine.search({ probe, k: 50 }).hits) {
        const backwards = [...store.vector(slot)].reduceRight((sum, value, i) => sum + value * probe[i]!, 0);
        expect(Math.abs(score - Math.max(-1, Math.min(1, backwards)))).toBeLessThan(1e-13);
      }
    }
  });
});
