import { describe, expect, it } from 'vitest';
import { erasureReceiptId, type Erasure, type ErasureReceipt } from './direction.js';
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
    const { state, images: shown } = erasureProgress(awaiting, () => undefined);
    expect(state).toBe('AWAITING_APPROVAL');
    expect(shown.map(({ imageId, outcome }) => [imageId, outcome])).toEqual([
      [image, 'awaiting-approval'],
      [other, 'awaiting-approval'],
    ]);
  });

  it('is under way until each image has its receipt or is restricted instead', () => {
    expect(erasureProgress(decided, () => undefined).state).toBe('CARRYING_OUT');
    const underWay = erasureProgress({ ...decided, images }, () => undefined);
    expect(underWay.state).toBe('CARRYING_OUT');
    expect(underWay.images).toEqual([
      {
        imageId: image,
        outcome: 'erasing',
        heldBy: [],
        restrictionId: null,
        source: place(5),
        receipt: { disposition: place(6), tombstone: null, imageStoreEmptiedAt: null },
      },
      {
        imageId: other,
        outcome: 'restricted-instead',
        heldBy,
        restrictionId: 'r',
        source: null,
        receipt: { disposition: null, tombstone: null, imageStoreEmptiedAt: null },
      },
    ]);
    const done = erasureProgress({ ...decided, images }, (id) => (id === image ? receipt : undefined));
    expect(done.state).toBe('DONE');
    expect(done.images[0]).toMatchObject({
      outcome: 'erased',
      receipt: { disposition: place(7), tombstone: place(8), imageStoreEmptiedAt: why.at },
    });
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
