import { describe, expect, it } from 'vitest';
import { codeOf } from '#domain/codes-for-tests.js';
import {
  parseOperatorForm,
  parseOutcomeForm,
  parseRetentionEndForm,
  parseRetrospectiveForm,
  parseSearchListQuery,
  uploadedImage,
} from './search-forms.js';

const operator = {
  grounds: 'missing',
  justification: 'Walked into the station and does not know her name.',
  identityUnconfirmed: 'true',
  deviceId: 'phone-7',
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
    ['DEVICE_REQUIRED', { ...operator, deviceId: undefined }],
    ['DEVICE_REQUIRED', { ...operator, deviceId: '' }],
    ['JUSTIFICATION_PLACEHOLDER', { ...operator, justification: 'Please enter your justification' }],
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
  it('list searches, 50 unless told otherwise', () => {
    expect(parseSearchListQuery({})).toEqual({ filter: {}, cursor: undefined, limit: 50 });
    const query = { limit: '7', kind: 'operator', outcome: 'missing', grounds: 'age', by: 'o-1' };
    expect(parseSearchListQuery(query)).toMatchObject({
      limit: 7,
      filter: { kind: 'operator', outcome: 'missing', grounds: 'age', by: 'o-1' },
    });
    const unknown = [{ kind: 'live' }, { page: '2' }, { outcome: 'none' }, { grounds: 'curiosity' }, { from: 'today' }];
    for (const bad of [{ limit: 'x' }, { state: 'x'.repeat(33) }, ...unknown]) {
      expect(
        codeOf(() => parseSearchListQuery(bad)),
        JSON.stringify(bad),
      ).toBe('BAD_REQUEST');
    }
  });

  it('list searches of a time, in whatever form and zone it is given', () => {
    const { filter } = parseSearchListQuery({ from: '2026-03-01', to: '2026-03-02T01:00:00+01:00' });
    expect(filter).toMatchObject({ from: '2026-03-01T00:00:00.000Z', to: '2026-03-02T00:00:00.000Z' });
  });

  it('say what came of a search: one candidate, or none', () => {
    expect(parseOutcomeForm({ outcome: 'confirmed', rank: 2, notes: '  Named by\n her sister ' })).toEqual({
      rank: 2,
      notes: 'Named by her sister',
    });
    expect(parseOutcomeForm({ outcome: 'none' })).toEqual({ rank: null, notes: null });
    expect(parseOutcomeForm({ outcome: 'none', notes: 'Notes: n/a' })).toEqual({ rank: null, notes: null });
    const confirmed = [
      { outcome: 'confirmed' },
      { outcome: 'confirmed', rank: 0 },
      { outcome: 'confirmed', rank: '1' },
    ];
    for (const bad of [...confirmed, {}, { outcome: 'none', rank: 1 }, { outcome: 'perhaps' }, undefined]) {
      expect(
        codeOf(() => parseOutcomeForm(bad)),
        JSON.stringify(bad),
      ).toBe('BAD_REQUEST');
    }
  });

  it('end a search’s retention only with who demands it, why, and that proceedings have ended', () => {
    const order = { authority: 'MoPI review', reason: 'Acquitted' };
    expect(parseRetentionEndForm({ ...order, proceedingsEnded: true })).toEqual(order);
    for (const stated of [undefined, false]) {
      expect(codeOf(() => parseRetentionEndForm({ ...order, proceedingsEnded: stated }))).toBe(
        'PROCEEDINGS_NOT_STATED_ENDED',
      );
    }
    for (const bad of [{ ...order, authority: ' ' }, { ...order, reason: '' }, { authority: 'a' }, {}]) {
      expect(codeOf(() => parseRetentionEndForm({ ...bad, proceedingsEnded: true }))).toBe('BAD_REQUEST');
    }
  });

  it('need an image that is not empty', () => {
    expect(codeOf(() => uploadedImage(undefined))).toBe('IMAGE_EMPTY');
    expect(codeOf(() => uploadedImage(Buffer.alloc(0)))).toBe('IMAGE_EMPTY');
    expect(uploadedImage(Buffer.from([1]))).toEqual(Buffer.from([1]));
  });
});
