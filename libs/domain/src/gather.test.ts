import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compareCandidates, type GalleryCandidate, type PartitionCoverage } from './gallery.js';
import { FRESH_WITHIN_MS, Gather, type ShardReply } from './gather.js';
import type { ImageId, Offset, SubjectId } from './ids.js';

const PARTITIONS = 4;
const everything = (): boolean => true;

/** `<partition>-<name>`: the partition can be read off the id. */
const partitionOf = (id: ImageId): number => Number(id.split('-')[0]);

function candidate(imageId: string, score: number, subjectId = imageId): GalleryCandidate {
  return {
    imageId: imageId as ImageId,
    subjectId: subjectId as SubjectId,
    score,
    sourceOffset: 1 as Offset,
  };
}

function part(partition: number, over: Partial<PartitionCoverage> = {}): PartitionCoverage {
  return { partition, watermark: (100 + partition) as Offset, enrolled: 10, unusable: 0, behindMs: 0, ...over };
}

function reply(
  partitions: readonly (number | PartitionCoverage)[],
  candidates: readonly GalleryCandidate[] = [],
  over: Partial<ShardReply> = {},
): ShardReply {
  return {
    replicaId: 'r',
    mode: 'exact',
    coverage: partitions.map((p) => (typeof p === 'number' ? part(p) : p)),
    candidates: [...candidates].sort(compareCandidates),
    ...over,
  };
}

function gather(...replies: readonly ShardReply[]): Gather {
  const gathered = new Gather(PARTITIONS, partitionOf);
  for (const one of replies) gathered.add(one);
  return gathered;
}

const idsOf = (candidates: readonly GalleryCandidate[]): string[] => candidates.map(({ imageId }) => imageId);

describe('what may not be shown', () => {
  it('is named, so that the subject can be asked for without it', () => {
    const hidden = candidate('0-hidden', 0.9, 'a');
    const answer = gather(reply([0, 1, 2, 3], [hidden, candidate('1-other', 0.5, 'b')])).result(
      5,
      ({ imageId }) => imageId !== hidden.imageId,
    );
    expect(idsOf(answer.candidates)).toEqual(['1-other']);
    expect(answer.rejected).toEqual(['0-hidden']);
    expect(gather(reply([0], [hidden])).result(5, everything).rejected).toEqual([]);
  });
});

describe('what was searched', () => {
  it('is complete when each partition has a fresh answer, and not before', () => {
    const gathered = gather(reply([0, 2]));
    expect(gathered.complete).toBe(false);
    gathered.add(reply([1]));
    expect(gathered.complete).toBe(false);
    gathered.add(reply([3]));
    expect(gathered.complete).toBe(true);
    expect(gathered.result(5, everything)).toMatchObject({ missing: [], stale: [], enrolled: 40, mode: 'exact' });
  });

  it('names every partition that nobody answered for', () => {
    expect(gather(reply([1])).result(5, everything).missing).toEqual([0, 2, 3]);
    expect(gather().result(5, everything)).toMatchObject({ candidates: [], missing: [0, 1, 2, 3], enrolled: 0 });
  });

  it('names every partition with images that cannot be used, and counts them once', () => {
    const replies = [
      reply([part(2, { unusable: 3 }), part(1, { unusable: 2 }), 0]),
      reply([part(1, { unusable: 2 }), 3]),
    ];
    expect(gather(...replies).result(5, everything)).toMatchObject({ incomplete: [1, 2], unusable: 5, missing: [] });
    expect(gather(reply([0, 1, 2, 3])).result(5, everything)).toMatchObject({ incomplete: [], unusable: 0 });
  });

  it('counts the templates of a partition once, however many replicas answer for it', () => {
    expect(gather(reply([0, 1, 2, 3]), reply([0, 1, 2, 3]), reply([0])).result(5, everything).enrolled).toBe(40);
  });

  it('says approximate as soon as one part was', () => {
    const mixed = gather(reply([0, 1]), reply([2, 3], [], { mode: 'approximate' }));
    expect(mixed.result(5, everything).mode).toBe('approximate');
  });

  it('ignores the mode of a reply that added nothing', () => {
    const repeated = gather(reply([0, 1, 2, 3]), reply([0, 1, 2, 3], [], { mode: 'approximate' }));
    expect(repeated.result(5, everything).mode).toBe('exact');
  });

  it('reports the lowest watermark among the replies that were merged', () => {
    const { watermark } = gather(
      reply([part(0, { watermark: 50 as Offset }), part(2, { watermark: 7 as Offset })]),
      // Another layout, in part the same partitions: its candidates of partition 0 are merged too.
      reply([part(0, { watermark: 40 as Offset }), part(1, { watermark: 9 as Offset })]),
    ).result(5, everything);
    expect(watermark).toEqual(
      new Map([
        [0, 40],
        [1, 9],
        [2, 7],
      ]),
    );
  });
});

describe('replicas that are behind', () => {
  const behindMs = FRESH_WITHIN_MS + 1;

  it('counts a replica at the bound as fresh, and one just over it as stale', () => {
    expect(gather(reply([part(0, { behindMs: FRESH_WITHIN_MS }), 1, 2, 3])).complete).toBe(true);
    expect(gather(reply([part(0, { behindMs }), 1, 2, 3])).complete).toBe(false);
  });

  it('prefers the fresh replica, whichever answers first', () => {
    const stale = reply(
      [0, 1, 2, 3].map((p) => part(p, { behindMs })),
      [candidate('0-old', 0.9)],
    );
    const fresh = reply([0, 1, 2, 3], [candidate('0-new', 0.8)]);
    for (const replies of [
      [stale, fresh],
      [fresh, stale],
    ]) {
      const result = gather(...replies).result(5, everything);
      expect(idsOf(result.candidates)).toEqual(['0-new']);
      expect(result.stale).toEqual([]);
    }
  });

  it('uses a stale replica where there is no other, says for which partitions, and takes only those from it', () => {
    const stale = reply(
      [3, 2, 1, 0].map((p) => part(p, { behindMs })),
      [candidate('0-old', 0.9), candidate('2-old', 0.7), candidate('3-old', 0.6)],
    );
    const gathered = gather(stale, reply([0, 1], [candidate('0-new', 0.8)]));
    expect(gathered.complete).toBe(false);
    const result = gathered.result(5, everything);
    expect(idsOf(result.candidates)).toEqual(['0-new', '2-old', '3-old']);
    expect(result).toMatchObject({ stale: [2, 3], missing: [] });
  });

  it('takes the fresh partitions of a reply of which others are stale', () => {
    const result = gather(
      reply([0, 1, part(2, { behindMs })], [candidate('0-a', 0.9), candidate('2-old', 0.8)]),
      reply([2, 3], [candidate('2-new', 0.7)]),
    ).result(5, everything);
    expect(idsOf(result.candidates)).toEqual(['0-a', '2-new']);
    expect(result).toMatchObject({ stale: [], missing: [] });
  });

  it('uses the least stale one, whichever came first', () => {
    const hourOld = part(2, { behindMs: 3_600_000, watermark: 5 as Offset });
    const result = gather(
      reply([0, 1, 3, hourOld], [candidate('2-old', 0.9)]),
      reply([part(2, { behindMs })], [candidate('2-new', 0.8)]),
    ).result(5, everything);
    expect(idsOf(result.candidates)).toEqual(['2-new']);
    expect(result.stale).toEqual([2]);
    expect(result.watermark.get(2)).toBe(102);
  });

  it('names what is left out of a reply that is taken in part, where it may have stood before others', () => {
    // The shard has one image of each subject; of eve, the one that was erased since, and so not the other.
    const partly = reply(
      [0, part(1, { behindMs })],
      [candidate('1-erased', 0.9, 'eve'), candidate('1-kept', 0.8, 'bob'), candidate('1-worse', 0.2, 'ann')],
    );
    const fresh = reply([1, 2, 3], [candidate('1-kept', 0.8, 'bob'), candidate('2-b', 0.7, 'ann')]);
    for (const replies of [
      [partly, fresh],
      [fresh, partly],
    ]) {
      const result = gather(...replies).result(5, everything);
      expect(idsOf(result.candidates)).toEqual(['1-kept', '2-b']);
      expect(result).toMatchObject({ rejected: ['1-erased'], stale: [], missing: [] });
    }
    // What would not be on the list hides nobody who would.
    expect(
      gather(partly, reply([1, 2, 3], [candidate('2-x', 0.95), candidate('3-y', 0.94)])).result(2, everything),
    ).toMatchObject({ rejected: [] });
  });

  it('can be asked for the result again, and gives the same', () => {
    const gathered = gather(reply([0, 1]), reply([part(2, { behindMs })], [candidate('2-a', 0.5)]));
    expect(gathered.result(5, everything)).toEqual(gathered.result(5, everything));
    expect(gathered.complete).toBe(false);
  });
});

describe('candidates', () => {
  it('are one per subject, by its best image, from whatever shard', () => {
    const result = gather(
      reply([0, 1], [candidate('0-a', 0.6, 'bob'), candidate('1-b', 0.5, 'eve')]),
      reply([2, 3], [candidate('2-c', 0.9, 'bob')]),
    ).result(5, everything);
    expect(idsOf(result.candidates)).toEqual(['2-c', '1-b']);
  });

  it('are best first, ties by imageId, and at most k', () => {
    const result = gather(
      reply([0, 1], [candidate('1-z', 0.5), candidate('0-b', 0.5), candidate('0-c', 0.1)]),
      reply([2, 3], [candidate('3-a', 0.5), candidate('2-d', 0.7)]),
    ).result(4, everything);
    expect(idsOf(result.candidates)).toEqual(['2-d', '0-b', '1-z', '3-a']);
  });

  it('give way to the subject’s next image when the best may not be shown', () => {
    const gathered = gather(
      reply([0, 1], [candidate('0-a', 0.9, 'bob')]),
      reply([2, 3], [candidate('2-b', 0.8, 'bob'), candidate('2-c', 0.7, 'eve')]),
    );
    const result = gathered.result(5, ({ imageId }) => imageId !== '0-a');
    expect(idsOf(result.candidates)).toEqual(['2-b', '2-c']);
  });

  it('do not depend on the order in which shards answer, nor on repeats', () => {
    const replies = [
      reply([0], [candidate('0-a', 0.5, 'x')]),
      reply([1], [candidate('1-b', 0.5, 'x'), candidate('1-c', 0.5, 'y')]),
      reply([2, 3], [candidate('3-d', 0.5, 'y')]),
    ];
    const forwards = gather(...replies, ...replies).result(5, everything);
    const backwards = gather(...[...replies].reverse()).result(5, everything);
    expect(backwards.candidates).toEqual(forwards.candidates);
    expect(idsOf(forwards.candidates)).toEqual(['0-a', '1-c']);
  });
});

interface Entry {
  readonly partition: number;
  readonly name: number;
  readonly subject: number;
  readonly score: number;
}

/** What one shard, or the whole gallery, answers: the best image of each of its k best subjects. */
function topSubjects(all: readonly GalleryCandidate[], k: number): GalleryCandidate[] {
  const best = new Map<string, GalleryCandidate>();
  for (const one of [...all].sort(compareCandidates)) if (!best.has(one.subjectId)) best.set(one.subjectId, one);
  return [...best.values()].slice(0, k);
}

const galleries = fc.uniqueArray(
  fc.record<Entry>({
    partition: fc.nat({ max: 23 }),
    name: fc.nat({ max: 40 }),
    subject: fc.nat({ max: 12 }),
    // Few values, so that ties are common.
    score: fc.integer({ min: 0, max: 6 }),
  }),
  { selector: ({ partition, name }) => `${partition}-${name}`, maxLength: 60 },
);
const layouts = fc.constantFrom(1, 2, 3, 4, 6, 8, 12, 24);

describe('for any gallery', () => {
  it('the merged best k of the shards are the best k of the whole, in every layout, and with two side by side', () => {
    fc.assert(
      fc.property(
        galleries,
        fc.integer({ min: 1, max: 8 }),
        layouts,
        layouts,
        fc.infiniteStream(fc.nat()),
        (entries, k, one, other, random) => {
          const all = entries.map((e) => candidate(`${e.partition}-${e.name}`, e.score / 10, `subject-${e.subject}`));
          const replies = [one, other].flatMap((shards) =>
            Array.from({ length: shards }, (_, shard) => {
              const held = Array.from({ length: 24 }, (_, p) => p).filter((p) => p % shards === shard);
              return reply(
                held,
                topSubjects(
                  all.filter(({ imageId }) => held.includes(partitionOf(imageId))),
                  k,
                ),
              );
            }),
          );
          const shuffled = replies
            .map((each) => ({ each, at: random.next().value as number }))
            .sort((a, b) => a.at - b.at)
            .map(({ each }) => each);
          const gathered = new Gather(24, partitionOf);
          for (const each of shuffled) gathered.add(each);
          expect(gathered.complete).toBe(true);
          const result = gathered.result(k, everything);
          expect(result.candidates).toEqual(topSubjects(all, k));
          expect(result.enrolled).toBe(240);
        },
      ),
      { numRuns: 200 },
    );
  });
});
