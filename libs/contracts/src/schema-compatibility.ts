/**
 * Whether two versions of a JSON Schema can live beside each other: a log keeps what old writers wrote, and old readers
 * are still there when new writers begin. Judges the keywords that the registry's schemas have; where it cannot tell, it
 * says that something may be refused.
 *
 * Objects are open unless they say otherwise: readers here, and those outside by the promise of docs/kafka.md, pass by
 * what they do not know.
 */
import type { JsonSchema } from './json-schema.js';

const LOWER_BOUNDS = ['minimum', 'exclusiveMinimum', 'minLength', 'minItems', 'minProperties'];
const UPPER_BOUNDS = ['maximum', 'exclusiveMaximum', 'maxLength', 'maxItems', 'maxProperties'];
/** Restrict by their value: the same one, or none. */
const ALIKE = ['pattern', 'format', 'contentMediaType', 'contentEncoding', 'multipleOf', 'uniqueItems'];
const JUDGED: ReadonlySet<string> = new Set([
  ...LOWER_BOUNDS,
  ...UPPER_BOUNDS,
  ...ALIKE,
  ...['type', 'enum', 'const', 'anyOf', 'oneOf', 'not', 'required', 'properties', 'additionalProperties'],
  ...['propertyNames', 'items', 'prefixItems', 'contentSchema', 'default', 'x-extensible-enum'],
  ...['description', 'title', '$schema', '$id', '$comment'],
]);

/**
 * What a reader with one schema would refuse of what a writer with the other may write.
 *
 * @returns a sentence for each place; empty when every value that fits `written` fits `read`
 */
export function refusals(read: JsonSchema, written: JsonSchema, at = ''): readonly string[] {
  if (isNever(written) || isEqual(read, written)) return [];
  if (isNever(read)) return [`${place(at)} may not be there`];
  const writtenOptions = optionsOf(written);
  if (writtenOptions !== undefined) return writtenOptions.flatMap((option) => refusals(read, option, at));
  const readOptions = optionsOf(read);
  if (readOptions !== undefined) return refusalsOfOptions(readOptions, written, at);
  const types = refusedTypes(read, written, at);
  if (types.length > 0) return types;
  return [
    ...refusedValues(read, written, at),
    ...refusedBounds(read, written, at),
    ...refusedAlike(read, written, at),
    ...refusedProperties(read, written, at),
    ...refusedItems(read, written, at),
    ...Object.keys(read)
      .filter((keyword) => !JUDGED.has(keyword) && !isEqual(read[keyword], written[keyword]))
      .map((keyword) => `${place(at)} has the keyword ${keyword}, which cannot be judged`),
  ];
}

/** The fields, and the values of extensible enums, that the first schema has and the second has not. */
export function missingFields(before: JsonSchema, after: JsonSchema): readonly string[] {
  const left = new Set(fieldsOf(after));
  return [...new Set(fieldsOf(before))].filter((field) => !left.has(field));
}

function* fieldsOf(schema: JsonSchema, at = ''): Generator<string> {
  for (const option of optionsOf(schema) ?? []) {
    const kind = discriminatorOf(option);
    yield* fieldsOf(option, kind === undefined ? at : `${at}<${kind}>`);
  }
  for (const [name, part] of Object.entries(properties(schema))) {
    if (isNever(part)) continue;
    yield `${at}.${name}`;
    yield* fieldsOf(part, `${at}.${name}`);
  }
  for (const value of (schema['x-extensible-enum'] as readonly string[] | undefined) ?? []) yield `${at}=${value}`;
  const { items, prefixItems, additionalProperties, contentSchema } = schema;
  for (const inside of [items, additionalProperties, contentSchema]) {
    if (isSchema(inside)) yield* fieldsOf(inside, `${at}[]`);
  }
  for (const [i, item] of ((prefixItems as readonly JsonSchema[] | undefined) ?? []).entries()) {
    yield* fieldsOf(item, `${at}[${i}]`);
  }
}

/** One of them takes it, or the one that it is nearest to says why not. */
function refusalsOfOptions(options: readonly JsonSchema[], written: JsonSchema, at: string): readonly string[] {
  const kind = discriminatorOf(written);
  const named = options.filter((option) => kind !== undefined && discriminatorOf(option) === kind);
  const alike = named.length > 0 ? named : options.filter((option) => isEqual(option['type'], written['type']));
  const near = alike.length > 0 ? alike : options;
  const tried = near.map((option) => refusals(option, written, at));
  const nearest = tried.reduce((best, one) => (one.length < best.length ? one : best));
  if (nearest.length === 0 || near.length === 1) return nearest;
  return [`${place(at)} ${kind === undefined ? '' : `of the kind ${kind} `}fits none of the kinds that are known`];
}

/** The constant that tells an alternative from the others. */
function discriminatorOf(schema: JsonSchema): string | undefined {
  for (const name of ['type', 'kind', 'outcome']) {
    const value = properties(schema)[name]?.['const'];
    if (typeof value === 'string') return value;
  }
  return undefined;
}

function refusedTypes(read: JsonSchema, written: JsonSchema, at: string): readonly string[] {
  const readTypes = typesOf(read);
  if (readTypes === undefined) return [];
  const writtenTypes = typesOf(written);
  if (writtenTypes === undefined) return [`${place(at)} may be of any type, not only ${readTypes.join(' or ')}`];
  return writtenTypes
    .filter((type) => !readTypes.includes(type) && !(type === 'integer' && readTypes.includes('number')))
    .map((type) => `${place(at)} may be ${type}, not only ${readTypes.join(' or ')}`);
}

function refusedValues(read: JsonSchema, written: JsonSchema, at: string): readonly string[] {
  const known = valuesOf(read);
  if (known === undefined) return [];
  const used = valuesOf(written);
  if (used === undefined) return [`${place(at)} may have any value, not only ${known.join(', ')}`];
  const unknown = used.filter((value) => !known.includes(value));
  return unknown.length === 0 ? [] : [`${place(at)} may be ${unknown.join(', ')}`];
}

function refusedBounds(read: JsonSchema, written: JsonSchema, at: string): readonly string[] {
  const looser = (keyword: string, isWithin: (written: number, read: number) => boolean): boolean => {
    const bound = read[keyword];
    const of = written[keyword];
    if (typeof bound !== 'number' || valuesOf(written) !== undefined) return false;
    return typeof of !== 'number' || !isWithin(of, bound);
  };
  return [
    ...LOWER_BOUNDS.filter((keyword) => looser(keyword, (of, bound) => of >= bound)),
    ...UPPER_BOUNDS.filter((keyword) => looser(keyword, (of, bound) => of <= bound)),
  ].map((keyword) => `${place(at)} may be beyond its ${keyword} of ${String(read[keyword])}`);
}

function refusedAlike(read: JsonSchema, written: JsonSchema, at: string): readonly string[] {
  return ALIKE.filter((keyword) => {
    if (read[keyword] === undefined || isEqual(read[keyword], written[keyword])) return false;
    const values = valuesOf(written);
    const pattern = read[keyword];
    if (keyword !== 'pattern' || values === undefined || typeof pattern !== 'string') return true;
    const form = new RegExp(pattern, 'u');
    return !values.every((value) => typeof value === 'string' && form.test(value));
  }).map((keyword) => `${place(at)} has another ${keyword}`);
}

function refusedProperties(read: JsonSchema, written: JsonSchema, at: string): readonly string[] {
  const mine = properties(read);
  const theirs = properties(written);
  const needed = names(read, 'required').filter((name) => !names(written, 'required').includes(name));
  return [
    ...needed.map((name) => `${place(`${at}.${name}`)} may be absent`),
    ...Object.keys(theirs).flatMap((name) => refusals(mine[name] ?? rest(read), theirs[name]!, `${at}.${name}`)),
    ...refusals(rest(read), rest(written), `${at}.*`),
    ...refusals(inner(read, 'propertyNames'), inner(written, 'propertyNames'), `${at}.*`),
    ...refusals(inner(read, 'contentSchema'), inner(written, 'contentSchema'), `${at}:`),
  ];
}

function refusedItems(read: JsonSchema, written: JsonSchema, at: string): readonly string[] {
  const mine = (read['prefixItems'] as readonly JsonSchema[] | undefined) ?? [];
  const theirs = (written['prefixItems'] as readonly JsonSchema[] | undefined) ?? [];
  const length = Math.max(mine.length, theirs.length);
  return [
    ...Array.from({ length }, (_, i) =>
      refusals(mine[i] ?? inner(read, 'items'), theirs[i] ?? inner(written, 'items'), `${at}[${i}]`),
    ).flat(),
    ...refusals(inner(read, 'items'), inner(written, 'items'), `${at}[]`),
  ];
}

function optionsOf(schema: JsonSchema): readonly JsonSchema[] | undefined {
  return (schema['anyOf'] ?? schema['oneOf']) as readonly JsonSchema[] | undefined;
}

function typesOf(schema: JsonSchema): readonly string[] | undefined {
  const type = schema['type'];
  if (type === undefined) return undefined;
  return Array.isArray(type) ? (type as string[]) : [type as string];
}

function valuesOf(schema: JsonSchema): readonly unknown[] | undefined {
  if (schema['const'] !== undefined) return [schema['const']];
  return schema['enum'] as readonly unknown[] | undefined;
}

function properties(schema: JsonSchema): Readonly<Record<string, JsonSchema>> {
  return (schema['properties'] as Record<string, JsonSchema> | undefined) ?? {};
}

function names(schema: JsonSchema, keyword: string): readonly string[] {
  return (schema[keyword] as readonly string[] | undefined) ?? [];
}

/** Of properties that are not named. */
function rest(schema: JsonSchema): JsonSchema {
  return inner(schema, 'additionalProperties');
}

/** `true` and nothing take everything, `false` takes nothing. */
function inner(schema: JsonSchema, keyword: string): JsonSchema {
  const value = schema[keyword];
  if (value === false) return NEVER;
  return isSchema(value) ? value : {};
}

const NEVER: JsonSchema = { not: {} };

function isNever(schema: JsonSchema): boolean {
  return isEqual(schema['not'], {});
}

function isSchema(value: unknown): value is JsonSchema {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isEqual(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (Array.isArray(a) && Array.isArray(b)) return a.length === b.length && a.every((one, i) => isEqual(one, b[i]));
  if (!isSchema(a) || !isSchema(b)) return false;
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => isEqual(a[key], b[key]));
}

function place(at: string): string {
  return at === '' ? 'the value' : at.replace(/^\./, '');
}
