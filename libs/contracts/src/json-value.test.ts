import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { codeOf } from '#domain/codes-for-tests.js';
import { encodeJsonValue, parseJsonValue, parseWholeJsonValue } from './json-value.js';

const schema = z.object({ name: z.string(), score: z.number().optional() });
const bytes = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));

describe('a JSON value', () => {
  it('comes back as it was written', () => {
    expect(parseJsonValue(schema, encodeJsonValue(schema, { name: 'a', score: 0.1 }))).toEqual({
      name: 'a',
      score: 0.1,
    });
  });

  it('is not written when its readers would refuse it', () => {
    expect(() => encodeJsonValue(schema, { name: 'a', score: Number.NaN })).toThrow('score');
    expect(() => encodeJsonValue(schema, { name: 7 as unknown as string })).toThrow('name');
  });

  it('is refused, with the place and without the text, when it does not fit', () => {
    expect(codeOf(() => parseJsonValue(schema, bytes({ name: 7 })))).toBe('RECORD_SCHEMA');
    expect(() => parseJsonValue(schema, Buffer.from('{"secret'))).toThrow(/^RECORD_NOT_JSON: The value is not JSON\.$/);
    expect(codeOf(() => parseWholeJsonValue(schema, null))).toBe('RECORD_NOT_JSON');
  });

  it('keeps what a later version has added, and its order, where it is read whole', () => {
    const later = { added: [1, { deep: true }], score: 0.1, name: 'a' };
    expect(JSON.stringify(parseWholeJsonValue(schema, bytes(later)))).toBe(JSON.stringify(later));
    expect(parseJsonValue(schema, bytes(later))).toEqual({ name: 'a', score: 0.1 });
    expect(codeOf(() => parseWholeJsonValue(schema, bytes({ added: 1 })))).toBe('RECORD_SCHEMA');
  });
});
