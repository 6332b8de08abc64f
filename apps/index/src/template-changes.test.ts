import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  encodeTemplate,
  templateHeaders,
  templateTombstoneHeaders,
  templateUnusableHeaders,
} from '#contracts/template-record.js';
import { imageId, isImageId, modelId, offset, subjectId } from '#domain/ids.js';
import { GalleryShard } from '#gallery/gallery-shard.js';
import { vectorFault } from '#gallery/template-vector.js';
import { faceLikeVector, seededRandom } from '#gallery/vectors-for-tests.js';
import type { KafkaRecord } from '#kafka/kafka-record.js';
import { templateChangeOf } from './template-changes.js';

const DIMENSION = 8;
const MODEL = modelId('0123456789abcdef');

function goodRecord(id: string, seed: number): KafkaRecord {
  const metadata = { imageId: imageId(id), subjectId: subjectId('s'), force: 'Gwent' };
  const source = { sourceOffset: offset(seed), acceptedAtMs: 1000 };
  return {
    topic: 'gallery.templates',
    partition: 0,
    offset: offset(seed),
    key: Buffer.from(id),
    value: Buffer.from(encodeTemplate(faceLikeVector(seededRandom(seed), DIMENSION))),
    headers: templateHeaders({ modelId: MODEL, metadata, source }, '/test'),
    timestampMs: 1000,
  };
}

const bytes = (maxLength: number) => fc.uint8Array({ maxLength }).map((array) => Buffer.from(array));
const strangeText = fc.oneof(
  fc.string({ maxLength: 20 }),
  fc.constantFrom('', '-1', 'NaN', '1e999', '9007199254740993', '\u0000', 'x'.repeat(300), '{"__proto__":1}'),
);
const headerNames = Object.keys(goodRecord('a', 1).headers);
const strangeFloats = fc
  .array(fc.oneof(fc.float(), fc.constantFrom(NaN, Infinity, -Infinity, 1e-45, -0, 3.4e38)), {
    maxLength: 2 * DIMENSION,
  })
  .map((values) => Buffer.from(encodeTemplate(Float32Array.from(values))));

/** A record of which anything may be wrong. */
const rubbish: fc.Arbitrary<KafkaRecord> = fc
  .record({
    id: fc.constantFrom('a', 'b', 'c'),
    seed: fc.nat(500),
    key: fc.option(fc.oneof(bytes(8), fc.constant(null), fc.constant(Buffer.alloc(2_000, 65))), {
      nil: undefined,
      freq: 3,
    }),
    value: fc.option(fc.oneof(bytes(80), strangeFloats, fc.constant(null)), { nil: undefined }),
    headers: fc.dictionary(fc.oneof(fc.constantFrom(...headerNames), fc.string({ maxLength: 8 })), strangeText),
    dropped: fc.subarray(headerNames, { maxLength: 2 }),
    timestampMs: fc.oneof(fc.nat(), fc.constantFrom(-1, NaN, Number.MAX_VALUE)),
  })
  .map(({ id, seed, key, value, headers, dropped, timestampMs }) => {
    const good = goodRecord(id, seed);
    const kept = Object.fromEntries(
      Object.entries({ ...good.headers, ...headers }).filter(([name]) => !dropped.includes(name)),
    );
    return {
      ...good,
      headers: kept,
      timestampMs,
      ...(key !== undefined && { key }),
      ...(value !== undefined && { value }),
    };
  });

describe('a record of the template topic', () => {
  it('is taken in whole, or is dead and counted: whatever is in it, the shard goes on and searches are right', () => {
    const probe = faceLikeVector(seededRandom(7), DIMENSION);
    fc.assert(
      fc.property(fc.array(rubbish, { minLength: 1, maxLength: 30 }), fc.boolean(), (records, built) => {
        const shard = new GalleryShard({ dimension: DIMENSION, partitions: [0], autoExactMaxTemplates: 0 });
        /** By image, where its unusable record came from. */
        const missing = new Map<string, number | undefined>();
        records.forEach((record, at) => {
          const change = templateChangeOf({ ...record, offset: offset(at) }, MODEL, DIMENSION);
          const result = shard.apply(change);
          const { imageId: id } = change;
          const from = change.kind === 'template' ? change.source.sourceOffset : change.sourceOffset;
          if (change.kind === 'tombstone') {
            if ((missing.get(id) ?? -1) <= (from ?? Infinity)) missing.delete(id);
          } else if (result.unusable.length > 0) {
            if (isImageId(id) && shard.templateOf(id) === undefined) missing.set(id, from);
          } else missing.delete(id);
          if (built) shard.approximate.build(0);
        });
        expect(shard.coverage()).toMatchObject([{ watermark: records.length, unusable: missing.size }]);
        for (const slot of shard.heldSlots()) {
          expect(vectorFault(shard.store.vector(slot), DIMENSION)).toBeUndefined();
          expect(isImageId(shard.templates.entry(slot).metadata.imageId)).toBe(true);
        }
        for (const mode of ['exact', 'approximate'] as const) {
          for (const { score } of shard.search({ probe, k: 5, mode }).candidates)
            expect(Math.abs(score)).toBeLessThanOrEqual(1);
        }
      }),
      { numRuns: 100 },
    );
  }, 60_000);

  it('says of an unusable one where it came from and, where it stands for another, when that was taken', () => {
    const good = goodRecord('a', 12);
    expect(templateChangeOf({ ...good, value: Buffer.alloc(4) }, MODEL, DIMENSION)).toMatchObject({
      kind: 'unusable',
      sourceOffset: 12,
      timestampMs: 1000,
    });
    const of = { sourceOffset: undefined, timestampMs: 77 };
    const headers = templateUnusableHeaders(imageId('a'), of, '/index') as Record<string, string>;
    const stands = templateChangeOf({ ...good, value: Buffer.alloc(0), headers }, MODEL, DIMENSION);
    expect(stands).toMatchObject({ kind: 'unusable', timestampMs: 77 });
    expect('sourceOffset' in stands).toBe(false);
  });

  it('that is a tombstone says of which later photograph it is, where it is of one', () => {
    const gone = { ...goodRecord('a', 12), value: null };
    const change = (headers: KafkaRecord['headers']) => templateChangeOf({ ...gone, headers }, MODEL, DIMENSION);
    const named = templateTombstoneHeaders(imageId('a'), '/ingest', offset(9));
    expect(change(named)).toMatchObject({ kind: 'tombstone', sourceOffset: 9 });
    for (const headers of [templateTombstoneHeaders(imageId('a'), '/ingest'), {}, { ce_sourceoffset: 'x' }]) {
      expect(change(headers)).toMatchObject({ kind: 'tombstone' });
      expect('sourceOffset' in change(headers)).toBe(false);
    }
  });

  it('of another model is unusable, however good it is', () => {
    const change = templateChangeOf(goodRecord('a', 1), modelId('fedcba9876543210'), DIMENSION);
    expect(change).toMatchObject({ kind: 'unusable', reason: 'MODEL_DIFFERS', sourceOffset: 1 });
  });
});
