/** What the OpenAPI document is put together from: bodies, parameters, answers and problems. */
import type { z } from 'zod';
import { ROLES, type Role } from '#domain/identity.js';
import { imageIdField, jsonSchema, subjectIdField, type Schema } from './openapi-schemas.js';
import { OF_A_BODY, OF_EVERY_CALL, problemResponses, together, type Problems } from './openapi-problems.js';

/** A multipart form: the fields of `schema` and the picture. `described` replaces what a form can only hold as text. */
export function formBody(schema: z.ZodType, described: Record<string, Schema>, required: readonly string[]): Schema {
  const { properties, ...rest } = jsonSchema(schema);
  return {
    required: true,
    content: {
      'multipart/form-data': {
        schema: {
          ...rest,
          properties: { image: { type: 'string', format: 'binary' }, ...(properties as Schema), ...described },
          required: ['image', ...required],
        },
      },
    },
  };
}

/** @param more what the schema cannot say itself: fields are replaced, the rest is added */
export function jsonBody(schema: z.ZodType, more: Schema = {}): Schema {
  const described = jsonSchema(schema);
  const properties = { ...(described['properties'] as Schema), ...(more['properties'] as Schema | undefined) };
  const whole = 'properties' in described ? { ...described, ...more, properties } : described;
  return { required: true, content: { 'application/json': { schema: whole } } };
}

export function answer(description: string, schema: string, headers: Record<string, Schema> = {}): Schema {
  return {
    description,
    headers,
    content: { 'application/json': { schema: { $ref: `#/components/schemas/${schema}` } } },
  };
}

/** A parameter and the problems that it brings to every call that has it. */
export interface Parameter {
  readonly described: Schema;
  readonly problems: Problems;
}

export function parameter(described: Schema, problems: Problems = {}): Parameter {
  return { described, problems };
}

/** The fields of a query's schema, each a parameter. */
export function queryParameters(schema: z.ZodType): Parameter[] {
  const { properties, required = [] } = jsonSchema(schema) as {
    properties: Record<string, Schema>;
    required?: string[];
  };
  return Object.entries(properties).map(([name, one]) =>
    parameter({ name, in: 'query', required: required.includes(name), schema: one }),
  );
}

/** One call: who may make it, what it takes, and everything that it can answer. */
export function call(operation: {
  readonly operationId: string;
  readonly summary: string;
  readonly roles: readonly Role[];
  readonly parameters?: readonly Parameter[];
  readonly requestBody?: Schema;
  /** By status. */
  readonly answers: Record<string, Schema>;
  readonly problems?: readonly Problems[];
}): Schema {
  const { operationId, summary, roles, parameters = [], requestBody, answers, problems = [] } = operation;
  const all = [
    OF_EVERY_CALL,
    ...parameters.map((one) => one.problems),
    ...(requestBody ? [OF_A_BODY] : []),
    ...problems,
  ];
  return {
    operationId,
    summary,
    description: roles.length === ROLES.length ? 'For any role.' : `For the role ${roles.join(' or ')}.`,
    security: roles.map((role) => ({ bearer: [role] })),
    ...(parameters.length > 0 && { parameters: parameters.map(({ described }) => described) }),
    ...(requestBody && { requestBody }),
    responses: { ...answers, ...problemResponses(together(...all)) },
  };
}

export const searchIdParameter = parameter(
  {
    name: 'searchId',
    in: 'path',
    required: true,
    schema: { type: 'string', format: 'uuid', pattern: '^[0-9a-f-]{36}$' },
  },
  { 400: ['BAD_SEARCH_ID'], 404: ['SEARCH_NOT_FOUND'] },
);
export const imageIdParameter = parameter(
  { name: 'imageId', in: 'path', required: true, schema: imageIdField },
  { 400: ['BAD_IMAGE_ID'] },
);
export const subjectIdParameter = parameter(
  { name: 'subjectId', in: 'path', required: true, schema: subjectIdField },
  { 400: ['BAD_SUBJECT_ID'] },
);
export const rankParameter = parameter({
  name: 'rank',
  in: 'path',
  required: true,
  schema: { type: 'integer', minimum: 1, maximum: 9999 },
});

/** Of every POST. */
export const idempotencyKey = parameter(
  {
    name: 'Idempotency-Key',
    in: 'header',
    schema: { type: 'string', pattern: '^[ -~]{1,128}$' },
    description: 'The same request sent again under it is done once; another one is refused',
  },
  { 400: ['BAD_IDEMPOTENCY_KEY'], 422: ['IDEMPOTENCY_KEY_REUSED'] },
);
/** Of every call about searches. */
export const consistencyToken = parameter(
  {
    name: 'Consistency-Token',
    in: 'header',
    schema: { type: 'string', pattern: '^[A-Za-z0-9_-]+$' },
    description:
      'As a POST’s answer gave it in the header of this name: waits until this replica shows what that POST did',
  },
  { 400: ['BAD_CONSISTENCY_TOKEN'], 503: ['VIEW_BEHIND'] },
);
/** What a POST about a search hands out, to be sent with the next call. */
export const handsOutToken = {
  'Consistency-Token': { required: true, schema: { type: 'string', pattern: '^[A-Za-z0-9_-]+$' } },
};
export const locationOf = (what: string): Record<string, Schema> => ({
  Location: { description: what, required: true, schema: { type: 'string', format: 'uri-reference' } },
});
export const neverStored = {
  'Cache-Control': { required: true, schema: { type: 'string', const: 'no-store' } },
};
