import { describe, expect, it } from 'vitest';
import { codeOf } from '#domain/codes-for-tests.js';
import {
  parseChooseFace,
  parseOperatorForm,
  parseRetrospectiveForm,
  parseSearchListQuery,
  uploadedImage,
} from './search-forms.js';

const operator = {
  grounds: 'missing',
  justification: 'Walked into the station and does not know her name.',
  identityUnconfirmed: 'true',
};
const retrospective = {
  crimeReference: 'CR/1',
  offence: 'theft',
  source: 'mobile',
  justification: 'Filmed by the shop assistant while leaving.',
  investigatingOfficer: 'io-1',
};

describe('the operator form', () => {
  it('is read, an empty face being none', () => {
    expect(parseOperatorForm({ ...operator, face: '', limit: '3' })).toMatchObject({ face: undefined, limit: 3 });
    expect(parseOperatorForm({ ...operator, face: '1' })).toMatchObject({ face: 1, limit: 6 });
  });

  it.each<[string, unknown]>([
    ['GROUNDS_REQUIRED', undefined],
    ['GROUNDS_REQUIRED', {}],
    ['BAD_REQUEST', { ...operator, reason: 'x' }],
    ['BAD_REQUEST', { ...operator, grounds: ['missing', 'age'] }],
    ['BAD_REQUEST', { ...operator, deviceId: 'x'.repeat(129) }],
    ['BAD_FACE_CHOICE', { ...operator, face: 'left' }],
    ['IDENTITY_NOT_STATED_UNCONFIRMED', { ...operator, identityUnconfirmed: '' }],
  ])('is refused with %s for %j', (code, body) => {
    expect(codeOf(() => parseOperatorForm(body))).toBe(code);
  });

  it('is read when it has no prototype, as a multipart form has none', () => {
    expect(parseOperatorForm(Object.assign(Object.create(null) as object, operator)).grounds).toBe('missing');
  });
});

describe('the retrospective form', () => {
  it('is read with its filter as JSON', () => {
    const filter = { sex: 'male', capturedFrom: '2020-01-01' };
    expect(parseRetrospectiveForm({ ...retrospective, filter: JSON.stringify(filter) }, 'op-1')).toMatchObject({
      filter,
    });
    expect(parseRetrospectiveForm({ ...retrospective, filter: '' }, 'op-1')).not.toHaveProperty('filter');
  });

  it.each<[string, Record<string, unknown>]>([
    ['RECORD_NOT_JSON', { filter: 'men' }],
    ['RECORD_SCHEMA', { filter: '{"sexes":"male"}' }],
    ['BAD_REQUEST', { operator: 'me' }],
    ['REVIEWERS_NOT_DISTINCT', { investigatingOfficer: 'op-1' }],
  ])('is refused with %s for %j', (code, change) => {
    expect(codeOf(() => parseRetrospectiveForm({ ...retrospective, ...change }, 'op-1'))).toBe(code);
  });
});

describe('the smaller forms', () => {
  it('choose a face by number or in words, at a version', () => {
    expect(parseChooseFace({ face: 2, expectedVersion: 2 })).toEqual({ face: 2, expectedVersion: 2 });
    expect(parseChooseFace({ face: 'largest', expectedVersion: 2 }).face).toBe('largest');
    expect(codeOf(() => parseChooseFace({ face: 2 }))).toBe('BAD_REQUEST');
    expect(codeOf(() => parseChooseFace({ face: 'left', expectedVersion: 2 }))).toBe('BAD_FACE_CHOICE');
  });

  it('list searches, 50 unless told otherwise', () => {
    expect(parseSearchListQuery({})).toEqual({ kind: undefined, state: undefined, cursor: undefined, limit: 50 });
    expect(parseSearchListQuery({ limit: '7', kind: 'operator' })).toMatchObject({ limit: 7, kind: 'operator' });
    for (const bad of [{ limit: 'x' }, { kind: 'live' }, { page: '2' }, { state: 'x'.repeat(33) }]) {
      expect(
        codeOf(() => parseSearchListQuery(bad)),
        JSON.stringify(bad),
      ).toBe('BAD_REQUEST');
    }
  });

  it('need an image that is not empty', () => {
    expect(codeOf(() => uploadedImage(undefined))).toBe('IMAGE_EMPTY');
    expect(codeOf(() => uploadedImage(Buffer.alloc(0)))).toBe('IMAGE_EMPTY');
    expect(uploadedImage(Buffer.from([1]))).toEqual(Buffer.from([1]));
  });
});
