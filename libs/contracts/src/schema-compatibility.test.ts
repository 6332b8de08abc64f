import { Ajv2020 } from 'ajv/dist/2020.js';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { JsonSchema } from './json-schema.js';
import { missingFields, refusals } from './schema-compatibility.js';

const text: JsonSchema = { type: 'string' };
const whole: JsonSchema = { type: 'integer', minimum: 0 };
const object = (properties: Record<string, JsonSchema>, required: string[] = Object.keys(properties)): JsonSchema => ({
  type: 'object',
  properties,
  required,
});
const kinds = (...names: string[]): JsonSchema => ({
  oneOf: names.map((kind) => object({ kind: { type: 'string', const: kind }, [kind]: text })),
});

describe('a reader takes what another version writes', () => {
  it.each<[string, JsonSchema, JsonSchema]>([
    ['the same', object({ a: text }), object({ a: text })],
    ['a field more', object({ a: text }), object({ a: text, b: whole })],
    ['a field that it does not need', object({ a: text, b: whole }, ['a']), object({ a: text })],
    ['a field that is always there now', object({ a: text }, []), object({ a: text })],
    ['values that are fewer', { enum: ['x', 'y'] }, { enum: ['x'] }],
    ['one value of several', { type: 'string', enum: ['x', 'y'] }, { type: 'string', const: 'x' }],
    ['a whole number for a number', { type: 'number' }, { type: 'integer' }],
    ['tighter bounds', { type: 'string', maxLength: 9 }, { type: 'string', minLength: 1, maxLength: 5 }],
    ['a value that fits the form', { type: 'string', pattern: '^x' }, { type: 'string', enum: ['x1', 'x2'] }],
    ['one of the kinds', kinds('a', 'b'), kinds('b')],
    ['a null no longer', { type: ['string', 'null'] }, text],
    ['what it does not look at', {}, object({ a: text })],
    [
      'an item less of what may be added',
      { 'x-extensible-enum': ['a'], ...text },
      { 'x-extensible-enum': ['b'], ...text },
    ],
  ])('%s', (_, read, written) => {
    expect(refusals(read, written)).toEqual([]);
  });
});

describe('a reader refuses what another version writes', () => {
  it.each<[string, JsonSchema, JsonSchema, string]>([
    ['a field may be absent', object({ a: text }), object({ a: text }, []), 'a may be absent'],
    ['a field is gone', object({ a: text, b: text }), object({ a: text }), 'b may be absent'],
    ['another type', object({ a: whole }), object({ a: text }), 'a may be string, not only integer'],
    ['a number that need not be whole', { type: 'integer' }, { type: 'number' }, 'the value may be number'],
    ['a null', text, { type: ['string', 'null'] }, 'the value may be null'],
    ['any type', text, {}, 'the value may be of any type'],
    ['a value more', object({ a: { enum: ['x'] } }), object({ a: { enum: ['x', 'y'] } }), 'a may be y'],
    ['any value', { type: 'string', const: 'x' }, text, 'the value may have any value'],
    ['a wider bound', { ...text, maxLength: 5 }, { ...text, maxLength: 6 }, 'beyond its maxLength of 5'],
    ['no bound', whole, { type: 'integer' }, 'beyond its minimum of 0'],
    ['another form', { ...text, pattern: '^a' }, { ...text, pattern: '^b' }, 'has another pattern'],
    ['no form', { ...text, format: 'date' }, text, 'has another format'],
    ['a value of another form', { ...text, pattern: '^a' }, { enum: ['b'], ...text }, 'has another pattern'],
    ['a kind more', kinds('a'), kinds('a', 'b'), 'kind may be b'],
    ['a kind more than several', kinds('a', 'b'), kinds('a', 'b', 'c'), 'of the kind c fits none of the kinds'],
    ['a kind that has lost a field', kinds('a', 'b'), { oneOf: [object({ kind: { const: 'a' } })] }, 'a may be absent'],
    [
      'a field more, where none may be',
      { ...object({}), additionalProperties: false },
      object({ a: text }),
      'a may not',
    ],
    ['another item', { type: 'array', items: text }, { type: 'array', items: whole }, '[] may be integer'],
    [
      'another place of a tuple',
      { type: 'array', prefixItems: [text, text] },
      { type: 'array', prefixItems: [text, whole] },
      '[1]',
    ],
    [
      'another JSON in a text',
      { ...text, contentSchema: object({ a: text }) },
      { ...text, contentSchema: object({}) },
      'a may be absent',
    ],
    ['what cannot be judged', { ...text, if: { minLength: 3 } }, text, 'the keyword if'],
  ])('%s', (_, read, written, why) => {
    expect(refusals(read, written).join('\n')).toContain(why);
  });
});

describe('a field that is gone', () => {
  it('is named, wherever it was', () => {
    const before = object(
      { a: object({ b: text }), c: { type: 'array', items: object({ d: text }) }, k: kinds('x') },
      [],
    );
    const after = object({ a: object({}), c: { type: 'array', items: object({}) }, k: kinds('y') }, []);
    expect(missingFields(before, after)).toEqual(['.a.b', '.c[].d', '.k<x>.kind', '.k<x>.x']);
    expect(missingFields(after, before)).toEqual(['.k<y>.kind', '.k<y>.y']);
  });

  it('may be a value that was known', () => {
    expect(
      missingFields({ ...text, 'x-extensible-enum': ['a', 'b'] }, { ...text, 'x-extensible-enum': ['b'] }),
    ).toEqual(['=a']);
  });
});

/** A schema with values that fit it. */
interface Sampled {
  readonly schema: JsonSchema;
  readonly values: fc.Arbitrary<unknown>;
}

const leaf: fc.Arbitrary<Sampled> = fc.oneof(
  fc.record({ min: fc.nat(3), extra: fc.nat(4) }).map(({ min, extra }) => ({
    schema: { type: 'string', minLength: min, maxLength: min + extra },
    values: fc.stringMatching(new RegExp(`^[a-c]{${min},${min + extra}}$`)),
  })),
  fc.record({ min: fc.integer({ min: -2, max: 2 }), extra: fc.nat(4) }).map(({ min, extra }) => ({
    schema: { type: 'integer', minimum: min, maximum: min + extra },
    values: fc.integer({ min, max: min + extra }),
  })),
  fc.uniqueArray(fc.constantFrom('a', 'b', 'c', 'd'), { minLength: 1 }).map((values) => ({
    schema: { type: 'string', enum: values },
    values: fc.constantFrom(...values),
  })),
  fc.constant({ schema: { type: ['boolean', 'null'] }, values: fc.constantFrom(true, false, null) }),
  fc.constant({ schema: { type: 'number' }, values: fc.double({ noNaN: true, noDefaultInfinity: true }) }),
);

const sampled = fc.letrec<{ any: Sampled; object: Sampled }>((tie) => ({
  any: fc.oneof({ depthSize: 'small', withCrossShrink: true }, leaf, tie('object'), tie('any').map(arrayOf)),
  object: fc
    .record({
      parts: fc.dictionary(fc.constantFrom('p', 'q', 'r'), fc.tuple(tie('any'), fc.boolean()), { maxKeys: 3 }),
      open: fc.boolean(),
    })
    .map(({ parts, open }) => {
      const entries = Object.entries(parts);
      const required = entries.filter(([, [, needed]]) => needed).map(([name]) => name);
      return {
        schema: {
          type: 'object',
          properties: Object.fromEntries(entries.map(([name, [part]]) => [name, part.schema])),
          required,
          ...(open ? {} : { additionalProperties: false }),
        },
        values: fc.record(Object.fromEntries(entries.map(([name, [part]]) => [name, part.values])), {
          requiredKeys: required,
        }),
      };
    }),
})).any;

function arrayOf({ schema, values }: Sampled): Sampled {
  return { schema: { type: 'array', items: schema }, values: fc.array(values, { maxLength: 2 }) };
}

/** The schema with some of its keywords a little tighter or looser, as a later version may have it. */
function changed(schema: JsonSchema, next: () => number): JsonSchema {
  const entries = Object.entries(schema).flatMap(([keyword, value]): [string, unknown][] => {
    if (keyword === 'properties') {
      const parts = Object.entries(value as Record<string, JsonSchema>).map(([name, part]) => [
        name,
        changed(part, next),
      ]);
      return [[keyword, Object.fromEntries(parts.slice(next() === 0 ? 1 : 0))]];
    }
    if (keyword === 'items') return [[keyword, changed(value as JsonSchema, next)]];
    switch (next()) {
      case 1:
        return typeof value === 'number' && value > 0 ? [[keyword, value - 1]] : [[keyword, value]];
      case 2:
        return typeof value === 'number' ? [[keyword, value + 1]] : [[keyword, value]];
      case 3:
        return Array.isArray(value) && value.length > 1 ? [[keyword, value.slice(1)]] : [[keyword, value]];
      case 4:
        return keyword === 'enum' ? [[keyword, ['z', ...(value as string[])]]] : [[keyword, value]];
      case 5:
        return keyword === 'type' ? [[keyword, value]] : [];
      default:
        return [[keyword, value]];
    }
  });
  return Object.fromEntries(entries);
}

describe('the judgement', () => {
  const ajv = new Ajv2020({ strict: false });

  it('passes no change after which a value that was written before does not fit', () => {
    let passed = 0;
    let refused = 0;
    const versions = fc
      .tuple(sampled, fc.infiniteStream(fc.nat(15)))
      .chain(([{ schema, values }, choices]) =>
        fc.tuple(
          fc.constant(schema),
          fc.constant(changed(schema, () => choices.next().value as number)),
          fc.array(values, { minLength: 5, maxLength: 5 }),
        ),
      );
    fc.assert(
      fc.property(versions, ([written, read, values]) => {
        if (refusals(read, written).length > 0) {
          refused++;
          return;
        }
        passed++;
        const fits = ajv.compile(read);
        for (const value of values) expect(fits(value)).toBe(true);
      }),
      { numRuns: 200, interruptAfterTimeLimit: 3_000 },
    );
    expect(Math.min(passed, refused)).toBeGreaterThan(5);
  });

  it('passes every schema against itself, and with one field more that is not needed', () => {
    fc.assert(
      fc.property(sampled, leaf, ({ schema }, added) => {
        expect(refusals(schema, structuredClone(schema))).toEqual([]);
        const before = object({ old: schema });
        const after = object({ old: schema, added: added.schema }, ['old']);
        expect([...refusals(before, after), ...refusals(after, before), ...missingFields(before, after)]).toEqual([]);
      }),
      { numRuns: 100 },
    );
  });
});
