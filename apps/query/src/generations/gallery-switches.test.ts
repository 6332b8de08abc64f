import { beforeEach, describe, expect, it } from 'vitest';
import { CodedError, Failure, Refusal } from '#domain/errors.js';
import { foldGovernance, NOTHING_DECIDED, type GovernanceDecision, type GovernanceState } from '#domain/governance.js';
import type { GenerationGap } from '#domain/generation-gap.js';
import type { Actor } from '#domain/identity.js';
import type { ImageId, ModelId, Offset, SubjectId } from '#domain/ids.js';
import type { LogEnds } from '#kafka/kafka-connection.js';
import { galleryTemplates } from '#contracts/topics.js';
import type { GalleryAnswer } from '../searches/gallery-client.js';
import { GallerySwitches } from './gallery-switches.js';
import { GenerationProgresses } from './generation-progress.js';
import type { Generation } from './generations.js';

const base = '00112233aabbccdd' as ModelId;
const next = 'ffeeddccbbaa9988' as ModelId;
const approver: Actor = { id: 'approver-1', roles: ['threshold-approver'] };
const PARTITIONS = [0, 1];

interface Gallery {
  enrolled: number;
  unusable: number;
  missing: number[];
  incomplete: number[];
  /** Exclusive, of each partition. */
  watermark: number;
}

describe('a switch of the gallery', () => {
  let state: GovernanceState;
  let taken: GovernanceDecision[];
  let galleries: Record<string, Gallery>;
  let gaps: Map<ImageId, GenerationGap>;
  /** Of each partition of the running gallery, how far the other one has followed it. */
  let followed: number;
  let unusable: CodedError | undefined;
  let switches: GallerySwitches;

  beforeEach(() => {
    state = NOTHING_DECIDED;
    taken = [];
    gaps = new Map();
    followed = 10;
    unusable = undefined;
    galleries = {
      [base]: { enrolled: 20, unusable: 0, missing: [], incomplete: [], watermark: 10 },
      [next]: { enrolled: 20, unusable: 0, missing: [], incomplete: [], watermark: 7 },
    };
    const ends: Readonly<Record<string, number>> = { [galleryTemplates(base)]: 10, [galleryTemplates(next)]: 7 };
    const topics = {
      topicOffsets: (topic: string): Promise<Map<number, LogEnds>> =>
        Promise.resolve(new Map(PARTITIONS.map((p) => [p, { low: 0 as Offset, high: ends[topic] as Offset }]))),
      groupOffsets: (): Promise<Map<number, Offset>> =>
        Promise.resolve(new Map(PARTITIONS.map((p) => [p, followed as Offset]))),
    };
    const of = (modelId: ModelId): Generation | undefined => (modelId in galleries ? generation(modelId) : undefined);
    switches = new GallerySwitches(
      {
        of,
        base: of(base)!,
        get inForce() {
          return of(state.gallery?.modelId ?? base)!;
        },
      },
      {
        get state() {
          return state;
        },
        upToDate: () => Promise.resolve(),
        take: (decision) => {
          state = foldGovernance(state, decision, '2026-01-01T00:00:00Z');
          taken.push(decision);
          return Promise.resolve(true);
        },
      },
      new GenerationProgresses(base, topics, { of: (model) => (model === next ? gaps : new Map()) }),
      topics,
      { catchUpMs: 30, pollMs: 5 },
    );
  });

  const made = new Map<ModelId, Generation>();
  function generation(modelId: ModelId): Generation {
    const coverage = (): Promise<GalleryAnswer> => {
      const { enrolled, unusable, missing, incomplete, watermark } = galleries[modelId]!;
      return Promise.resolve({
        enrolled,
        unusable,
        missing,
        incomplete,
        watermark: new Map(PARTITIONS.map((p) => [p, watermark])),
      } as unknown as GalleryAnswer);
    };
    const requireUsable = (): void => {
      if (unusable !== undefined) throw unusable;
    };
    const known = made.get(modelId) ?? ({ modelId } as Generation);
    made.set(modelId, Object.assign(known, { gallery: { coverage }, permits: { requireUsable } }));
    return known;
  }

  async function codeOf(to: ModelId, acceptMissing = 0, key?: string): Promise<string> {
    try {
      await switches.switch(approver, { to, reason: 'The new model was evaluated.', acceptMissing }, key);
      return 'switched';
    } catch (error) {
      return error instanceof CodedError ? error.code : String(error);
    }
  }

  function lack(id: string): void {
    const imageId = id as ImageId;
    const source = { subjectId: 's' as SubjectId, sourceOffset: 1 as Offset };
    gaps.set(imageId, { modelId: next, imageId, ...source, code: 'NO_FACE', detail: '', at: '2026-01-01T00:00:00Z' });
  }

  it('is one decision that names both models, and is taken back by another', async () => {
    expect(await codeOf(next)).toBe('switched');
    expect(await codeOf(base)).toBe('switched');
    expect(taken).toMatchObject([
      { type: 'GALLERY_SWITCHED', from: base, to: next, lacking: 0, by: approver.id, role: 'threshold-approver' },
      { type: 'GALLERY_SWITCHED', from: next, to: base, lacking: 0 },
    ]);
  });

  it('is refused while what was enrolled before is not in the other gallery', async () => {
    followed = 9;
    expect(await codeOf(next, 100)).toBe('GALLERY_BEHIND');
    expect(taken).toEqual([]);
  });

  it.each([
    ['a partition has no answer', { missing: [1] }],
    ['a partition has images that cannot be searched', { incomplete: [0] }],
    ['what was built is not read yet', { watermark: 6 }],
  ] as const)('is refused while %s', async (_, amiss) => {
    Object.assign(galleries[next]!, amiss);
    expect(await codeOf(next, 100)).toBe('GALLERY_BEHIND');
    expect(taken).toEqual([]);
  });

  it('waits a moment for what is just being enrolled', async () => {
    followed = 9;
    setTimeout(() => (followed = 10), 8);
    expect(await codeOf(next)).toBe('switched');
  });

  it('takes somebody to accept each image that would no longer be found', async () => {
    galleries[next]!.enrolled = 18;
    lack('a');
    lack('b');
    expect(await codeOf(next)).toBe('GALLERY_LACKS_IMAGES');
    expect(await codeOf(next, 1)).toBe('GALLERY_LACKS_IMAGES');
    expect(await codeOf(next, 2)).toBe('switched');
    expect(taken).toMatchObject([{ lacking: 2 }]);
  });

  it('counts what is missing for a reason that nobody has said', async () => {
    galleries[next]!.enrolled = 15;
    lack('a');
    expect(await codeOf(next, 4)).toBe('GALLERY_LACKS_IMAGES');
    expect(await codeOf(next, 5)).toBe('switched');
  });

  it('counts what the gallery in force knows and cannot search, unless the other one can', async () => {
    galleries[base]!.unusable = 1;
    expect(await codeOf(next)).toBe('GALLERY_LACKS_IMAGES');
    expect(taken).toEqual([]);
    galleries[next]!.enrolled = 21;
    expect(await codeOf(next)).toBe('switched');
    expect(taken).toMatchObject([{ lacking: 0 }]);
  });

  it.each([
    new Refusal('MODEL_NOT_APPROVED', 'Not evaluated.'),
    new Failure('THRESHOLD_MISSING', 'No threshold.', false),
  ])('is refused where no search could be judged: $code', async (error) => {
    unusable = error;
    expect(await codeOf(next)).toBe(error.code);
    expect(taken).toEqual([]);
  });

  it('is refused to a gallery that is in force, or is not there', async () => {
    expect(await codeOf(base)).toBe('GALLERY_IN_FORCE');
    expect(await codeOf('0123456789abcdef' as ModelId)).toBe('GALLERY_NOT_FOUND');
  });

  it('that is asked for twice under one key happens once, and the key is good for nothing else', async () => {
    expect(await codeOf(next, 0, 'key-1')).toBe('switched');
    expect(await codeOf(next, 0, 'key-1')).toBe('switched');
    expect(taken).toHaveLength(1);
    expect(await codeOf(base, 0, 'key-1')).toBe('IDEMPOTENCY_KEY_REUSED');
  });
});
