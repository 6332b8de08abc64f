/** What every engine behind {@link VectorIndex} keeps. Each engine's own test runs this suite. */
import { describe, expect, it } from 'vitest';
import { SubjectRanking } from './subject-ranking.js';
import { faceLikeVector, normalised, seededRandom, variantOf } from './vectors-for-tests.js';
import type { SlotAnswer, SlotHit, VectorIndex } from './vector-index.js';
import { VectorStore } from './vector-store.js';

const DIMENSION = 64;

export interface EngineUnderTest {
  readonly name: string;
  /** The engines that follow the store; the first is the one that is asked. */
  create(store: VectorStore): readonly [VectorIndex, ...VectorIndex[]];
  /** Called before a search: an engine that works in the background finishes. */
  settle(engine: VectorIndex): void;
  /** The least share of searches that have the same first hit as a plain scan. */
  readonly firstHitShareMin: number;
}

class Gallery {
  readonly store: VectorStore;
  readonly engines: readonly [VectorIndex, ...VectorIndex[]];

  constructor(
    private readonly subject: EngineUnderTest,
    dimension = DIMENSION,
  ) {
    this.store = new VectorStore(dimension);
    this.engines = subject.create(this.store);
  }

  add(vector: Float32Array, imageId: string, subjectNumber: number): number {
    const slot = this.store.put(vector, imageId, subjectNumber);
    for (const engine of this.engines) engine.add(slot);
    return slot;
  }

  remove(slot: number): void {
    for (const engine of this.engines) engine.remove(slot);
    this.store.clear(slot);
  }

  search(probe: Float32Array, k: number, accepts?: (slot: number) => boolean): SlotAnswer {
    this.subject.settle(this.engines[0]);
    return this.engines[0].search(accepts === undefined ? { probe, k } : { probe, k, accepts });
  }
}

/** Every template scored, in double precision. */
export function plainScan(
  store: VectorStore,
  probe: Float32Array,
  k: number,
  accepts: (slot: number) => boolean = () => true,
): SlotHit[] {
  const ranking = new SubjectRanking(store);
  const wide = Float64Array.from(probe);
  for (let slot = 0; slot < store.slotEnd; slot++) {
    if (store.isSearchable(slot) && accepts(slot)) ranking.offer(slot, store.score(wide, slot));
  }
  return ranking.top(k);
}

export function testVectorIndex(subject: EngineUnderTest): void {
  describe(`${subject.name} as a VectorIndex`, () => {
    it('finds nothing in an empty shard', () => {
      const gallery = new Gallery(subject);
      expect(gallery.search(faceLikeVector(seededRandom(1), DIMENSION), 5).hits).toEqual([]);
    });

    it('returns every subject when k is greater than the shard, best first', () => {
      const random = seededRandom(2);
      const gallery = new Gallery(subject);
      for (let i = 0; i < 40; i++) gallery.add(faceLikeVector(random, DIMENSION), `i${i}`, i >> 1);
      const probe = faceLikeVector(random, DIMENSION);
      const { hits } = gallery.search(probe, 100);
      expect(hits).toHaveLength(20);
      expect(hits).toEqual(plainScan(gallery.store, probe, 100));
    });

    it('finds the same first candidate as a plain scan', () => {
      const random = seededRandom(3);
      const gallery = new Gallery(subject);
      const faces = Array.from({ length: 3000 }, () => faceLikeVector(random, DIMENSION));
      faces.forEach((face, i) => gallery.add(face, `i${i}`, i));
      let same = 0;
      for (let i = 0; i < 200; i++) {
        const probe = variantOf(faces[Math.floor(random() * faces.length)]!, random, 0.8);
        const { hits } = gallery.search(probe, 10);
        expect(hits).toHaveLength(10);
        if (hits[0]!.slot === plainScan(gallery.store, probe, 1)[0]!.slot) same++;
      }
      expect(same / 200).toBeGreaterThanOrEqual(subject.firstHitShareMin);
    });

    it('counts subjects: three hundred images of one man leave room for the others', () => {
      const random = seededRandom(4);
      const gallery = new Gallery(subject);
      const man = faceLikeVector(random, DIMENSION);
      for (let i = 0; i < 300; i++) gallery.add(variantOf(man, random, 0.1), `man${i}`, 0);
      for (let i = 1; i <= 50; i++) gallery.add(faceLikeVector(random, DIMENSION), `other${i}`, i);
      const { hits } = gallery.search(man, 10);
      expect(hits).toEqual(plainScan(gallery.store, man, 10));
      expect(new Set(hits.map(({ slot }) => gallery.store.subject(slot))).size).toBe(10);
    });

    it('orders equal scores by imageId and gives a subject the least imageId of them', () => {
      const random = seededRandom(5);
      const gallery = new Gallery(subject);
      const face = faceLikeVector(random, DIMENSION);
      for (const [imageId, number] of [
        ['d', 1],
        ['a', 2],
        ['c', 2],
        ['b', 3],
      ] as const)
        gallery.add(face, imageId, number);
      const { hits } = gallery.search(face, 3);
      expect(hits.map(({ slot }) => gallery.store.imageId(slot))).toEqual(['a', 'b', 'd']);
    });

    it('never returns a suppressed slot, and widens to make up for it', () => {
      const random = seededRandom(6);
      const gallery = new Gallery(subject);
      const face = faceLikeVector(random, DIMENSION);
      const near = Array.from({ length: 100 }, (_, i) => gallery.add(variantOf(face, random, 0.2), `near${i}`, i));
      for (let i = 0; i < 100; i++) gallery.add(faceLikeVector(random, DIMENSION), `far${i}`, 100 + i);
      for (const slot of near) gallery.store.setSuppressed(slot, true);
      const hidden = gallery.search(face, 5).hits;
      expect(hidden).toEqual(plainScan(gallery.store, face, 5));
      expect(hidden.some(({ slot }) => near.includes(slot))).toBe(false);
      gallery.store.setSuppressed(near[0]!, false);
      expect(gallery.search(face, 5).hits[0]!.slot).toBe(near[0]);
    });

    it('forgets what was removed and finds what took its slot', () => {
      const random = seededRandom(7);
      const gallery = new Gallery(subject);
      const faces = Array.from({ length: 200 }, () => faceLikeVector(random, DIMENSION));
      const slots = faces.map((face, i) => gallery.add(face, `i${i}`, i));
      gallery.search(faces[0]!, 1);
      for (let i = 0; i < 100; i++) gallery.remove(slots[i]!);
      for (let i = 0; i < 100; i++) expect(gallery.search(faces[i]!, 1).hits[0]!.score).toBeLessThan(0.95);
      const again = gallery.add(faces[5]!, 'again', 900);
      expect(slots.slice(0, 100)).toContain(again);
      expect(gallery.search(faces[5]!, 1).hits[0]!.slot).toBe(again);
    });

    it('returns only what the filter accepts, as many as there are', () => {
      const random = seededRandom(8);
      const gallery = new Gallery(subject);
      for (let i = 0; i < 500; i++) gallery.add(faceLikeVector(random, DIMENSION), `i${i}`, i);
      const probe = faceLikeVector(random, DIMENSION);
      const accepts = (slot: number): boolean => slot % 100 === 3;
      const { mode, hits } = gallery.search(probe, 10, accepts);
      expect(mode).toBe('exact');
      expect(hits).toHaveLength(5);
      expect(hits).toEqual(plainScan(gallery.store, probe, 10, accepts));
    });

    it('scores in double precision, whatever its own arithmetic is', () => {
      const random = seededRandom(9);
      const gallery = new Gallery(subject);
      const face = faceLikeVector(random, DIMENSION);
      // One step of float32 in one dimension: only the exact score can order them.
      for (let i = 0; i < 60; i++) {
        const near = face.slice();
        near[i] = near[i]! * (1 + 2 ** -22);
        gallery.add(near, `i${i}`, i);
      }
      const probe = normalised(variantOf(face, random, 0.3));
      expect(gallery.search(probe, 60).hits).toEqual(plainScan(gallery.store, probe, 60));
    });

    it('accepts dimensions that are no multiple of sixteen', () => {
      const random = seededRandom(10);
      const gallery = new Gallery(subject, 37);
      for (let i = 0; i < 100; i++) gallery.add(faceLikeVector(random, 37), `i${i}`, i);
      const probe = faceLikeVector(random, 37);
      expect(gallery.search(probe, 100).hits).toEqual(plainScan(gallery.store, probe, 100));
    });
  });
}
