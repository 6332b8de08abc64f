import { describe, expect, it } from 'vitest';
import type { Disposition, DispositionKind } from '#domain/disposition.js';
import type { TemplateMetadata } from '#domain/gallery.js';
import { imageId, offset, subjectId, type ImageId } from '#domain/ids.js';
import { GalleryShard } from './gallery-shard.js';
import type { TemplateChange } from './template-change.js';
import { cosine } from './template-vector.js';
import { faceLikeVector, seededRandom, variantOf } from './vectors-for-tests.js';

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

function tombstone(image: string): TemplateChange {
  return { kind: 'tombstone', partition: 0, offset: offset(nextOffset++), imageId: imageId(image), timestampMs: 0 };
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

function found(shard: GalleryShard, probe: Float32Array): string[] {
  return shard.search({ probe, k: 1000, mode: 'exact' }).candidates.map((candidate) => candidate.imageId);
}

describe('GalleryShard', () => {
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

  it('agrees with a plain map after any operations', () => {
    const seed = Number(process.env['GALLERY_SEED'] ?? Date.now() % 1e9);
    for (let round = 0; round < 15; round++) compareWithPlainMap(seed + round);
  }, 120_000);
});

interface Held {
  readonly sourceOffset: number;
  readonly vector: Float32Array;
  readonly subject: string;
}

/** The rules written down once more, as plainly as can be. */
function compareWithPlainMap(seed: number): void {
  const random = seededRandom(seed);
  const pick = (n: number): number => Math.floor(random() * n);
  const shard = createShard(random() < 0.5 ? 0 : 1000);
  const held = new Map<string, Held>();
  const dispositions = new Map<string, { kind: DispositionKind; through: number | undefined }>();
  const faces = Array.from({ length: 12 }, (_, i) => face(seed + i));
  const isHidden = (image: string): boolean => (dispositions.get(image)?.kind ?? 'erased') !== 'erased';
  let next = 0;

  for (let step = 0; step < 600; step++) {
    const image = `i${pick(25)}`;
    const through = dispositions.get(image)?.through;
    const before = held.get(image);
    const place = { partition: 0, offset: offset(next), imageId: imageId(image), timestampMs: 0 };
    const action = random();
    if (action < 0.6) {
      const sourceOffset = pick(100);
      const subject = `s${pick(8)}`;
      const vector = variantOf(faces[pick(faces.length)]!, random, random() < 0.3 ? 0 : 0.2);
      const result = shard.apply({
        ...place,
        kind: 'template',
        vector,
        metadata: { imageId: imageId(image), subjectId: subjectId(subject) },
        source: { sourceOffset: offset(sourceOffset), acceptedAtMs: 0 },
      });
      next++;
      if (before !== undefined && sourceOffset < before.sourceOffset) expect(result.staleOverwrites).toEqual([image]);
      else if (through !== undefined && sourceOffset <= through) expect(result.resurrections).toEqual([image]);
      else held.set(image, { sourceOffset, vector, subject });
    } else if (action < 0.75) {
      shard.apply({ ...place, kind: 'tombstone' });
      next++;
      if (before !== undefined && (!dispositions.has(image) || before.sourceOffset <= (through ?? -1)))
        held.delete(image);
    } else if (action < 0.95) {
      const kind = (['restricted', 'retired', 'erased'] as const)[pick(3)]!;
      const at = pick(60);
      const erasedBefore = kind !== 'erased' && random() < 0.3 ? pick(40) : undefined;
      shard.setDisposition(imageId(image), disposition(image, kind, at, erasedBefore));
      dispositions.set(image, { kind, through: kind === 'erased' ? at : erasedBefore });
    } else {
      shard.setDisposition(imageId(image), null);
      dispositions.delete(image);
    }
    const now = held.get(image);
    const nowThrough = dispositions.get(image)?.through;
    if (now !== undefined && nowThrough !== undefined && now.sourceOffset <= nowThrough) held.delete(image);
    if (random() < 0.2) shard.approximate.build(0);

    if (step % 10 !== 0) continue;
    const probe = variantOf(faces[pick(faces.length)]!, random, 0.3);
    const wide = Float64Array.from(probe);
    const best = new Map<string, { imageId: string; score: number }>();
    for (const [id, { vector, subject }] of held) {
      if (isHidden(id)) continue;
      const score = cosine(wide, vector, 0, DIMENSION);
      const other = best.get(subject);
      if (other === undefined || score > other.score || (score === other.score && id < other.imageId)) {
        best.set(subject, { imageId: id, score });
      }
    }
    const expected = [...best.values()].sort((a, b) => b.score - a.score || (a.imageId < b.imageId ? -1 : 1));
    for (const mode of ['exact', 'approximate', 'auto'] as const) {
      const { candidates } = shard.search({ probe, k: 20, mode });
      expect(
        candidates.map(({ imageId: id, score }) => ({ imageId: id, score })),
        `seed ${seed}`,
      ).toEqual(expected);
    }
    expect(shard.size).toBe(held.size);
    expect(shard.coverage()[0]).toEqual({
      partition: 0,
      watermark: next,
      enrolled: [...held.keys()].filter((id) => !isHidden(id)).length,
    });
  }

  const other = createShard();
  for (const [id, { sourceOffset, vector, subject }] of [...held].reverse()) {
    const metadata = { imageId: imageId(id), subjectId: subjectId(subject) };
    other.restore({ partition: 0, metadata, source: { sourceOffset: offset(sourceOffset), acceptedAtMs: 0 } }, vector);
  }
  expect(other.digest(), `seed ${seed}`).toBe(shard.digest());
  const first = [...held.keys()][0] as ImageId | undefined;
  if (first === undefined) return;
  other.apply(tombstone(first));
  expect(other.digest()).not.toBe(shard.digest());
}
