import { describe, expect, it } from 'vitest';
import { codeOf } from './codes-for-tests.js';
import {
  parseRetrospectiveSearch,
  PROBE_SOURCES,
  RETROSPECTIVE_LIMIT_DEFAULT,
  RETROSPECTIVE_LIMIT_MAX,
} from './retrospective-request.js';

describe('a retrospective request', () => {
  const fields = {
    crimeReference: ' CR/1/26 ',
    offence: 'burglary',
    source: 'cctv',
    justification: 'Seen on the doorbell camera at the time of the break-in.',
    investigatingOfficer: 'io-1',
    face: undefined,
    filter: undefined,
    limit: undefined,
  } as const;

  it('is read with its defaults, and without what was not given', () => {
    expect(parseRetrospectiveSearch(fields, 'op-1')).toEqual({
      crimeReference: 'CR/1/26',
      offence: 'burglary',
      source: 'cctv',
      justification: fields.justification,
      investigatingOfficer: 'io-1',
      limit: RETROSPECTIVE_LIMIT_DEFAULT,
    });
  });

  it.each(PROBE_SOURCES)('may come from %s', (source) => {
    expect(parseRetrospectiveSearch({ ...fields, source }, 'op-1').source).toBe(source);
  });

  it('carries face, filter and limit', () => {
    expect(
      parseRetrospectiveSearch({ ...fields, face: 1, filter: { sex: 'male' }, limit: '50' }, 'op-1'),
    ).toMatchObject({ face: 1, filter: { sex: 'male' }, limit: RETROSPECTIVE_LIMIT_MAX });
  });

  it.each<[string, Partial<Record<keyof typeof fields, string | undefined>>]>([
    ['FIELD_REQUIRED', { crimeReference: undefined }],
    ['FIELD_REQUIRED', { crimeReference: ' ' }],
    ['FIELD_REQUIRED', { offence: undefined }],
    ['FIELD_REQUIRED', { investigatingOfficer: '' }],
    ['FIELD_TOO_LONG', { offence: 'x'.repeat(201) }],
    ['FIELD_TOO_LONG', { crimeReference: 'x'.repeat(201) }],
    ['PROBE_SOURCE_UNKNOWN', { source: undefined }],
    ['PROBE_SOURCE_UNKNOWN', { source: 'live-camera' }],
    ['REVIEWERS_NOT_DISTINCT', { investigatingOfficer: 'op-1' }],
    ['REVIEWERS_NOT_DISTINCT', { investigatingOfficer: ' op-1 ' }],
    ['REVIEWERS_NOT_DISTINCT', { investigatingOfficer: 'OP-1' }],
    ['JUSTIFICATION_REQUIRED', { justification: undefined }],
    ['JUSTIFICATION_TOO_SHORT', { justification: 'on camera' }],
    ['JUSTIFICATION_MEANINGLESS', { justification: 'x x x x x x x x x x x x x' }],
    ['BAD_LIMIT', { limit: String(RETROSPECTIVE_LIMIT_MAX + 1) }],
  ])('is refused with %s for %j', (code, change) => {
    expect(codeOf(() => parseRetrospectiveSearch({ ...fields, ...change } as typeof fields, 'op-1'))).toBe(code);
  });
});
