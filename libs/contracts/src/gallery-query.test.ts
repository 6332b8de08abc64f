import { describe, expect, it } from 'vitest';
import { codeOf } from '#domain/codes-for-tests.js';
import type { ImageId, ModelId, Offset, SubjectId } from '#domain/ids.js';
import {
  encodeGalleryReply,
  galleryQueryHeaders,
  K_MAX,
  parseGalleryQuery,
  parseGalleryReply,
  type GalleryQuery,
  type GalleryReply,
} from './gallery-query.js';

const query: GalleryQuery = {
  queryId: 'q-1',
  modelId: '00112233aabbccdd' as ModelId,
  k: 20,
  mode: 'auto',
  filter: {
    force: 'Heddlu Gogledd Cymru ŵŷ 警',
    capturedFrom: '2020-01-01',
    capturedTo: '2026-01-01T00:00:00Z',
    sex: 'unknown',
    ageBand: '65+',
    excludeImageIds: ['img-1' as ImageId, 'img-2' as ImageId],
  },
  deadlineMs: 1_767_225_600_123,
  replyPartition: 11,
};

describe('a gallery query', () => {
  it('comes back from its headers, with a filter that is not ASCII', () => {
    expect(parseGalleryQuery(galleryQueryHeaders(query, '/query'))).toEqual(query);
  });

  it('has no filter when none was given, and may ask for the coverage alone', () => {
    const { filter: _filter, ...bare } = { ...query, k: 0 };
    expect(parseGalleryQuery(galleryQueryHeaders(bare, '/query'))).toEqual(bare);
  });

  it.each<[string, Record<string, string>]>([
    ['HEADER_MISSING', { ce_k: '' }],
    ['HEADER_MISSING', { ce_subject: '' }],
    ['HEADER_MISSING', { ce_deadline: '' }],
    ['HEADER_UNKNOWN', { ce_k: '-1' }],
    ['HEADER_UNKNOWN', { ce_k: '1.5' }],
    ['HEADER_UNKNOWN', { ce_k: String(K_MAX + 1) }],
    ['HEADER_UNKNOWN', { ce_mode: 'fast' }],
    ['HEADER_UNKNOWN', { ce_deadline: 'soon' }],
    ['HEADER_UNKNOWN', { ce_replypartition: '-1' }],
    ['BAD_MODEL_ID', { ce_modelid: 'x' }],
    ['RECORD_NOT_JSON', { ce_filter: '{' }],
    ['RECORD_SCHEMA', { ce_filter: '{"forces":"a"}' }],
    ['RECORD_SCHEMA', { ce_filter: '{"sex":"f"}' }],
    ['RECORD_SCHEMA', { ce_filter: JSON.stringify({ excludeImageIds: Array(1001).fill('a') }) }],
  ])('is refused with %s for %j', (code, change) => {
    expect(codeOf(() => parseGalleryQuery({ ...galleryQueryHeaders(query, '/query'), ...change }))).toBe(code);
  });
});

describe('a gallery reply', () => {
  const reply: GalleryReply = {
    queryId: 'q-1',
    modelId: query.modelId,
    replicaId: 'index-0',
    mode: 'exact',
    engineMs: 1.25,
    coverage: [{ partition: 3, watermark: 17 as Offset, enrolled: 5, unusable: 2, behindMs: 0 }],
    candidates: [
      {
        imageId: 'img-1' as ImageId,
        subjectId: 'subject-1' as SubjectId,
        force: 'ŵ',
        custodyReference: 'r',
        capturedAt: '2026-01-01',
        sex: 'other',
        ageBand: '10-17',
        faceBox: { left: 1, top: 2, right: 3, bottom: 4 },
        embeddingNorm: 3.5,
        // Not representable in float32: scores are double precision, and equal to the byte on every replica.
        score: 0.1 + 0.2,
        sourceOffset: 12 as Offset,
      },
      { imageId: 'i' as ImageId, subjectId: 's' as SubjectId, score: -1, sourceOffset: 0 as Offset },
    ],
  };

  it('comes back with every score equal to the bit', () => {
    expect(parseGalleryReply(encodeGalleryReply(reply))).toEqual(reply);
  });

  it('counts no unusable image when it is of an index that does not know of them', () => {
    const { unusable: _unusable, ...part } = reply.coverage[0]!;
    const earlier = Buffer.from(JSON.stringify({ ...reply, coverage: [part] }));
    expect(parseGalleryReply(earlier).coverage).toEqual([{ ...part, unusable: 0 }]);
  });

  it('is refused when it is not one', () => {
    expect(codeOf(() => parseGalleryReply(null))).toBe('RECORD_NOT_JSON');
    expect(codeOf(() => parseGalleryReply(Buffer.from('{}')))).toBe('RECORD_SCHEMA');
    const { coverage: _coverage, ...uncovered } = reply;
    expect(codeOf(() => parseGalleryReply(Buffer.from(JSON.stringify(uncovered))))).toBe('RECORD_SCHEMA');
    const nan = { ...reply, candidates: [{ ...reply.candidates[0]!, score: Number.NaN }] };
    expect(codeOf(() => parseGalleryReply(Buffer.from(JSON.stringify(nan))))).toBe('RECORD_SCHEMA');
    expect(() => encodeGalleryReply(nan)).toThrow('candidates.0.score');
  });
});
