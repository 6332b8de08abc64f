/** What the OpenAPI document is put together from: bodies, answers, problems and the shapes that several calls share. */
import { z } from 'zod';
import { ROLES, type Role } from '#domain/identity.js';
import { OF_A_BODY, OF_EVERY_CALL, problemResponses, together, type Problems } from './openapi-problems.js';

export type Schema = Record<string, unknown>;

export function jsonSchema(schema: z.ZodType): Schema {
  const { $schema: _dialect, ...rest } = z.toJSONSchema(schema, { unrepresentable: 'any', io: 'input' });
  return rest;
}

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

/** Of a body: one of these fields, and no second one. */
export function exactlyOneOf(properties: Record<string, Schema>): Schema {
  return { properties, oneOf: Object.keys(properties).map((name) => ({ required: [name] })) };
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

export const faceChoice = {
  type: 'string',
  pattern: '^(\\d{1,3}|largest|central)$',
  description: 'Index of a returned box, `largest` or `central`',
};
const externalId = { type: 'string', pattern: '^[!-~]{1,128}$' };
/** As custody systems give them. */
export const imageIdField = externalId;
export const subjectIdField = externalId;

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
  { name: 'imageId', in: 'path', required: true, schema: externalId },
  { 400: ['BAD_IMAGE_ID'] },
);
export const subjectIdParameter = parameter(
  { name: 'subjectId', in: 'path', required: true, schema: externalId },
  { 400: ['BAD_SUBJECT_ID'] },
);
export const rankParameter = parameter({
  name: 'rank',
  in: 'path',
  required: true,
  schema: { type: 'integer', minimum: 1, maximum: 9999 },
});

export const object = (properties: Record<string, Schema>, optional: readonly string[] = []): Schema => ({
  type: 'object',
  properties,
  required: Object.keys(properties).filter((name) => !optional.includes(name)),
});
export const string = { type: 'string' };
export const number = { type: 'number' };
export const integer = { type: 'integer' };
export const boolean = { type: 'boolean' };
export const instant = { type: 'string', format: 'date-time' };
export const nullable = (schema: Schema): Schema => ({ anyOf: [schema, { type: 'null' }] });
export const arrayOf = (items: Schema): Schema => ({ type: 'array', items });
export const byPartition = {
  type: 'object',
  additionalProperties: integer,
  description: 'By template partition, exclusive offset',
};
export const box = object({ left: number, top: number, right: number, bottom: number });
/** Measures that old records lack are optional. */
export const faceQuality = object(
  {
    eyeDistancePx: number,
    embeddingNorm: number,
    detectionConfidence: number,
    yawDegrees: number,
    pitchDegrees: number,
    rollDegrees: number,
    sharpness: number,
    luminanceMean: number,
    underExposedShare: number,
    overExposedShare: number,
    warnings: arrayOf(string),
    advice: arrayOf({ type: 'string', description: 'A warning in words: what to do about it' }),
  },
  [
    'yawDegrees',
    'pitchDegrees',
    'rollDegrees',
    'sharpness',
    'luminanceMean',
    'underExposedShare',
    'overExposedShare',
    'advice',
  ],
);
export const detectedFace = object({ index: integer, box, confidence: number, quality: faceQuality }, ['quality']);
export const rotation = {
  type: 'integer',
  enum: [0, 90, 180, 270],
  description: 'Clockwise degrees by which the picture was turned, after its EXIF orientation, so as to be upright',
};
/** What boxes are given in. */
export const uprightPicture = object({ width: integer, height: integer, rotation });

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
