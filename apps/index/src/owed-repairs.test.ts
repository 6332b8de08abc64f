import { describe, expect, it } from 'vitest';
import { offset, type ImageId, type Offset } from '#domain/ids.js';
import { OwedRepairs, type Repairs } from './owed-repairs.js';

const NOTHING: Repairs = { resurrections: [], staleOverwrites: [], unusableOverwrites: [] };
const image = (name: string): ImageId => name as ImageId;

function records(from: number, ...keys: readonly string[]): { key: Buffer; offset: Offset }[] {
  return keys.map((key, i) => ({ key: Buffer.from(key), offset: offset(from + i) }));
}

describe('OwedRepairs', () => {
  it('are due until they are settled, by partition', () => {
    const owed = new OwedRepairs();
    const unusable = { imageId: image('c'), partition: 3, sourceOffset: offset(1), timestampMs: 5 };
    owed.note(3, records(10, 'a', 'b', 'c'), {
      resurrections: [image('a')],
      staleOverwrites: [image('b')],
      unusableOverwrites: [unusable],
    });
    owed.note(4, records(7, 'd'), { ...NOTHING, staleOverwrites: [image('d')] });
    const due = { resurrections: ['a'], staleOverwrites: ['b'], unusableOverwrites: [unusable] };
    expect(owed.due(3)).toEqual(due);
    expect(owed.due(3)).toEqual(due);
    owed.settle(3);
    expect(owed.due(3)).toEqual(NOTHING);
    expect(owed.due(4)).toEqual({ ...NOTHING, staleOverwrites: ['d'] });
  });

  it('are void when a later record of the image has come, and another when that asks for another', () => {
    const owed = new OwedRepairs();
    owed.note(0, records(10, 'a', 'b'), { ...NOTHING, resurrections: [image('a'), image('b')] });
    owed.note(0, records(12, 'a', 'c'), NOTHING);
    expect(owed.due(0)).toEqual({ ...NOTHING, resurrections: ['b'] });
    owed.note(0, records(14, 'b'), { ...NOTHING, staleOverwrites: [image('b')] });
    expect(owed.due(0)).toEqual({ ...NOTHING, staleOverwrites: ['b'] });
  });

  it('keep a snapshot from going past what asks for them', () => {
    const owed = new OwedRepairs();
    owed.note(0, records(10, 'a', 'b'), { ...NOTHING, resurrections: [image('b')] });
    owed.note(0, records(20, 'c'), { ...NOTHING, resurrections: [image('c')] });
    const nextOffsets = new Map([
      [0, offset(30)],
      [1, offset(40)],
    ]);
    expect([...owed.handledTo(nextOffsets)]).toEqual([
      [0, 10],
      [1, 40],
    ]);
    owed.note(0, records(21, 'b'), NOTHING);
    expect(owed.handledTo(nextOffsets).get(0)).toBe(20);
    owed.settle(0);
    expect(owed.handledTo(nextOffsets).get(0)).toBe(30);
  });
});
