import { beforeAll, describe, expect, it } from 'vitest';
import type { Disposition, DispositionKind } from '#domain/disposition.js';
import type { TemplateMetadata } from '#domain/gallery.js';
import { imageId, offset, subjectId, type ImageId, type Offset } from '#domain/ids.js';
import { GalleryShard } from './gallery-shard.js';
import type { TemplateChange } from './template-change.js';
import { faceLikeVector, seededRandom } from './vectors-for-tests.js';

const DIMENSION = 32;

function createShard(autoExactMaxTemplates = 100_000): GalleryShard {
  return new GalleryShard({ dimension: DIMENSION, partitions: [0, 3], autoExactMaxTemplates });
}

function face(seed: number): Float32Array {
  return faceLikeVector(seededRandom(seed), DIMENSION);
}

let nextOffset = 0;

function template(image: string, sourceOffset: number, vector: Float32Array, more: Partial<TemplateMetadata> = {}) {
  const id = imageId(image);
  return {
    kind: 'template',
    partition: 0,
    offset: offset(nextOffset++),
    imageId: id,
    timestampMs: 0,
    vector,
    metadata: { imageId: id, subjectId: subjectId(`s-${image}`), ...more },
    source: { sourceOffset: offset(sourceOffset), acceptedAtMs: 0 },
  } satisfies TemplateChange;
}

function tombstone(image: string, sourceOffset?: number): TemplateChange {
  const place = { partition: 0, offset: offset(nextOffset++), imageId: imageId(image), timestampMs: 0 };
  return { ...place, kind: 'tombstone', ...(sourceOffset !== undefined && { sourceOffset: offset(sourceOffset) }) };
}

function unusable(image: string, more: { sourceOffset?: Offset; timestampMs?: number } = {}) {
  const place = { partition: 0, offset: offset(nextOffset++), imageId: imageId(image), timestampMs: 0 };
  return { ...place, kind: 'unusable', reason: 'test', ...more } satisfies TemplateChange;
}

function disposition(image: string, kind: DispositionKind, sourceOffset: number, erasedThrough?: number): Disposition {
  return {
    imageId: imageId(image),
    kind,
    since: '2026-01-01T00:00:00Z',
    authority: 'dpo',
    reason: 'test',
    sourceOffset: offset(sourceOffset),
    ...(erasedThrough !== undefined && { erasedThrough: offset(erasedThrough) }),
  };
}

/** Of the suite that runs: every promise is kept in both modes, and by a graph that has all templates. */
let mode: 'exact' | 'approximate';

function found(shard: GalleryShard, probe: Float32Array): string[] {
  if (mode === 'approximate') shard.approximate.build(Infinity);
  return shard.search({ probe, k: 1000, mode }).candidates.map((candidate) => candidate.imageId);
}

describe.each(['exact', 'approximate'] as const)('GalleryShard, searched in %s mode', (searched) => {
  beforeAll(() => {
    mode = searched;
  });

  it('keeps the later source, whatever order they arrive in, and reports the one that lost', () => {
    const shard = createShard();
    shard.apply(template('a', 10, face(1)));
    expect(shard.apply(template('a', 9, face(2)))).toMatchObject({ applied: 0, staleOverwrites: ['a'] });
    expect(shard.templateOf(imageId('a'))!.vector).toEqual(face(1));
    expect(shard.apply(template('a', 11, face(3)))).toMatchObject({ applied: 1, staleOverwrites: [] });
    expect(shard.templateOf(imageId('a'))!.vector).toEqual(face(3));
    expect(shard.size).toBe(1);
  });

  it('takes the same record again without work for the graph', () => {
    const shard = createShard();
    shard.apply(template('a', 10, face(1)));
    shard.approximate.build(Infinity);
    expect(shard.apply(template('a', 10, face(1), { force: 'kent' })).applied).toBe(1);
    expect(shard.approximate.pending).toBe(0);
    expect(shard.templateOf(imageId('a'))!.metadata.force).toBe('kent');
  });

  it('never applies a template of an erased image, and asks for the tombstone again', () => {
    const shard = createShard();
    shard.setDisposition(imageId('a'), disposition('a', 'erased', 10));
    expect(shard.apply(template('a', 10, face(1)))).toMatchObject({ applied: 0, resurrections: ['a'] });
    expect(shard.apply(template('a', 3, face(1))).resurrections).toEqual(['a']);
    expect(shard.size).toBe(0);
    expect(shard.apply(template('a', 11, face(1)))).toMatchObject({ applied: 1, resurrections: [] });
  });

  it('asks for the held template rather than a tombstone when an erased one comes after it', () => {
    const shard = createShard();
    shard.setDisposition(imageId('a'), disposition('a', 'erased', 10));
    shard.apply(template('a', 11, face(1)));
    expect(shard.apply(template('a', 5, face(2)))).toMatchObject({ resurrections: [], staleOverwrites: ['a'] });
    expect(found(shard, face(1))).toEqual(['a']);
  });

  it('removes by tombstone what is erased or what no disposition speaks of, and nothing else', () => {
    const shard = createShard();
    for (const image of ['plain', 'erased', 'again', 'restricted']) shard.apply(template(image, 20, face(1)));
    expect(shard.apply(tombstone('plain')).removed).toBe(1);
    expect(shard.apply(tombstone('plain'))).toMatchObject({ removed: 0, staleOverwrites: [] });
    shard.setDisposition(imageId('again'), disposition('again', 'erased', 10));
    expect(shard.apply(tombstone('again'))).toMatchObject({ removed: 0, staleOverwrites: ['again'] });
    shard.setDisposition(imageId('restricted'), disposition('restricted', 'restricted', 20));
    expect(shard.apply(tombstone('restricted'))).toMatchObject({ removed: 0, staleOverwrites: ['restricted'] });
    shard.setDisposition(imageId('erased'), disposition('erased', 'erased', 20), 'later');
    expect(shard.apply(tombstone('erased')).removed).toBe(1);
    expect(shard.size).toBe(2);
  });

  it.each([
    ['nothing', undefined],
    ['an erasure of what was before', disposition('a', 'erased', 2)],
    ['a restriction', disposition('a', 'restricted', 5)],
  ])('removes by the tombstone of a later photograph what is not later, where %s is decided', (_, decided) => {
    const shard = createShard();
    shard.apply(template('a', 5, face(1)));
    if (decided !== undefined) shard.setDisposition(imageId('a'), decided);
    expect(shard.apply(tombstone('a', 4))).toMatchObject({ removed: 0, staleOverwrites: ['a'] });
    expect(shard.apply(tombstone('a', 9))).toMatchObject({ removed: 1, staleOverwrites: [] });
    expect(shard.size).toBe(0);
    shard.apply(template('a', 10, face(1)));
    expect(shard.apply(tombstone('a', 9))).toMatchObject({ removed: 0, staleOverwrites: ['a'] });
    expect(shard.apply(tombstone('a', 10)).removed).toBe(1);
  });

  it('counts an image as missing no longer by the tombstone of a later photograph, and goes on by that of an earlier', () => {
    const shard = createShard();
    shard.setDisposition(imageId('a'), disposition('a', 'erased', 2));
    shard.apply(unusable('a', { sourceOffset: offset(5) }));
    expect(shard.apply(tombstone('a', 4)).unusableOverwrites).toMatchObject([{ imageId: 'a', sourceOffset: 5 }]);
    expect(shard.coverage()[0]).toMatchObject({ unusable: 1 });
    expect(shard.apply(tombstone('a', 9)).unusableOverwrites).toEqual([]);
    expect(shard.coverage()[0]).toMatchObject({ unusable: 0 });
  });

  it('hides a restricted image at once and shows it again when the restriction ends', () => {
    const shard = createShard();
    shard.apply(template('a', 10, face(1)));
    expect(shard.setDisposition(imageId('a'), disposition('a', 'restricted', 10))).toBe(false);
    expect(found(shard, face(1))).toEqual([]);
    expect(shard.coverage()[0]).toMatchObject({ partition: 0, enrolled: 0 });
    shard.apply(template('a', 12, face(2)));
    expect(found(shard, face(1))).toEqual([]);
    shard.setDisposition(imageId('a'), null);
    expect(found(shard, face(1))).toEqual(['a']);
    expect(shard.coverage()[0]).toMatchObject({ enrolled: 1 });
  });

  it('overwrites the vector of an erased image, in the store and in the graph', () => {
    const shard = createShard();
    shard.apply(template('a', 10, face(1)));
    shard.apply(template('b', 11, face(2)));
    shard.approximate.build(Infinity);
    const memory = shard.store.vector(0);
    expect(shard.setDisposition(imageId('a'), disposition('a', 'erased', 10))).toBe(true);
    expect([...memory].every((value) => value === 0)).toBe(true);
    expect(shard.approximate.tombstones).toBe(1);
    expect(shard.templateOf(imageId('a'))).toBeUndefined();
    expect(shard.search({ probe: face(1), k: 5, mode: 'approximate' }).candidates.map((c) => c.imageId)).toEqual(['b']);
  });

  it('goes on after a template that is not usable, and says where it was', () => {
    const shard = createShard();
    const bad = [
      template('nan', 1, face(1).fill(Number.NaN, 3, 4)),
      template('long', 2, new Float32Array(DIMENSION + 1).fill(0.1)),
      template(
        'loud',
        3,
        face(1).map((value) => value * 1.5),
      ),
    ];
    for (const change of bad) {
      const { unusable, applied } = shard.apply(change);
      expect(applied).toBe(0);
      expect(unusable).toMatchObject([{ partition: 0, offset: change.offset, imageId: change.imageId }]);
      expect(shard.coverage()[0]!.watermark).toBe(change.offset + 1);
    }
    shard.apply(template('good', 4, face(1)));
    expect(found(shard, face(1))).toEqual(['good']);
  });

  it('says that an image is missing until a usable record, a tombstone or an erasure of it comes', () => {
    const ends: [string, (shard: GalleryShard) => unknown][] = [
      ['a usable record', (shard) => shard.apply(template('a', 3, face(1)))],
      ['a tombstone', (shard) => shard.apply(tombstone('a'))],
      ['an erasure', (shard) => shard.setDisposition(imageId('a'), disposition('a', 'erased', 9))],
    ];
    for (const [what, end] of ends) {
      const shard = createShard();
      shard.apply(unusable('a', { sourceOffset: offset(9) }));
      expect(shard.coverage()).toMatchObject([
        { partition: 0, unusable: 1 },
        { partition: 3, unusable: 0 },
      ]);
      end(shard);
      expect(shard.coverage()[0], what).toMatchObject({ unusable: 0 });
      expect([...shard.unusableImages()], what).toEqual([]);
    }
  });

  it('keeps the template that it holds when the next record is not usable, and asks for it again', () => {
    const shard = createShard();
    shard.apply(template('a', 10, face(1)));
    const louder = face(2).map((value) => value * 1.5);
    expect(shard.apply(template('a', 11, louder))).toMatchObject({
      staleOverwrites: ['a'],
      unusable: [{ imageId: 'a' }],
    });
    expect(shard.apply(unusable('a'))).toMatchObject({ staleOverwrites: ['a'] });
    expect(found(shard, face(1))).toEqual(['a']);
    expect(shard.coverage()[0]).toMatchObject({ enrolled: 1, unusable: 0 });
  });

  it('counts no image for a record under a key that no image can have', () => {
    const shard = createShard();
    for (const key of ['', 'a b', 'Zo\u00eb', 'x'.repeat(129), '\u0000']) {
      expect(shard.apply({ ...unusable('a'), imageId: key as ImageId }).unusable).toHaveLength(1);
    }
    expect(shard.coverage()[0]).toMatchObject({ unusable: 0 });
  });

  it('does not count an unusable image that nobody may search', () => {
    const shard = createShard();
    shard.apply(unusable('a'));
    shard.setDisposition(imageId('a'), disposition('a', 'restricted', 5));
    expect(shard.coverage()[0]).toMatchObject({ unusable: 0 });
    shard.setDisposition(imageId('a'), null);
    expect(shard.coverage()[0]).toMatchObject({ unusable: 1 });
  });

  it('says of the last record of an image alone what the log must be told again', () => {
    const shard = createShard();
    shard.setDisposition(imageId('a'), disposition('a', 'erased', 6));
    const result = shard.apply(template('a', 5, face(1)));
    expect(result.resurrections).toEqual(['a']);
    shard.apply(template('b', 7, face(2)), result);
    expect(result.resurrections).toEqual(['a']);
    shard.apply(tombstone('a'), result);
    expect(result.resurrections).toEqual([]);
    shard.apply(template('a', 9, face(1)), result);
    shard.apply(template('a', 5, face(1)), result);
    expect(result).toMatchObject({ resurrections: [], staleOverwrites: ['a'] });
    shard.apply(template('a', 9, face(1)), result);
    expect(result).toMatchObject({ staleOverwrites: [], unusableOverwrites: [] });
  });

  it('knows why an image is held also when its record is written again without', () => {
    const shard = createShard();
    const keeping = { reviewDue: '2030-01-01', lawfulBasis: 'PACE 1984 s.64A' };
    const keepingOf = () => shard.templateOf(imageId('a'))?.keeping;
    shard.apply({ ...template('a', 10, face(1)), keeping });
    shard.apply(template('a', 10, face(1)));
    expect(keepingOf()).toEqual(keeping);
    shard.apply({ ...template('a', 10, face(2)), keeping: { reviewDue: '2031-01-01' } });
    expect(keepingOf()).toEqual({ ...keeping, reviewDue: '2031-01-01' });
    shard.apply(template('a', 11, face(2)));
    expect(keepingOf()).toBeUndefined();
  });

  it('goes on counting an image as unusable when an earlier record is put back behind the one that says so', () => {
    const shard = createShard();
    shard.apply(unusable('a', { timestampMs: 200, sourceOffset: offset(58) }));
    expect(shard.apply(unusable('a', { timestampMs: 100 }))).toMatchObject({
      unusableOverwrites: [{ imageId: 'a', timestampMs: 200, sourceOffset: 58 }],
    });
    const since = new Date(150).toISOString();
    shard.setDisposition(imageId('a'), { ...disposition('a', 'erased', 40), since });
    expect(shard.coverage()[0]).toMatchObject({ unusable: 1 });
  });

  it('tells whether an unusable record is erased by when the erasure was decided, not what carries it', () => {
    const shard = createShard();
    shard.apply(unusable('a', { timestampMs: 100 }));
    const erasedAt = (ms: number): Disposition => ({
      ...disposition('a', 'restricted', 50, 40),
      erasedSince: new Date(ms).toISOString(),
    });
    shard.setDisposition(imageId('a'), erasedAt(50));
    shard.setDisposition(imageId('a'), null);
    expect(shard.coverage()[0]).toMatchObject({ unusable: 1 });
    shard.setDisposition(imageId('a'), erasedAt(150));
    expect(shard.unusableCount).toBe(0);
  });

  it('takes an unusable record for erased by its source or, where it names none, by its time', () => {
    const erasedAt = Date.parse('2026-01-01T00:00:00Z');
    const cases: [Parameters<typeof unusable>[1], number][] = [
      [{ sourceOffset: offset(10) }, 0],
      [{ sourceOffset: offset(11) }, 1],
      [{ timestampMs: erasedAt }, 0],
      // Enrolled again after the erasure, for all that is known.
      [{ timestampMs: erasedAt + 1 }, 1],
    ];
    for (const [record, count] of cases) {
      const before = createShard();
      before.setDisposition(imageId('a'), disposition('a', 'erased', 10));
      before.apply(unusable('a', record));
      const after = createShard();
      after.apply(unusable('a', record));
      const { erasures } = after;
      after.setDisposition(imageId('a'), disposition('a', 'erased', 10));
      for (const shard of [before, after])
        expect(shard.coverage()[0], JSON.stringify(record)).toMatchObject({ unusable: count });
      // Files name the image until the next snapshot.
      expect(after.erasures - erasures).toBe(1 - count);
    }
  });

  it('has digests by partition that follow every change', () => {
    const shard = createShard();
    const empty = shard.partitionDigests()[0]!.digest;
    shard.apply(template('a', 1, face(1)));
    const one = shard.partitionDigests();
    expect(one[0]).toMatchObject({
      partition: 0,
      watermark: nextOffset,
      enrolled: 1,
      unusable: 0,
      digest: shard.digest(),
    });
    expect(one[1]!.digest).toBe(empty);
    shard.apply(template('a', 2, face(1)));
    expect(shard.partitionDigests()[0]!.digest).not.toBe(one[0]!.digest);
    shard.apply(template('b', 3, face(2)));
    shard.apply(tombstone('b'));
    expect(shard.partitionDigests()[0]!.digest).toBe(shard.digest());
    shard.setDisposition(imageId('a'), disposition('a', 'erased', 5));
    expect(shard.partitionDigests()[0]!.digest).toBe(empty);
  });

  it('moves the watermark past every record and every gap, and never back', () => {
    const shard = createShard();
    shard.apply({
      kind: 'unusable',
      partition: 3,
      offset: offset(7),
      imageId: imageId('x'),
      timestampMs: 0,
      reason: 'x',
    });
    expect(shard.coverage()).toMatchObject([
      { partition: 0, watermark: 0 },
      { partition: 3, watermark: 8 },
    ]);
    shard.advance(3, offset(20));
    shard.advance(3, offset(10));
    expect(shard.nextOffsets().get(3)).toBe(20);
    expect(() => shard.advance(1, offset(1))).toThrow(RangeError);
  });

  it('answers a filter exactly, whatever mode is asked for', () => {
    const shard = createShard();
    const make = (image: string, more: Partial<TemplateMetadata>): void => {
      shard.apply(template(image, 1, face(image.charCodeAt(0)), more));
    };
    make('a', { force: 'kent', sex: 'female', capturedAt: '2024-05-01T12:00:00Z' });
    make('b', { force: 'kent', sex: 'male', capturedAt: '2024-06-01T00:00:00+01:00' });
    make('c', { force: 'essex', sex: 'male', ageBand: '18-24' });
    const probe = face(5);
    const ask = (filter: Parameters<GalleryShard['search']>[0]['filter']): { mode: string; ids: string[] } => {
      const { mode, candidates } = shard.search({ probe, k: 10, mode: 'approximate', filter });
      return { mode, ids: candidates.map((candidate) => candidate.imageId).sort() };
    };
    expect(ask({ force: 'kent' })).toEqual({ mode: 'exact', ids: ['a', 'b'] });
    expect(ask({ sex: 'male', ageBand: '18-24' }).ids).toEqual(['c']);
    expect(ask({ capturedFrom: '2024-05-01T12:00:00Z', capturedTo: '2024-05-31T23:00:00Z' }).ids).toEqual(['a']);
    expect(ask({ capturedTo: '2024-05-31T23:00:01Z' }).ids).toEqual(['a', 'b']);
    expect(ask({ excludeImageIds: [imageId('a'), imageId('c')] }).ids).toEqual(['b']);
    expect(ask({ force: 'nowhere' }).ids).toEqual([]);
    expect(ask({}).mode).toBe('approximate');
    expect(() => ask({ capturedFrom: 'yesterday' })).toThrow('BAD_FILTER');
  });

  it('is exact in auto mode up to its limit and approximate above', () => {
    const shard = createShard(2);
    for (const image of ['a', 'b', 'c']) {
      shard.apply(template(image, 1, face(image.charCodeAt(0))));
      shard.approximate.build(Infinity);
      const { mode } = shard.search({ probe: face(1), k: 1, mode: 'auto' });
      expect(mode).toBe(image === 'c' ? 'approximate' : 'exact');
    }
  });

  it('refuses a probe or a count that cannot be searched for', () => {
    const shard = createShard();
    const bad = face(1).fill(Number.POSITIVE_INFINITY, 0, 1);
    expect(() => shard.search({ probe: bad, k: 1, mode: 'exact' })).toThrow('TEMPLATE_NOT_USABLE');
    expect(() => shard.search({ probe: face(1).subarray(1), k: 1, mode: 'exact' })).toThrow('TEMPLATE_NOT_USABLE');
    for (const k of [0, 1001, 1.5, Number.NaN]) {
      expect(() => shard.search({ probe: face(1), k, mode: 'exact' })).toThrow('BAD_SUBJECT_COUNT');
    }
  });
});
