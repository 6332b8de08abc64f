import { describe, expect, it } from 'vitest';
import { codeOf } from '#domain/codes-for-tests.js';
import type { ImageId, Offset, SubjectId } from '#domain/ids.js';
import type { Headers } from './cloud-events.js';
import {
  ASSERTION_HEADER,
  CUSTODY_ERASURE_TYPE,
  custodyImageHeaders,
  custodyImageId,
  erasureHeaders,
  parseCustodyImage,
  type CustodyImage,
} from './custody-image.js';
import { parseErasureForm } from './erasure-form.js';
import { parseCorrection, parseImageFields } from './image-fields.js';

const id = 'img-1' as ImageId;
const whole: CustodyImage = {
  imageId: id,
  subjectId: 'subject-1' as SubjectId,
  force: 'Dyfed–Powys',
  custodyReference: 'DP/26/1 “ž”',
  capturedAt: '2026-02-03',
  lawfulBasis: 'PACE s.64A',
  reviewDue: '2032-02-03T00:00:00+01:00',
  sex: 'female',
  ageBand: '25-34',
  face: 3,
};

describe('custody image headers', () => {
  it.each<[string, CustodyImage]>([
    ['with everything', whole],
    ['with nothing but its ids', { imageId: id, subjectId: 's' as SubjectId }],
    ['with a face by rule', { imageId: id, subjectId: 's' as SubjectId, face: 'central' }],
    [
      'that corrects another',
      { imageId: id, subjectId: 's' as SubjectId, correctionOf: 7 as Offset, photographFrom: 3 as Offset },
    ],
    ['with the first face', { imageId: id, subjectId: 's' as SubjectId, face: 0 }],
  ])('give back an image %s', (_, image) => {
    expect(parseCustodyImage(id, custodyImageHeaders(image, '/custody', 'image/jpeg'))).toEqual(image);
  });

  it.each<[string, Headers]>([
    ['HEADER_MISSING', { ce_subjectid: '' }],
    ['HEADER_MISSING', { ce_id: '' }],
    ['HEADER_UNKNOWN', { ce_type: CUSTODY_ERASURE_TYPE }],
    ['BAD_SUBJECT_ID', { ce_subjectid: 'Jane Doe' }],
    ['BAD_FACE_CHOICE', { ce_face: 'the left one' }],
    ['BAD_METADATA', { ce_subject: 'img-2' }],
    ['BAD_METADATA', { ce_force: 'x'.repeat(257) }],
    ['BAD_METADATA', { ce_source: `/${'x'.repeat(256)}` }],
    ['BAD_METADATA', { ce_capturedat: 'yesterday' }],
    ['BAD_METADATA', { ce_capturedat: '2026-02-30' }],
    ['BAD_METADATA', { ce_reviewdue: '03/02/2026' }],
    ['BAD_METADATA', { ce_sex: 'f' }],
    ['BAD_METADATA', { ce_ageband: '30' }],
    ['BAD_METADATA', { ce_correctionof: '-1' }],
  ])('are refused with %s for %j', (code, change) => {
    const headers = { ...custodyImageHeaders(whole, '/custody', 'image/jpeg'), ...change };
    expect(codeOf(() => parseCustodyImage(id, headers))).toBe(code);
  });

  it('are not needed to say which image a bad record is about; its key is', () => {
    expect(custodyImageId(Buffer.from('img-1'))).toBe(id);
    expect(codeOf(() => custodyImageId(null))).toBe('KEY_MISSING');
    expect(codeOf(() => custodyImageId(Buffer.alloc(0)))).toBe('BAD_IMAGE_ID');
    expect(codeOf(() => custodyImageId(Buffer.from([0xff, 0xfe])))).toBe('BAD_IMAGE_ID');
  });

  it('of an erasure carry its assertion, and never pass for an image', () => {
    const headers = erasureHeaders(id, '/custody', 'a.b.c');
    expect(headers).toMatchObject({ ce_type: CUSTODY_ERASURE_TYPE, ce_subject: id, [ASSERTION_HEADER]: 'a.b.c' });
    expect(codeOf(() => parseCustodyImage(id, headers))).toBe('HEADER_UNKNOWN');
  });
});

describe('image fields over HTTP and CSV', () => {
  it('mean what the headers mean', () => {
    const { imageId: _id, face, ...fields } = whole;
    expect(parseImageFields({ ...fields, face: String(face) })).toEqual({ ...fields, face });
  });

  it('count as absent when empty, as a CSV column without a value is', () => {
    expect(parseImageFields({ subjectId: 's', force: '', face: '', capturedAt: '' })).toEqual({ subjectId: 's' });
  });

  it.each<[string, Record<string, unknown>]>([
    ['BAD_METADATA', {}],
    ['BAD_METADATA', { subjectId: 's', age: '30' }],
    ['BAD_METADATA', { subjectId: 's', sex: 'f' }],
    ['BAD_METADATA', { subjectId: 's', force: ['a', 'b'] }],
    ['BAD_SUBJECT_ID', { subjectId: 'Jane Doe' }],
    ['BAD_FACE_CHOICE', { subjectId: 's', face: 'left' }],
  ])('are refused with %s for %j', (code, fields) => {
    expect(codeOf(() => parseImageFields(fields))).toBe(code);
  });
});

describe('an erasure over HTTP', () => {
  const form = { imageId: 'img-1', reason: 'Acquitted; no further action.', authority: 'DPA 2018 s.47' };

  it('needs an image, a reason and an authority', () => {
    const { imageId, ...why } = form;
    expect(parseErasureForm(form)).toEqual({ imageIds: [imageId], ...why });
  });

  it.each<[string, Record<string, unknown>]>([
    ['BAD_REQUEST', { reason: 'because' }],
    ['BAD_REQUEST', { reason: ' '.repeat(20) }],
    ['BAD_REQUEST', { authority: '' }],
    ['BAD_REQUEST', { authority: undefined }],
    ['BAD_REQUEST', { imageId: 7 }],
    ['BAD_REQUEST', { extra: true }],
    ['BAD_IMAGE_ID', { imageId: 'a b' }],
  ])('is refused with %s for %j', (code, change) => {
    expect(codeOf(() => parseErasureForm({ ...form, ...change }))).toBe(code);
    expect(codeOf(() => parseErasureForm(undefined))).toBe('BAD_REQUEST');
  });
});

describe('a correction of an image’s metadata', () => {
  const why = { reason: 'Booked under the wrong record.', authority: 'DPA 2018 s.46' };

  it('names what is to be changed and what is to be removed, and why', () => {
    const given = { subjectId: 's-2', force: null, reviewDue: '2030-01-01', ...why };
    expect(parseCorrection(given)).toEqual({
      fields: { subjectId: 's-2', force: null, reviewDue: '2030-01-01' },
      ...why,
    });
    expect(parseCorrection({ sex: 'female', expectedSourceOffset: 7, ...why })).toMatchObject({
      expectedSourceOffset: 7,
    });
  });

  it.each<[string, Record<string, unknown>]>([
    ['BAD_REQUEST', {}],
    ['BAD_REQUEST', { force: 'x', reason: 'typo' }],
    ['BAD_REQUEST', { force: 'x', authority: '' }],
    ['BAD_REQUEST', { force: '' }],
    ['BAD_REQUEST', { sex: 'f' }],
    ['BAD_REQUEST', { subjectId: null }],
    ['BAD_REQUEST', { capturedAt: 'yesterday' }],
    ['BAD_REQUEST', { face: '1' }],
    ['BAD_SUBJECT_ID', { subjectId: 'Jane Doe' }],
  ])('is refused with %s for %j', (code, change) => {
    expect(codeOf(() => parseCorrection({ ...why, ...change }))).toBe(code);
  });
});
