import { describe, expect, it } from 'vitest';
import { erasedThrough, isErased, isSuppressed, mergeDisposition, saysLess, type Disposition } from './disposition.js';
import type { ImageId, Offset } from './ids.js';

const at = (n: number): Offset => n as Offset;

const ERASED_SINCE = '2025-06-01T00:00:00.000Z';

/** A suppression is later than the erasure that it carries. */
function disposition(kind: Disposition['kind'], sourceOffset: number, erased?: number): Disposition {
  return {
    imageId: 'image-1' as ImageId,
    kind,
    since: kind === 'erased' ? ERASED_SINCE : '2026-01-01T00:00:00.000Z',
    authority: 'a',
    reason: 'r',
    sourceOffset: at(sourceOffset),
    ...(erased !== undefined && { erasedThrough: at(erased), erasedSince: ERASED_SINCE }),
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

describe('dispositions of one image that are read one after another', () => {
  const erased = (n: number) => disposition('erased', n);
  const restricted = (n: number, bound?: number) => disposition('restricted', n, bound);

  it.each<[string, Disposition | undefined, Disposition | null, Disposition | undefined]>([
    ['the first holds', undefined, erased(10), erased(10)],
    ['a null of what was never said leaves nothing', undefined, null, undefined],
    ['a restriction is lifted by a null', restricted(10), null, undefined],
    ['an erasure is not lifted by a null', erased(10), null, erased(10)],
    ['a null lifts the restriction and leaves the erasure', restricted(12, 10), null, erased(10)],
    ['a later erasure widens the bound', erased(10), erased(20), erased(20)],
    ['an earlier erasure does not narrow it', erased(20), erased(10), erased(20)],
    ['a restriction carries the bound', erased(10), restricted(12), restricted(12, 10)],
    ['a restriction with a lower bound carries the greater', erased(10), restricted(12, 5), restricted(12, 10)],
    ['a restriction with a greater bound keeps its own', erased(10), restricted(12, 11), restricted(12, 11)],
    ['a bound at 0 is one', erased(0), restricted(12), restricted(12, 0)],
    ['an erasure does not lift a restriction', restricted(12), erased(15), restricted(12, 15)],
    ['an erasure widens the bound of a restriction', restricted(12, 10), erased(15), restricted(12, 15)],
    ['an earlier erasure changes no restriction', restricted(12, 10), erased(5), restricted(12, 10)],
  ])('%s', (_, known, next, inForce) => {
    expect(mergeDisposition(known, next)).toEqual(inForce);
  });

  it('come to the same when the outcome is read again, whatever was read before', () => {
    const all = [undefined, erased(5), erased(9), restricted(7), restricted(7, 3), disposition('retired', 8, 9)];
    for (const known of all) {
      for (const next of [null, ...all.filter((each) => each !== undefined)]) {
        const inForce = mergeDisposition(known, next);
        const again = mergeDisposition(inForce, inForce ?? null);
        expect(again).toEqual(inForce);
        expect(saysLess(inForce ?? null, again)).toBe(false);
        // A bound never shrinks, and the log is told again exactly where its last record would let it.
        expect(erasedThrough(inForce) ?? -1).toBeGreaterThanOrEqual(erasedThrough(known) ?? -1);
        if (known !== undefined && (erasedThrough(known) ?? -1) > (erasedThrough(next ?? undefined) ?? -1)) {
          expect(saysLess(next, inForce)).toBe(true);
        }
      }
    }
  });
});
