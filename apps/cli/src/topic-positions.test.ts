import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Offset } from '#domain/ids.js';
import { TopicPositions } from './topic-positions.js';

describe('the positions of a source topic', () => {
  it('never pass a record that is not noted, and pass every one that is, in whatever order that comes', () => {
    const run = fc.array(fc.nat(20), { minLength: 1, maxLength: 30 }).chain((gaps) => {
      let next = 0;
      const offsets = gaps.map((gap) => (next += gap + 1) as Offset);
      return fc.tuple(fc.constant(offsets), fc.shuffledSubarray(offsets, { minLength: offsets.length }));
    });
    fc.assert(
      fc.property(run, ([offsets, order]) => {
        const positions = new TopicPositions();
        const end = (offsets.at(-1)! + 3) as Offset;
        for (const at of offsets) positions.taken(7, at, `image-${at}`);
        positions.readTo(7, end);
        const noted = new Set<Offset>();
        for (const at of order) {
          expect(positions.done().get(7)).toBe(offsets.find((one) => !noted.has(one)));
          positions.noted(7, at);
          noted.add(at);
        }
        expect(positions.done()).toEqual(new Map([[7, end]]));
      }),
    );
  });

  it('pass a stretch without records', () => {
    const positions = new TopicPositions();
    positions.readTo(0, 12 as Offset);
    positions.noted(0, 5 as Offset);
    expect(positions.done()).toEqual(new Map([[0, 12]]));
  });

  it('know the partition of an image whose record is not in the journal yet', () => {
    const positions = new TopicPositions();
    positions.taken(0, 3 as Offset, 'one');
    positions.taken(1, 0 as Offset, 'two');
    expect(positions.otherPartitionOf('one', 1)).toBe(0);
    expect(positions.otherPartitionOf('one', 0)).toBeUndefined();
    positions.noted(0, 3 as Offset);
    expect(positions.otherPartitionOf('one', 1)).toBeUndefined();
    expect(positions.otherPartitionOf('two', 0)).toBe(1);
  });
});
