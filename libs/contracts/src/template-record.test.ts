import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { codeOf } from '#domain/codes-for-tests.js';
import type { ImageId, ModelId, Offset, SubjectId } from '#domain/ids.js';
import {
  decodeTemplate,
  encodeTemplate,
  parseTemplateKeeping,
  parseTemplateRecord,
  standsForUnusable,
  templateHeaders,
  templateSourceOffset,
  templateTombstoneHeaders,
  templateUnusableHeaders,
  TEMPLATE_TOMBSTONE_TYPE,
  type TemplateRecord,
} from './template-record.js';

const record: TemplateRecord = {
  modelId: '00112233aabbccdd' as ModelId,
  metadata: {
    imageId: 'img-1' as ImageId,
    subjectId: 'subject-1' as SubjectId,
    force: 'Gwent ŵ',
    custodyReference: 'GW/1',
    capturedAt: '2026-02-03T10:00:00Z',
    sex: 'male',
    ageBand: '65+',
    faceBox: { left: 0, top: 12, right: 345, bottom: 678 },
    embeddingNorm: 3.1416,
  },
  source: { sourceOffset: 9_007_199_254_740_991 as Offset, acceptedAtMs: 1_767_225_600_123 },
};

const keyOf = (of: TemplateRecord): Buffer => Buffer.from(of.metadata.imageId);

describe('a template record', () => {
  it('gives back everything that a candidate shows', () => {
    expect(parseTemplateRecord(keyOf(record), templateHeaders(record, '/ingest'))).toEqual(record);
  });

  it('gives back no attribute that was not given', () => {
    const bare: TemplateRecord = {
      ...record,
      metadata: { imageId: 'a' as ImageId, subjectId: 'b' as SubjectId },
      source: { sourceOffset: 0 as Offset, acceptedAtMs: 0 },
    };
    const parsed = parseTemplateRecord(keyOf(bare), templateHeaders(bare, '/ingest'));
    expect(parsed).toEqual(bare);
    expect(Object.keys(parsed.metadata)).toEqual(['imageId', 'subjectId']);
  });

  it('rounds the box to whole pixels and the norm to four decimals', () => {
    const fine: TemplateRecord = {
      ...record,
      metadata: {
        ...record.metadata,
        faceBox: { left: 1.4, top: 1.6, right: 99.5, bottom: 100.2 },
        embeddingNorm: 2.718281828,
      },
    };
    expect(parseTemplateRecord(keyOf(fine), templateHeaders(fine, '/i')).metadata).toMatchObject({
      faceBox: { left: 1, top: 2, right: 100, bottom: 100 },
      embeddingNorm: 2.7183,
    });
  });

  it('has the image’s key, whatever the subject header says', () => {
    const headers = { ...templateHeaders(record, '/ingest'), ce_subject: 'img-2' };
    expect(parseTemplateRecord(keyOf(record), headers).metadata.imageId).toBe('img-1');
  });

  it.each<[string, Record<string, string>]>([
    ['a missing source offset', { ce_sourceoffset: '' }],
    ['a source offset that is no number', { ce_sourceoffset: '12x' }],
    ['a negative source offset', { ce_sourceoffset: '-1' }],
    ['a missing time of acceptance', { ce_acceptedat: '' }],
    ['a missing subject', { ce_subjectid: '' }],
    ['a bad subject', { ce_subjectid: 'Jane Doe' }],
    ['a box that is none', { ce_facebox: '1,2,3' }],
    ['a box without numbers', { ce_facebox: 'a,b,c,d' }],
    ['a sex that a reply could not say', { ce_sex: 'm' }],
    ['an age band that a reply could not say', { ce_ageband: '18-25' }],
    ['a norm that is no number', { ce_norm: 'n/a' }],
    ['an endless norm', { ce_norm: 'Infinity' }],
    ['an empty norm', { ce_norm: '' }],
    ['a force of a megabyte', { ce_force: 'x'.repeat(1_048_576) }],
    ['a custody reference that no custody image has', { ce_custodyref: 'x'.repeat(257) }],
    ['a date that goes on and on', { ce_capturedat: '2'.repeat(257) }],
  ])('with %s is refused with TEMPLATE_UNUSABLE', (_, change) => {
    const headers = { ...templateHeaders(record, '/ingest'), ...change };
    expect(codeOf(() => parseTemplateRecord(keyOf(record), headers))).toBe('TEMPLATE_UNUSABLE');
  });

  it('without headers or with a bad key is refused with TEMPLATE_UNUSABLE', () => {
    expect(codeOf(() => parseTemplateRecord(keyOf(record), {}))).toBe('TEMPLATE_UNUSABLE');
    for (const key of [null, Buffer.alloc(0), Buffer.from('a b'), Buffer.from('Zoë')]) {
      expect(codeOf(() => parseTemplateRecord(key, templateHeaders(record, '/i')))).toBe('TEMPLATE_UNUSABLE');
    }
  });

  it('says why the image is held, for the register and not for the index', () => {
    const keeping = { lawfulBasis: 'PACE s.64A', reviewDue: '2032-02-03', face: 2, photographFrom: 3 as Offset };
    const headers = templateHeaders({ ...record, keeping }, '/ingest');
    expect(parseTemplateKeeping(headers)).toEqual(keeping);
    expect(parseTemplateRecord(keyOf(record), headers)).toEqual(record);
    expect(parseTemplateKeeping(templateHeaders(record, '/index'))).toEqual({});
  });

  it('with a review date or face that cannot be read says nothing of it', () => {
    const headers = {
      ...templateHeaders(record, '/ingest'),
      ce_reviewdue: 'soon',
      ce_face: '-1',
      ce_photographfrom: 'x',
      ce_lawfulbasis: '',
    };
    expect(parseTemplateKeeping(headers)).toEqual({});
  });

  it('can stand for one that could not be used, and is none itself', () => {
    const id = 'img-1' as ImageId;
    const of = { sourceOffset: 7 as Offset, timestampMs: 1_767_225_600_123 };
    const headers = templateUnusableHeaders(id, of, '/index');
    expect(standsForUnusable(headers)).toBe(of.timestampMs);
    expect(templateSourceOffset(headers)).toBe(7);
    expect(codeOf(() => parseTemplateRecord(Buffer.from(id), headers))).toBe('TEMPLATE_UNUSABLE');
    const unnamed = templateUnusableHeaders(id, { ...of, sourceOffset: undefined }, '/index');
    expect(templateSourceOffset(unnamed)).toBeUndefined();
    expect(standsForUnusable(templateHeaders(record, '/ingest'))).toBeUndefined();
    expect(standsForUnusable({ ...headers, ce_recordedat: 'yesterday' })).toBeUndefined();
  });

  it('has a tombstone that says whose it is', () => {
    expect(templateTombstoneHeaders('img-1' as ImageId, '/i')).toMatchObject({
      ce_type: TEMPLATE_TOMBSTONE_TYPE,
      ce_subject: 'img-1',
    });
    expect(templateSourceOffset(templateTombstoneHeaders('img-1' as ImageId, '/i'))).toBeUndefined();
    expect(templateSourceOffset(templateTombstoneHeaders('img-1' as ImageId, '/i', 9 as Offset))).toBe(9);
  });
});

describe('a template’s bytes', () => {
  it('come back equal to the bit, from a view at any place of a larger buffer', () => {
    fc.assert(
      fc.property(fc.float32Array({ minLength: 1, maxLength: 64 }), fc.nat({ max: 9 }), (template, before) => {
        const response = Buffer.concat([Buffer.alloc(before, 7), encodeTemplate(template), Buffer.alloc(5, 7)]);
        const value = response.subarray(before, before + template.byteLength);
        const decoded = decodeTemplate(value, template.length);
        expect(Buffer.from(decoded.buffer)).toEqual(Buffer.from(encodeTemplate(template)));
        response.fill(0);
        expect(Buffer.from(decoded.buffer)).toEqual(Buffer.from(encodeTemplate(template)));
      }),
    );
  });

  it('are float32 in little endian', () => {
    expect([...encodeTemplate(Float32Array.of(1, -2))]).toEqual([0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0]);
    expect([...encodeTemplate(Float32Array.of(9, 1, -2, 9).subarray(1, 3))]).toEqual([0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0]);
  });

  it.each([0, 1, 7, 9, 12])('of length %i are refused with TEMPLATE_UNUSABLE where 8 are expected', (length) => {
    expect(codeOf(() => decodeTemplate(Buffer.alloc(length), 2))).toBe('TEMPLATE_UNUSABLE');
  });
});
