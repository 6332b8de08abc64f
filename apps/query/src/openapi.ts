/**
 * The OpenAPI document of the query service, from the same schemas that the requests are checked with. Served at
 * `/openapi.json`, and for people at `/docs`.
 */
import type { NestExpressApplication } from '@nestjs/platform-express';
import { SwaggerModule, type OpenAPIObject } from '@nestjs/swagger';
import { z } from 'zod';
import { erasureFormSchema } from '#contracts/erasure-form.js';
import {
  chooseFaceSchema,
  operatorFormSchema,
  retrospectiveFormSchema,
  searchListSchema,
} from '#contracts/search-forms.js';
import { GROUNDS, OPERATOR_LIMIT_MAX } from '#domain/operator-search.js';
import { PROBE_SOURCES, RETROSPECTIVE_LIMIT_MAX, RETROSPECTIVE_MOVES } from '#domain/retrospective-search.js';

type Schema = Record<string, unknown>;

function jsonSchema(schema: z.ZodType): Schema {
  const { $schema: _dialect, ...rest } = z.toJSONSchema(schema, { unrepresentable: 'any', io: 'input' });
  return rest;
}

/** A multipart form: the fields of `schema` and the picture. `described` replaces what a form can only hold as text. */
function formBody(schema: z.ZodType, described: Record<string, Schema>, required: readonly string[]): Schema {
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

function jsonBody(schema: z.ZodType): Schema {
  return { required: true, content: { 'application/json': { schema: jsonSchema(schema) } } };
}

function answer(description: string, schema: string): Schema {
  return { description, content: { 'application/json': { schema: { $ref: `#/components/schemas/${schema}` } } } };
}

const PROBLEMS: Record<string, string> = {
  400: 'A rule of the request is broken; the code says which',
  401: 'TOKEN_REQUIRED or TOKEN_INVALID',
  403: 'ROLE_NOT_ALLOWED or NOT_YOUR_SEARCH',
  404: 'NOT_FOUND or SEARCH_NOT_FOUND',
  409: 'VERSION_CONFLICT or ILLEGAL_MOVE',
  413: 'IMAGE_TOO_LARGE or REQUEST_TOO_LARGE',
  415: 'IMAGE_FORMAT_UNSUPPORTED',
  422: 'The image or its faces cannot be used: IMAGE_EMPTY, IMAGE_UNREADABLE, NO_FACE, MULTIPLE_FACES, …',
  429: 'ENGINE_BUSY: try again shortly',
  500: 'INTERNAL',
  503: 'Kafka, the audit log or the gallery is away: nothing was searched or shown; try again',
};

function responses(success: Record<string, Schema>, problems: readonly number[]): Schema {
  const refused = [400, 401, 403, 500, 503, ...problems].sort((a, b) => a - b);
  return {
    ...success,
    ...Object.fromEntries(
      refused.map((status) => [
        status,
        {
          description: PROBLEMS[status],
          content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
        },
      ]),
    ),
  };
}

const OF_A_PROBE = [413, 415, 422, 429];
const faceChoice = { type: 'string', description: 'Index of a returned box, `largest` or `central`' };
const searchIdParameter = { name: 'searchId', in: 'path', required: true, schema: { type: 'string', format: 'uuid' } };

export function openApiDocument(version: string): OpenAPIObject {
  const list = jsonSchema(searchListSchema)['properties'] as Record<string, Schema>;
  const document = {
    openapi: '3.1.0',
    info: {
      title: 'Custody Face Search: query service',
      version,
      description: 'Possible matches for a person to review. A candidate is never an identification.',
    },
    security: [{ bearer: [] }],
    paths: {
      '/v1/searches/operator': {
        post: {
          operationId: 'operatorSearch',
          summary: 'Operator-initiated search (role officer). Nothing of the probe is kept',
          requestBody: formBody(
            operatorFormSchema,
            {
              grounds: { type: 'string', enum: GROUNDS },
              identityUnconfirmed: { type: 'string', enum: ['true'] },
              face: faceChoice,
              limit: { type: 'integer', minimum: 1, maximum: OPERATOR_LIMIT_MAX },
            },
            ['grounds', 'justification', 'identityUnconfirmed'],
          ),
          responses: responses(
            { 200: answer('The candidates at or above the threshold, and no others', 'SearchAnswer') },
            OF_A_PROBE,
          ),
        },
      },
      '/v1/searches/retrospective': {
        post: {
          operationId: 'retrospectiveSearch',
          summary: 'Retrospective search (role operator). Accepted; Location says where its state is',
          requestBody: formBody(
            retrospectiveFormSchema,
            {
              source: { type: 'string', enum: PROBE_SOURCES },
              face: faceChoice,
              filter: {
                type: 'string',
                description: 'JSON: force, capturedFrom, capturedTo, sex, ageBand, excludeImageIds',
              },
              limit: { type: 'integer', minimum: 1, maximum: RETROSPECTIVE_LIMIT_MAX },
            },
            ['crimeReference', 'offence', 'source', 'justification', 'investigatingOfficer'],
          ),
          responses: responses({ 202: answer('The search as it is now', 'Search') }, OF_A_PROBE),
        },
      },
      '/v1/searches': {
        get: {
          operationId: 'listSearches',
          summary: 'Searches, newest first (operators: retrospective ones and their own; others: their own)',
          parameters: Object.entries(list).map(([name, schema]) => ({ name, in: 'query', schema })),
          responses: responses({ 200: answer('A page', 'SearchPage') }, []),
        },
      },
      '/v1/searches/{searchId}': {
        get: {
          operationId: 'getSearch',
          summary: 'One search with its state and candidates',
          parameters: [searchIdParameter],
          responses: responses({ 200: answer('The search', 'Search') }, [404]),
        },
      },
      '/v1/searches/{searchId}/face': {
        post: {
          operationId: 'chooseFace',
          summary: 'Say which face of the probe is meant (role operator, in AWAITING_FACE)',
          parameters: [searchIdParameter],
          requestBody: jsonBody(chooseFaceSchema),
          responses: responses({ 200: answer('The search', 'Search') }, [404, 409]),
        },
      },
      '/v1/erasures': {
        post: {
          operationId: 'requestErasure',
          summary: 'Ask for the erasure of a custody image (role data-protection)',
          requestBody: jsonBody(erasureFormSchema),
          responses: responses({ 202: answer('In the log', 'ErasureAccepted') }, []),
        },
      },
      '/v1/galleries': {
        get: {
          operationId: 'listGalleries',
          summary: 'Model, size, watermark, shards and replicas, as the shards themselves say',
          responses: responses({ 200: answer('The galleries', 'Galleries') }, []),
        },
      },
    },
    components: { securitySchemes: { bearer: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' } }, schemas },
  };
  return document as unknown as OpenAPIObject;
}

const object = (properties: Record<string, Schema>, optional: readonly string[] = []): Schema => ({
  type: 'object',
  properties,
  required: Object.keys(properties).filter((name) => !optional.includes(name)),
});
const string = { type: 'string' };
const number = { type: 'number' };
const integer = { type: 'integer' };
const boolean = { type: 'boolean' };
const instant = { type: 'string', format: 'date-time' };
const nullable = (schema: Schema): Schema => ({ anyOf: [schema, { type: 'null' }] });
const arrayOf = (items: Schema): Schema => ({ type: 'array', items });
const byPartition = {
  type: 'object',
  additionalProperties: integer,
  description: 'By template partition, exclusive offset',
};
const box = object({ left: number, top: number, right: number, bottom: number });
const detectedFace = object({ index: integer, box, confidence: number });

const candidate = object({
  rank: integer,
  score: number,
  aboveThreshold: boolean,
  subjectId: string,
  imageId: string,
  force: nullable(string),
  custodyReference: nullable(string),
  capturedAt: nullable(string),
});
const withdrawn = object({ rank: integer, withdrawn: { type: 'boolean', const: true } });

function searchAnswer(candidates: Schema): Record<string, Schema> {
  return {
    searchId: string,
    kind: { type: 'string', enum: ['operator', 'retrospective'] },
    completedAt: instant,
    complete: { type: 'boolean', description: 'False when a part of the gallery was not searched' },
    gallery: object({
      modelId: string,
      enrolled: integer,
      watermark: byPartition,
      partitionsAnswered: integer,
      partitionsTotal: integer,
      partitionsMissing: arrayOf(integer),
      partitionsStale: arrayOf(integer),
    }),
    mode: { type: 'string', enum: ['exact', 'approximate'] },
    threshold: object({ version: integer, score: number, evaluated: boolean }),
    probe: object({
      quality: object({
        eyeDistancePx: number,
        embeddingNorm: number,
        detectionConfidence: number,
        warnings: arrayOf(string),
      }),
      faceBox: box,
      facesFound: integer,
    }),
    candidates,
  };
}

const schemas: Record<string, Schema> = {
  SearchAnswer: object({ ...searchAnswer(arrayOf(candidate)), statement: string }),
  Search: object({
    searchId: string,
    kind: { type: 'string', enum: ['operator', 'retrospective'] },
    state: { type: 'string', enum: ['ANSWERED', 'QUEUED', 'REFUSED', ...Object.keys(RETROSPECTIVE_MOVES)] },
    version: integer,
    receivedAt: instant,
    updatedAt: instant,
    by: string,
    request: nullable({ type: 'object' }),
    faces: nullable(arrayOf(detectedFace)),
    failure: nullable(object({ code: string, detail: string })),
    answer: nullable(object(searchAnswer(arrayOf({ anyOf: [candidate, withdrawn] })))),
  }),
  SearchPage: object({
    searches: arrayOf(
      object({
        searchId: string,
        kind: string,
        state: string,
        version: integer,
        by: string,
        receivedAt: instant,
        updatedAt: instant,
      }),
    ),
    nextCursor: nullable(string),
  }),
  ErasureAccepted: object({
    erasureId: string,
    imageId: string,
    source: object({ partition: integer, offset: integer }),
  }),
  Galleries: object({
    galleries: arrayOf(
      object({
        modelId: string,
        model: object({
          name: string,
          version: string,
          licence: string,
          licenceHolder: string,
          evaluationOnly: boolean,
          note: string,
        }),
        enrolled: integer,
        complete: boolean,
        partitionsTotal: integer,
        partitionsMissing: arrayOf(integer),
        watermark: byPartition,
        replicas: arrayOf(
          object({
            replicaId: string,
            coverage: arrayOf(object({ partition: integer, watermark: integer, enrolled: integer, behindMs: number })),
          }),
        ),
      }),
    ),
  }),
  Problem: object(
    {
      type: string,
      title: string,
      status: integer,
      code: string,
      detail: string,
      retryable: boolean,
      details: { type: 'object' },
    },
    ['details'],
  ),
};

/** `/docs` for people, `/openapi.json` for programs; neither needs a token. */
export function serveOpenApi(app: NestExpressApplication): void {
  SwaggerModule.setup('docs', app, openApiDocument('1'), { jsonDocumentUrl: 'openapi.json' });
}
