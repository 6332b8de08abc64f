import { describe, expect, it } from 'vitest';
import { codeOf } from './codes-for-tests.js';
import { describeError, Failure, Refusal } from './errors.js';
import { hasRole } from './identity.js';
import { imageId, modelId, offset, searchId, subjectId } from './ids.js';

describe('ids', () => {
  it.each([
    [imageId, 'BAD_IMAGE_ID'],
    [subjectId, 'BAD_SUBJECT_ID'],
  ])('of custody systems are 1 to 128 printable ASCII characters without spaces', (parse, code) => {
    for (const good of ['a', '!~', 'x'.repeat(128), 'DCB/2026#1:a']) expect(parse(good)).toBe(good);
    for (const bad of ['', 'a b', 'x'.repeat(129), 'Zoë', 'a\n', '\u0000', 'a\u007f']) {
      expect(
        codeOf(() => parse(bad)),
        JSON.stringify(bad),
      ).toBe(code);
    }
  });

  it('of searches are UUIDs in lower case', () => {
    expect(searchId('0b5f7f0e-7d1c-4a7e-9a52-5c6b9a1d2e3f')).toBe('0b5f7f0e-7d1c-4a7e-9a52-5c6b9a1d2e3f');
    for (const bad of ['', '0B5F7F0E-7D1C-4A7E-9A52-5C6B9A1D2E3F', '0b5f7f0e7d1c4a7e9a525c6b9a1d2e3f', '../x']) {
      expect(
        codeOf(() => searchId(bad)),
        bad,
      ).toBe('BAD_SEARCH_ID');
    }
  });

  it('of models are 16 lower-case hexadecimal digits', () => {
    expect(modelId('00112233aabbccdd')).toBe('00112233aabbccdd');
    for (const bad of ['', '00112233AABBCCDD', '00112233aabbccd', '00112233aabbccddee']) {
      expect(
        codeOf(() => modelId(bad)),
        bad,
      ).toBe('BAD_MODEL_ID');
    }
  });

  it('a Kafka offset is a whole number from 0, as a number, text or bigint', () => {
    expect([offset(0), offset('42'), offset(7n), offset(Number.MAX_SAFE_INTEGER)]).toEqual([0, 42, 7, 2 ** 53 - 1]);
  });

  it('a Kafka offset is nothing else: no empty text, sign, fraction, other base, or more than a double holds', () => {
    const bad = ['', ' ', '-1', '1.5', 'missing', '0x10', '1e3', '9007199254740993', -1, 0.5, NaN, 2 ** 53, 2n ** 53n];
    for (const value of bad) expect(() => offset(value), String(value)).toThrow(RangeError);
  });
});

describe('errors', () => {
  it('say who is at fault, and whether another try may succeed', () => {
    expect(new Refusal('NO_FACE', 'None.')).toMatchObject({ code: 'NO_FACE', retryable: false, name: 'Refusal' });
    expect(new Failure('KAFKA_UNAVAILABLE', 'Away.', true)).toMatchObject({ retryable: true, name: 'Failure' });
  });

  it('are described with every cause, for the log', () => {
    const cause = new Error('disk full', { cause: 'EIO' });
    expect(describeError(new Failure('X', 'Not stored.', true, { cause }))).toBe('X: Not stored. (disk full (EIO))');
  });
});

describe('roles', () => {
  it('are enough when one of them is allowed', () => {
    const actor = { id: 'a', roles: ['officer', 'operator'] as const };
    expect(hasRole(actor, ['operator', 'auditor'])).toBe(true);
    expect(hasRole(actor, ['auditor'])).toBe(false);
    expect(hasRole(actor, [])).toBe(false);
  });
});
