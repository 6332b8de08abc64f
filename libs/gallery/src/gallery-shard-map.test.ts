/** The rules of {@link GalleryShard} against a plain map, with every kind of change in any order. */
import { describe, expect, it } from 'vitest';
import type { Disposition, DispositionKind } from '#domain/disposition.js';
import { imageId, offset, subjectId, type ImageId } from '#domain/ids.js';
import { GalleryShard } from './gallery-shard.js';
import { cosine } from './template-vector.js';
import { faceLikeVector, seededRandom, variantOf } from './vectors-for-tests.js';

const DIMENSION = 32;

function createShard(autoExactMaxTemplates: number): GalleryShard {
  return new GalleryShard({ dimension: DIMENSION, partitions: [0, 3], autoExactMaxTemplates });
}

function face(seed: number): Float32Array {
  return faceLikeVector(seededRandom(seed), DIMENSION);
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

describe('GalleryShard', () => {
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
  /** By image: its source, or undefined where its record does not name one and is later than every erasure. */
  const missing = new Map<string, number | undefined>();
  const faces = Array.from({ length: 12 }, (_, i) => face(seed + i));
  const isHidden = (image: string): boolean => (dispositions.get(image)?.kind ?? 'erased') !== 'erased';
  let next = 0;

  for (let step = 0; step < 600; step++) {
    const image = `i${pick(25)}`;
    const through = dispositions.get(image)?.through;
    const before = held.get(image);
    const place = { partition: 0, offset: offset(next), imageId: imageId(image), timestampMs: 0 };
    const action = random();
    if (action < 0.5) {
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
      else if (through !== undefined && sourceOffset <= through)
        expect([...result.resurrections, ...result.unusableOverwrites]).toHaveLength(1);
      else held.set(image, { sourceOffset, vector, subject });
      if (held.get(image)?.sourceOffset === sourceOffset) missing.delete(image);
    } else if (action < 0.6) {
      const source = random() < 0.5 ? pick(100) : undefined;
      const timestampMs = Date.parse('2027-01-01');
      const record = { timestampMs, reason: 'test', ...(source !== undefined && { sourceOffset: offset(source) }) };
      const result = shard.apply({ ...place, ...record, kind: 'unusable' });
      next++;
      expect(result.staleOverwrites).toEqual(before === undefined ? [] : [image]);
      if (before === undefined && (source ?? Infinity) > (through ?? -1)) missing.set(image, source);
    } else if (action < 0.75) {
      const source = random() < 0.3 ? pick(100) : undefined;
      shard.apply({ ...place, kind: 'tombstone', ...(source !== undefined && { sourceOffset: offset(source) }) });
      next++;
      const outlives = (from: number | undefined): boolean =>
        source === undefined || from === undefined ? dispositions.has(image) : from > source;
      if (!outlives(missing.get(image))) missing.delete(image);
      if (before !== undefined && (!outlives(before.sourceOffset) || before.sourceOffset <= (through ?? -1)))
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
    if (nowThrough !== undefined && (missing.get(image) ?? Infinity) <= nowThrough) missing.delete(image);
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
      unusable: [...missing.keys()].filter((id) => !isHidden(id)).length,
    });
    expect(shard.partitionDigests()[0]!.digest).toBe(shard.digest());
  }

  const other = createShard(1000);
  for (const [id, { sourceOffset, vector, subject }] of [...held].reverse()) {
    const metadata = { imageId: imageId(id), subjectId: subjectId(subject) };
    const place = { partition: 0, offset: offset(0), imageId: imageId(id), timestampMs: 0 };
    const source = { sourceOffset: offset(sourceOffset), acceptedAtMs: 0 };
    other.apply({ ...place, kind: 'template', vector, metadata, source });
  }
  expect(other.digest(), `seed ${seed}`).toBe(shard.digest());
  const first = [...held.keys()][0] as ImageId | undefined;
  if (first === undefined) return;
  other.apply({ kind: 'tombstone', partition: 0, offset: offset(0), imageId: first, timestampMs: 0 });
  expect(other.digest()).not.toBe(shard.digest());
}
