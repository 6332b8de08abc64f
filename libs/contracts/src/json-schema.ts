/** JSON Schemas of the messages, from the schemas that check them. */
import { z } from 'zod';

export type JsonSchema = { readonly [keyword: string]: unknown };

/** Of what the schema takes, without naming the draft: for a place inside another schema. */
export function jsonSchemaOf(schema: z.ZodType, target: 'draft-2020-12' | 'draft-7' = 'draft-2020-12'): JsonSchema {
  const { $schema: _draft, ...rest } = z.toJSONSchema(schema, { io: 'input', target });
  return rest;
}

/** Keywords that are for people alone. */
const WORDS: ReadonlySet<string> = new Set(['description', 'title', '$comment', 'examples']);
/** Keywords below which the keys are names, not keywords. */
const NAMED: ReadonlySet<string> = new Set(['properties', 'patternProperties', '$defs']);

/** The same without what is for people alone. */
export function withoutWords(schema: JsonSchema): JsonSchema {
  return Object.fromEntries(
    Object.entries(schema).flatMap(([keyword, value]) => {
      if (WORDS.has(keyword)) return [];
      if (!NAMED.has(keyword)) return [[keyword, stripped(value)]];
      return [[keyword, Object.fromEntries(Object.entries(value as JsonSchema).map(([n, s]) => [n, stripped(s)]))]];
    }),
  );
}

function stripped(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(stripped);
  return typeof value === 'object' && value !== null ? withoutWords(value as JsonSchema) : value;
}
