import { describe, expect, it } from 'vitest';
import { erasedThrough, isErased, isSuppressed, type Disposition } from './disposition.js';
import type { ImageId, Offset } from './ids.js';

const at = (n: number): Offset => n as Offset;

function disposition(kind: Disposition['kind'], sourceOffset: number, erased?: number): Disposition {
  return {
    imageId: 'image-1' as ImageId,
    kind,
    since: '2026-01-01T00:00:00.000Z',
    authority: 'a',
    reason: 'r',
    sourceOffset: at(sourceOffset),
    ...(erased !== undefined && { erasedThrough: at(erased) }),
  };
}

describe('dispositions', () => {
  // Each row: what is in force, and for a record before, at and after offset 10 whether it is erased and suppressed.
  it.each<[string, Disposition | undefined, [boolean, boolean][]]>([
    [
      'nothing',
      undefined,
      [
        [false, false],
        [false, false],
        [false, false],
      ],
    ],
    [
      'an erasure at 10',
      disposition('erased', 10),
      [
        [true, true],
        [true, true],
        [false, false],
      ],
    ],
    [
      'a restriction',
      disposition('restricted', 10),
      [
        [false, true],
        [false, true],
        [false, true],
      ],
    ],
    [
      'a retirement',
      disposition('retired', 10),
      [
        [false, true],
        [false, true],
        [false, true],
      ],
    ],
    [
      'a restriction over an erasure at 10',
      disposition('restricted', 12, 10),
      [
        [true, true],
        [true, true],
        [false, true],
      ],
    ],
    [
      'a retirement over an erasure at 10',
      disposition('retired', 12, 10),
      [
        [true, true],
        [true, true],
        [false, true],
      ],
    ],
  ])('%s decides what is erased and what is suppressed, by source offset', (_, inForce, expected) => {
    expect([9, 10, 11].map((n) => [isErased(inForce, at(n)), isSuppressed(inForce, at(n))])).toEqual(expected);
  });

  it('keep the bound of an erasure through a later restriction', () => {
    expect(erasedThrough(undefined)).toBeUndefined();
    expect(erasedThrough(disposition('erased', 10))).toBe(10);
    expect(erasedThrough(disposition('restricted', 12))).toBeUndefined();
    expect(erasedThrough(disposition('restricted', 12, 0))).toBe(0);
    expect(isErased(disposition('restricted', 12, 0), at(0))).toBe(true);
  });
});
