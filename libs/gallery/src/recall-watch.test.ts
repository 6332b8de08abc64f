import { expect, it } from 'vitest';
import { imageId, offset, subjectId, type ImageId } from '#domain/ids.js';
import type { GalleryAnswer } from './gallery-contents.js';
import { GalleryShard } from './gallery-shard.js';
import { RecallWatch } from './recall-watch.js';
import { faceLikeVector, seededRandom } from './vectors-for-tests.js';

const DIMENSION = 16;
const FACES = 9000;

function shardOf(count: number): GalleryShard {
  const shard = new GalleryShard({ dimension: DIMENSION, partitions: [0], autoExactMaxTemplates: 0 });
  for (let i = 0; i < count; i++) put(shard, i);
  return shard;
}

function put(shard: GalleryShard, number: number): void {
  const id = imageId(`i${number}`);
  shard.apply({
    kind: 'template',
    partition: 0,
    offset: offset(number),
    imageId: id,
    timestampMs: 0,
    vector: faceLikeVector(seededRandom(number), DIMENSION),
    metadata: { imageId: id, subjectId: subjectId(`s${number}`) },
    source: { sourceOffset: offset(number), acceptedAtMs: number },
  });
}

const probe = faceLikeVector(seededRandom(77), DIMENSION);

function answerOf(shard: GalleryShard, change: (ids: ImageId[]) => ImageId[] = (ids) => ids): GalleryAnswer {
  const answer = shard.search({ probe, k: 10, mode: 'exact' });
  const ids = change(answer.candidates.map((candidate) => candidate.imageId));
  return { ...answer, candidates: ids.map((id, i) => ({ ...answer.candidates[i]!, imageId: id })) };
}

function finish(watch: RecallWatch): void {
  while (watch.waiting > 0) watch.work(-Infinity);
}

it('counts what of the exact answer was found, and whether the first candidate was', () => {
  const shard = shardOf(FACES);
  const watch = new RecallWatch(1);
  expect(watch.stats()).toEqual({ samples: 0, recallRatio: undefined, mateTop1Ratio: undefined });
  const nobody = imageId('nobody');
  watch.observe(shard, { probe, k: 10 }, answerOf(shard));
  watch.observe(
    shard,
    { probe, k: 10 },
    answerOf(shard, (ids) => [...ids.slice(0, 8), nobody, nobody]),
  );
  watch.observe(
    shard,
    { probe, k: 10 },
    answerOf(shard, (ids) => [...ids.slice(1), nobody]),
  );
  finish(watch);
  const { samples, recallRatio, mateTop1Ratio } = watch.stats();
  expect(samples).toBe(3);
  expect(recallRatio).toBeCloseTo((1 + 0.8 + 0.9) / 3, 12);
  expect(mateTop1Ratio).toBeCloseTo(2 / 3, 12);
});

it('searches a block at a time, with other searches in between, and judges by what was there', () => {
  const shard = shardOf(FACES);
  const watch = new RecallWatch(1);
  watch.observe(shard, { probe, k: 10 }, answerOf(shard));
  let turns = 0;
  while (watch.waiting > 0) {
    watch.work(-Infinity);
    turns++;
    // One that no answer of before could have had, and another probe's search in the same memory.
    const id = imageId(`later${turns}`);
    shard.apply({
      kind: 'template',
      partition: 0,
      offset: offset(FACES + turns),
      imageId: id,
      timestampMs: 0,
      vector: probe,
      metadata: { imageId: id, subjectId: subjectId(`later${turns}`) },
      source: { sourceOffset: offset(FACES + turns), acceptedAtMs: 0 },
    });
    shard.search({ probe: faceLikeVector(seededRandom(turns), DIMENSION), k: 3, mode: 'exact' });
  }
  expect(turns).toBeGreaterThan(3);
  expect(watch.stats()).toEqual({ samples: 1, recallRatio: 1, mateTop1Ratio: 1 });
});

it('says nothing of a search whose gallery has lost something meanwhile', () => {
  const shard = shardOf(FACES);
  const watch = new RecallWatch(1);
  const answer = answerOf(shard);
  watch.observe(shard, { probe, k: 10 }, answer);
  watch.work(-Infinity);
  const { imageId: best } = answer.candidates[0]!;
  const since = '2026-01-01T00:00:00Z';
  shard.setDisposition(best, {
    imageId: best,
    kind: 'restricted',
    since,
    authority: 'dpo',
    reason: 'test',
    sourceOffset: offset(FACES),
  });
  finish(watch);
  expect(watch.stats().samples).toBe(0);
});

it('takes the share that it is told to, and few at a time', () => {
  const shard = shardOf(20);
  const answer = answerOf(shard);
  const random = seededRandom(3);
  const some = new RecallWatch(0.25, random);
  for (let i = 0; i < 400; i++) {
    some.observe(shard, { probe, k: 10 }, answer);
    finish(some);
  }
  expect(some.stats().samples).toBeGreaterThan(60);
  expect(some.stats().samples).toBeLessThan(140);
  const none = new RecallWatch(0);
  const all = new RecallWatch(1);
  for (let i = 0; i < 100; i++) {
    none.observe(shard, { probe, k: 10 }, answer);
    all.observe(shard, { probe, k: 10 }, answer);
  }
  expect(none.waiting).toBe(0);
  expect(all.waiting).toBe(8);
  all.drop();
  expect(all.waiting).toBe(0);
});
