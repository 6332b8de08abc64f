import { describe, expect, it } from 'vitest';
import { codeOf } from '#domain/codes-for-tests.js';
import { erasureReceiptId, openSearchId, subjectImagesId, type Direction } from '#domain/direction.js';
import type { ImageId, Offset, SearchId, SubjectId } from '#domain/ids.js';
import { directionEnd, directionRecord, parseDirection } from './direction-record.js';
import { CUSTODY_DIRECTIONS } from './topics.js';

const image = 'img-1' as ImageId;
const subjectId = 'subject-1' as SubjectId;
const base = {
  authority: 'a',
  reason: 'Ü',
  by: 'dpo-1',
  role: 'data-protection' as const,
  at: '2026-01-02T03:04:05.678Z',
};
const target = { imageIds: [image] };
const place = { partition: 3, offset: 7 as Offset };
const heldBy = [{ directionId: 'h', kind: 'evidence-hold' as const }];

const directions: readonly Direction[] = [
  { ...base, directionId: 'r', kind: 'restriction', target, system: 'suite', insteadOf: 'e', heldBy },
  { ...base, directionId: 't', kind: 'retirement', target: { subjectId, imageIds: [] }, requestSha256: 'ab' },
  { ...base, directionId: 'h', kind: 'evidence-hold', target },
  { ...base, directionId: openSearchId('s' as SearchId), kind: 'open-search', target, role: 'system' },
  {
    ...base,
    directionId: subjectImagesId(subjectId),
    kind: 'subject-images',
    target: { subjectId, imageIds: [image] },
  },
  { ...base, directionId: 'e', kind: 'erasure', target, state: 'awaiting-approval' },
  {
    ...base,
    directionId: 'f',
    kind: 'erasure',
    target,
    state: 'decided',
    approvedBy: 'dpo-2',
    approvedAt: base.at,
    images: [
      { imageId: image, outcome: 'erase', source: place, disposition: place },
      { imageId: image, outcome: 'restricted-instead', heldBy, restrictionId: 'r' },
    ],
  },
  {
    ...base,
    directionId: erasureReceiptId('e', image),
    kind: 'erasure-receipt',
    target,
    erasureId: 'e',
    source: place,
    disposition: place,
    tombstone: place,
    imageStoreEmptiedAt: base.at,
  },
];

describe('a direction', () => {
  it.each(directions.map((direction) => [direction.kind, direction] as const))(
    '%s comes back whole',
    (_, direction) => {
      const record = directionRecord(direction, '/query');
      expect(parseDirection(record.value!)).toEqual(direction);
      expect(record).toMatchObject({ topic: CUSTODY_DIRECTIONS, key: direction.directionId });
      expect(record.headers).toMatchObject({ ce_subject: direction.directionId, 'content-type': 'application/json' });
    },
  );

  it('is ended by a null under its id', () => {
    expect(directionEnd('h', '/query')).toMatchObject({ topic: CUSTODY_DIRECTIONS, key: 'h', value: null });
  });

  it.each([
    ['of no known kind', { ...directions[2], kind: 'wish' }],
    ['about nothing', { ...directions[2], target: undefined }],
    ['at no time', { ...directions[2], at: 'yesterday' }],
    ['by no role', { ...directions[2], role: 'nobody' }],
  ])('%s is refused', (_, value) => {
    expect(codeOf(() => parseDirection(Buffer.from(JSON.stringify(value))))).toBe('RECORD_SCHEMA');
  });
});
