/**
 * A shard that is large enough for `auto` to approximate: 300,000 templates, of few dimensions so that building the graph
 * takes minutes. Who is found is printed.
 */
import { beforeAll, describe, expect, it } from 'vitest';
import { imageId, offset, subjectId } from '#domain/ids.js';
import { GalleryShard } from '#gallery/gallery-shard.js';
import { faceLikeVector, seededRandom, variantOf } from '#gallery/vectors-for-tests.js';

const DIMENSION = 64;
const SIZE = 300_000;
/** As AUTO_EXACT_MAX_TEMPLATES is preset. */
const AUTO_EXACT_MAX = 100_000;
const SEARCHES = 500;
const K = 10;

const random = seededRandom(300);
const shard = new GalleryShard({ dimension: DIMENSION, partitions: [0], autoExactMaxTemplates: AUTO_EXACT_MAX });
const idOf = (number: number): ReturnType<typeof imageId> => imageId(`i${number}`);

function enrol(number: number): void {
  shard.apply({
    kind: 'template',
    partition: 0,
    offset: offset(number),
    imageId: idOf(number),
    timestampMs: 0,
    vector: faceLikeVector(random, DIMENSION),
    metadata: {
      imageId: idOf(number),
      subjectId: subjectId(`s${number >> 1}`),
      force: number % 3 === 0 ? 'kent' : 'essex',
    },
    source: { sourceOffset: offset(number), acceptedAtMs: 0 },
  });
}

describe(`a shard of ${SIZE} templates`, () => {
  beforeAll(() => {
    for (let number = 0; number < AUTO_EXACT_MAX; number++) enrol(number);
  });

  it('is exact in auto mode at the limit, and approximate with one more', () => {
    shard.approximate.build(Infinity);
    const probe = faceLikeVector(random, DIMENSION);
    expect(shard.search({ probe, k: K, mode: 'auto' }).mode).toBe('exact');
    enrol(AUTO_EXACT_MAX);
    expect(shard.search({ probe, k: K, mode: 'auto' }).mode).toBe('approximate');
    expect(shard.search({ probe, k: K, mode: 'exact' }).mode).toBe('exact');
    expect(shard.search({ probe, k: K, mode: 'auto', filter: { force: 'kent' } }).mode).toBe('exact');
  }, 600_000);

  it('has the mate first in auto mode where an exact search has, in 99 of 100 searches, and k subjects always', () => {
    for (let number = shard.size; number < SIZE; number++) enrol(number);
    shard.approximate.build(Infinity);
    let matesFirst = 0;
    let found = 0;
    for (let i = 0; i < SEARCHES; i++) {
      const mate = Math.floor(random() * SIZE);
      const probe = variantOf(shard.templateOf(idOf(mate))!.vector, random, 0.7);
      const exact = shard.search({ probe, k: K, mode: 'exact' });
      const auto = shard.search({ probe, k: K, mode: 'auto' });
      expect(auto.mode).toBe('approximate');
      expect(new Set(auto.candidates.map((candidate) => candidate.subjectId)).size).toBe(K);
      for (const { imageId: id, score } of auto.candidates) {
        const same = exact.candidates.find((candidate) => candidate.imageId === id);
        if (same !== undefined) expect(score).toBe(same.score);
      }
      if (exact.candidates[0]!.imageId !== idOf(mate)) continue;
      matesFirst++;
      if (auto.candidates[0]!.imageId === idOf(mate)) found++;
    }
    process.stdout.write(`auto, ${SIZE} templates: ${found} of ${matesFirst} mates first\n`);
    expect(matesFirst).toBeGreaterThan(SEARCHES / 2);
    expect(found / matesFirst).toBeGreaterThanOrEqual(0.99);
  }, 1_800_000);

  it('does not return whom a disposition forbids, and loses nobody for it', () => {
    for (let i = 0; i < 50; i++) {
      const probe = faceLikeVector(random, DIMENSION);
      const [first, second] = shard.search({ probe, k: 2, mode: 'auto' }).candidates;
      const why = { since: '2026-01-01T00:00:00Z', authority: 'dpo', reason: 'test', sourceOffset: offset(SIZE) };
      const kind = i % 2 === 0 ? 'erased' : 'restricted';
      shard.setDisposition(first!.imageId, { imageId: first!.imageId, kind, ...why });
      const after = shard.search({ probe, k: K, mode: 'auto' });
      expect(after.candidates.map((candidate) => candidate.imageId)).not.toContain(first!.imageId);
      // Another image of the same subject may have come up between them.
      expect(after.candidates.slice(0, 2).map((candidate) => candidate.imageId)).toContain(second!.imageId);
    }
  });
});
