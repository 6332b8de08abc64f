import { describe, expect, it } from 'vitest';
import {
  erasureDestructionId,
  erasureReceiptId,
  type Erasure,
  type ErasureDestruction,
  type ErasureReceipt,
} from './direction.js';
import { erasureProgress, isTooLateFor, needsApproval } from './erasure.js';
import type { ImageId, Offset, SubjectId } from './ids.js';

const [image, other] = ['img-1', 'img-2'] as ImageId[] as [ImageId, ImageId];
const why = {
  authority: 'a',
  reason: 'r',
  by: 'dpo-1',
  role: 'data-protection' as const,
  at: '2026-01-01T00:00:00.000Z',
};
const place = (offset: number) => ({ partition: 1, offset: offset as Offset });
const target = { imageIds: [image, other] };
const decided: Erasure = { ...why, directionId: 'e', kind: 'erasure', target, state: 'decided' };
const heldBy = [{ directionId: 'h', kind: 'evidence-hold' as const }];
const images = [
  { imageId: image, outcome: 'erase' as const, source: place(5), disposition: place(6) },
  { imageId: other, outcome: 'restricted-instead' as const, heldBy, restrictionId: 'r' },
];
const receipt: ErasureReceipt = {
  ...why,
  directionId: erasureReceiptId('e', image),
  kind: 'erasure-receipt',
  target: { imageIds: [image] },
  erasureId: 'e',
  source: place(5),
  disposition: place(7),
  tombstone: place(8),
  imageStoreEmptiedAt: why.at,
};

const destruction: ErasureDestruction = {
  ...why,
  directionId: erasureDestructionId(image, 5 as Offset),
  kind: 'erasure-destruction',
  target: { imageIds: [image] },
  through: 5 as Offset,
  erasedAt: why.at,
  stores: [
    { store: 'image-store', at: '2026-01-01T00:00:01.000Z' },
    { store: 'images-log', at: null, marker: 9 as Offset },
  ],
};
const nothing = () => undefined;

describe('an erasure', () => {
  const subjects = (...ids: (string | undefined)[]) => ids as (SubjectId | undefined)[];

  it.each([
    ['one image', subjects('a'), false],
    ['one image of nobody known', subjects(undefined), false],
    ['as many images of one person as one may', subjects('a', 'a', 'a'), false],
    ['more', subjects('a', 'a', 'a', 'a'), true],
    ['images of two people', subjects('a', 'b'), true],
    ['images of one person and of nobody known', subjects('a', undefined), true],
    ['two images of nobody known, who may be two', subjects(undefined, undefined), true],
  ])('of %s needs a second person: %s', (_, of, expected) => {
    expect(needsApproval(of, 3)).toBe(expected);
  });

  it('has one receipt an image', () => {
    expect(erasureReceiptId('e', image)).not.toBe(erasureReceiptId('e', other));
  });

  it('waits for the second person, with every image', () => {
    const awaiting: Erasure = { ...decided, state: 'awaiting-approval' };
    const { state, images: shown } = erasureProgress(awaiting, nothing, nothing);
    expect(state).toBe('AWAITING_APPROVAL');
    expect(shown.map(({ imageId, outcome }) => [imageId, outcome])).toEqual([
      [image, 'awaiting-approval'],
      [other, 'awaiting-approval'],
    ]);
  });

  it('is under way until each image is destroyed in every store or is restricted instead', () => {
    expect(erasureProgress(decided, nothing, nothing).state).toBe('CARRYING_OUT');
    const underWay = erasureProgress({ ...decided, images }, nothing, nothing);
    expect(underWay.state).toBe('CARRYING_OUT');
    expect(underWay.images).toEqual([
      {
        imageId: image,
        outcome: 'erasing',
        heldBy: [],
        restrictionId: null,
        source: place(5),
        receipt: { disposition: place(6), tombstone: null, imageStoreEmptiedAt: null },
        destroyed: {},
        destroyedAt: null,
      },
      {
        imageId: other,
        outcome: 'restricted-instead',
        heldBy,
        restrictionId: 'r',
        source: null,
        receipt: { disposition: null, tombstone: null, imageStoreEmptiedAt: null },
        destroyed: {},
        destroyedAt: null,
      },
    ]);
    const receiptOf = (id: ImageId) => (id === image ? receipt : undefined);
    const received = erasureProgress({ ...decided, images }, receiptOf, () => destruction);
    expect(received.state).toBe('CARRYING_OUT');
    expect(received.images[0]).toMatchObject({
      outcome: 'erasing',
      receipt: { disposition: place(7), tombstone: place(8), imageStoreEmptiedAt: why.at },
      destroyed: { 'image-store': '2026-01-01T00:00:01.000Z', 'images-log': null },
      destroyedAt: null,
    });
    const completedAt = '2026-01-01T00:00:30.000Z';
    const whole = { ...destruction, completedAt };
    const done = erasureProgress({ ...decided, images }, receiptOf, (_, through) =>
      through === 5 ? whole : undefined,
    );
    expect(done.state).toBe('DONE');
    expect(done.images[0]).toMatchObject({ outcome: 'erased', destroyedAt: completedAt });
    // Whoever asked ingest must have come to the null as well: images that wait before it may be of the same id.
    expect(erasureProgress({ ...decided, images }, nothing, () => whole).state).toBe('CARRYING_OUT');
  });

  it('that was decided before a hold takes the image, and only what came before its null', () => {
    expect(isTooLateFor(decided, image, 3 as Offset)).toBe(true);
    expect(isTooLateFor({ ...decided, images }, image, 5 as Offset)).toBe(true);
    expect(isTooLateFor({ ...decided, images }, image, undefined)).toBe(true);
    expect(isTooLateFor({ ...decided, images }, image, 6 as Offset)).toBe(false);
    expect(isTooLateFor({ ...decided, images }, other, 3 as Offset)).toBe(false);
    expect(isTooLateFor({ ...decided, state: 'awaiting-approval' }, image, 3 as Offset)).toBe(false);
    expect(isTooLateFor(decided, 'img-3' as ImageId, undefined)).toBe(false);
  });
});
