/** Answers of real shards, merged as the query service merges them: the layout must not show. */
import { beforeAll, describe, expect, it } from 'vitest';
import { partitionFor } from '#contracts/murmur2.js';
import { Gather, type Gathered } from '#domain/gather.js';
import { compareCandidates, TEMPLATE_PARTITIONS, type SearchMode } from '#domain/gallery.js';
import { imageId, offset, subjectId, type ImageId } from '#domain/ids.js';
import { GalleryShard } from './gallery-shard.js';
import { cosine } from './template-vector.js';
import { faceLikeVector, seededRandom, variantOf } from './vectors-for-tests.js';

const DIMENSION = 64;
/** One person, photographed a thousand times, each time more like the probe than anybody else. */
const MUCH_PHOTOGRAPHED = subjectId('much-photographed');
const IMAGES_OF_ONE = 1_000;
const OTHERS = 300;
const K = 20;

interface Enrolled {
  readonly imageId: ImageId;
  readonly subjectId: ReturnType<typeof subjectId>;
  readonly vector: Float32Array;
}

const partition = (id: ImageId): number => partitionFor(Buffer.from(id), TEMPLATE_PARTITIONS);

describe('a subject with a thousand images over all shards', () => {
  const random = seededRandom(20_26);
  let probe: Float32Array;
  let enrolled: readonly Enrolled[];
  let expected: readonly { readonly subjectId: string; readonly imageId: string; readonly score: number }[];

  beforeAll(() => {
    probe = faceLikeVector(random, DIMENSION);
    const one = Array.from({ length: IMAGES_OF_ONE }, (_, i) => ({
      imageId: imageId(`one-${i}`),
      subjectId: MUCH_PHOTOGRAPHED,
      vector: variantOf(probe, random, 0.2),
    }));
    const others = Array.from({ length: OTHERS }, (_, i) => ({
      imageId: imageId(`other-${i}`),
      subjectId: subjectId(`other-${i % 200}`),
      vector: variantOf(probe, random, 2),
    }));
    enrolled = [...one, ...others];
    const best = new Map<string, { subjectId: string; imageId: string; score: number }>();
    for (const { vector, ...who } of enrolled) {
      const scored = { ...who, score: cosine(Float64Array.from(probe), vector, 0, DIMENSION) };
      const known = best.get(who.subjectId);
      if (known === undefined || compareCandidates(scored, known) < 0) best.set(who.subjectId, scored);
    }
    expected = [...best.values()].sort(compareCandidates).slice(0, K);
    expect(expected[0]!.subjectId).toBe(MUCH_PHOTOGRAPHED);
  });

  function shardsOf(shards: number): readonly GalleryShard[] {
    return Array.from({ length: shards }, (_, shard) => {
      const own = Array.from({ length: TEMPLATE_PARTITIONS }, (_, p) => p).filter((p) => p % shards === shard);
      const gallery = new GalleryShard({ dimension: DIMENSION, partitions: own, autoExactMaxTemplates: 1_000_000 });
      for (const [at, { vector, ...who }] of enrolled.entries()) {
        if (!own.includes(partition(who.imageId))) continue;
        gallery.apply({
          kind: 'template',
          partition: partition(who.imageId),
          offset: offset(at),
          imageId: who.imageId,
          timestampMs: 0,
          vector,
          metadata: who,
          source: { sourceOffset: offset(at), acceptedAtMs: 0 },
        });
      }
      gallery.approximate.build(Infinity);
      return gallery;
    });
  }

  function ask(layouts: readonly (readonly GalleryShard[])[], mode: SearchMode): Gathered {
    const gather = new Gather(TEMPLATE_PARTITIONS, partition);
    for (const [layout, shards] of layouts.entries()) {
      for (const [shard, gallery] of shards.entries()) {
        gather.add({
          replicaId: `${layout}/${shard}`,
          coverage: gallery.coverage().map((part) => ({ ...part, behindMs: 0 })),
          ...gallery.search({ probe, k: K, mode }),
        });
      }
    }
    return gather.result(K, () => true);
  }

  const shown = ({ candidates }: Gathered) =>
    candidates.map(({ subjectId: subject, imageId: image, score }) => ({ subjectId: subject, imageId: image, score }));

  it.each([1, 2, 3, 24])('takes one place of the list with %i shards, and pushes nobody off it', (shards) => {
    const answer = ask([shardsOf(shards)], 'exact');
    expect(shown(answer)).toEqual(expected);
    expect(answer).toMatchObject({ missing: [], enrolled: IMAGES_OF_ONE + OTHERS });
  });

  it('takes one place with replicas, and with two layouts that answer side by side', () => {
    const [one, three, eight] = [shardsOf(1), shardsOf(3), shardsOf(8)];
    for (const layouts of [
      [three, three],
      [one, three],
      [three, one],
      [eight, three, one],
      [[three[1]!], [three[0]!], eight],
    ]) {
      const answer = ask(layouts, 'exact');
      expect(shown(answer)).toEqual(expected);
      expect(answer).toMatchObject({ missing: [], enrolled: IMAGES_OF_ONE + OTHERS });
    }
  });

  it('takes one place when the approximate engine is forced, and no place is left empty', () => {
    const answer = ask([shardsOf(3)], 'approximate');
    expect(answer.mode).toBe('approximate');
    expect(answer.candidates).toHaveLength(K);
    expect(new Set(answer.candidates.map((candidate) => candidate.subjectId)).size).toBe(K);
    expect(answer.candidates[0]!.subjectId).toBe(MUCH_PHOTOGRAPHED);
    // What is approximate is who stands last, not whether the list is one of different people.
    const exact = new Set(expected.map(({ subjectId: subject }) => subject));
    const common = answer.candidates.filter((candidate) => exact.has(candidate.subjectId)).length;
    expect(common).toBeGreaterThanOrEqual(K - 2);
  });
});
