import { describe, expect, it } from 'vitest';
import { erasureDestructionId, type ErasureDestruction } from './direction.js';
import { destructionOf, isLate } from './erasure-destruction.js';
import type { ImageId, ModelId, Offset } from './ids.js';
import { hasDestroyed, replicaKey } from './replica-report.js';

const image = 'image-1' as ImageId;
const at = '2026-01-01T00:00:00.000Z';

function record(through: number, completedAt?: string): ErasureDestruction {
  return {
    directionId: erasureDestructionId(image, through as Offset),
    kind: 'erasure-destruction',
    target: { imageIds: [image] },
    authority: 'a',
    reason: 'r',
    by: 'b',
    role: 'system',
    at,
    through: through as Offset,
    erasedAt: at,
    stores: [],
    ...(completedAt !== undefined && { completedAt }),
  };
}

describe('what is on record of a destruction', () => {
  it('covers what came from its bound or before, and the whole one counts', () => {
    const [first, later, whole] = [record(5), record(9), record(12, at)];
    expect(destructionOf([first, later], image, 5 as Offset)).toBe(first);
    expect(destructionOf([first, later], image, 6 as Offset)).toBe(later);
    expect(destructionOf([first, later, whole], image, 5 as Offset)).toBe(whole);
    expect(destructionOf([first], image, 6 as Offset)).toBeUndefined();
    expect(destructionOf([whole], 'image-2' as ImageId, 5 as Offset)).toBeUndefined();
  });

  it('is late beyond the bound', () => {
    expect(isLate(at, 60_000, Date.parse(at) + 60_000)).toBe(false);
    expect(isLate(at, 60_000, Date.parse(at) + 60_001)).toBe(true);
  });
});

describe('the report of a replica', () => {
  it('vouches for the dispositions below its offset, and for no partition that it does not name', () => {
    const report = { destroyedThrough: { '3': 10 as Offset } };
    expect(hasDestroyed(report, { partition: 3, offset: 9 as Offset })).toBe(true);
    expect(hasDestroyed(report, { partition: 3, offset: 10 as Offset })).toBe(false);
    expect(hasDestroyed(report, { partition: 4, offset: 0 as Offset })).toBe(false);
  });

  it('is found by model, shard and replica', () => {
    const layout = { shards: 2, shard: 1, workers: 1 };
    expect(replicaKey({ modelId: '0123456789abcdef' as ModelId, layout, replicaId: 'a' })).toBe(
      '0123456789abcdef/1-of-2/a',
    );
  });
});
