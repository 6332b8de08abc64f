/** The calls about searches, except the decisions of the review. */
import { galleryFilterSchema } from '#contracts/record-schemas.js';
import {
  operatorFormSchema,
  outcomeFormSchema,
  retentionEndFormSchema,
  retrospectiveFormSchema,
  searchListSchema,
} from '#contracts/search-forms.js';
import {
  GROUNDS,
  JUSTIFICATION_LENGTH_MAX,
  JUSTIFICATION_LENGTH_MIN,
  OPERATOR_LIMIT_MAX,
} from '#domain/operator-search.js';
import { PROBE_SOURCES, REFERENCE_LENGTH_MAX, RETROSPECTIVE_LIMIT_MAX } from '#domain/retrospective-request.js';
import { RETROSPECTIVE_MOVES } from '#domain/retrospective-search.js';
import type { ImageFormat } from '#face/image-format.js';
import {
  answer,
  call,
  consistencyToken,
  formBody,
  handsOutToken,
  idempotencyKey,
  jsonBody,
  locationOf,
  neverStored,
  queryParameters,
  rankParameter,
  searchIdParameter,
} from './openapi-parts.js';
import {
  arrayOf,
  boolean,
  box,
  byPartition,
  detectedFace,
  faceChoice,
  faceQuality,
  instant,
  integer,
  jsonSchema,
  nullable,
  number,
  object,
  rotation,
  string,
  uprightPicture,
  type Schema,
} from './openapi-schemas.js';
import { appliedThreshold } from './openapi-governance.js';
import {
  AUDITED,
  OF_A_JUSTIFICATION,
  OF_A_PICTURE,
  OF_ADMISSION,
  OF_DIRECTIONS,
  OF_THE_PIPELINE,
  WRITTEN,
} from './openapi-problems.js';

const justification = {
  type: 'string',
  minLength: JUSTIFICATION_LENGTH_MIN,
  maxLength: JUSTIFICATION_LENGTH_MAX,
  description: 'In words that somebody can check later; no placeholder, not one word only',
};
const FORMATS: readonly ImageFormat[] = ['jpeg', 'png', 'webp', 'tiff', 'gif', 'avif'];
const reference = { type: 'string', minLength: 1, maxLength: REFERENCE_LENGTH_MAX };

function picture(...contentTypes: readonly string[]): Schema {
  return {
    description: 'The picture; never stored by a cache',
    headers: { ...neverStored, 'X-Content-Type-Options': { required: true, schema: { const: 'nosniff' } } },
    content: Object.fromEntries(
      contentTypes.map((contentType) => [contentType, { schema: { type: 'string', format: 'binary' } }]),
    ),
  };
}

export const searchPaths: Record<string, Schema> = {
  '/v1/searches/operator': {
    post: call({
      operationId: 'operatorSearch',
      summary: 'Operator-initiated search. Nothing of the probe is kept',
      roles: ['officer'],
      parameters: [idempotencyKey],
      requestBody: formBody(
        operatorFormSchema,
        {
          grounds: { type: 'string', enum: GROUNDS },
          justification,
          identityUnconfirmed: {
            type: 'string',
            enum: ['true'],
            description: 'The statement that identity is not confirmed by other means',
          },
          deviceId: { type: 'string', minLength: 1, maxLength: 128 },
          face: faceChoice,
          limit: { type: 'integer', minimum: 1, maximum: OPERATOR_LIMIT_MAX },
        },
        ['grounds', 'justification', 'identityUnconfirmed', 'deviceId'],
      ),
      answers: {
        200: answer('The candidates at or above the threshold, and no others', 'SearchAnswer', handsOutToken),
      },
      problems: [
        WRITTEN,
        OF_ADMISSION,
        OF_A_PICTURE,
        OF_THE_PIPELINE,
        OF_A_JUSTIFICATION,
        {
          400: [
            'GROUNDS_REQUIRED',
            'GROUNDS_UNKNOWN',
            'IDENTITY_NOT_STATED_UNCONFIRMED',
            'DEVICE_REQUIRED',
            'BAD_FACE_CHOICE',
            'BAD_LIMIT',
          ],
          503: ['VIEW_BEHIND'],
        },
      ],
    }),
  },
  '/v1/searches/retrospective': {
    post: call({
      operationId: 'retrospectiveSearch',
      summary: 'Retrospective search. Accepted; Location says where its state is',
      roles: ['operator'],
      parameters: [idempotencyKey],
      requestBody: formBody(
        retrospectiveFormSchema,
        {
          crimeReference: reference,
          offence: reference,
          source: { type: 'string', enum: PROBE_SOURCES },
          justification,
          investigatingOfficer: { ...reference, description: 'Another person than who asks' },
          face: faceChoice,
          filter: {
            type: 'string',
            contentMediaType: 'application/json',
            contentSchema: { $ref: '#/components/schemas/GalleryFilter' },
            description: 'JSON: force, capturedFrom, capturedTo, sex, ageBand, excludeImageIds',
          },
          limit: { type: 'integer', minimum: 1, maximum: RETROSPECTIVE_LIMIT_MAX },
        },
        ['crimeReference', 'offence', 'source', 'justification', 'investigatingOfficer'],
      ),
      answers: {
        202: answer('The search as it is now', 'Search', { ...handsOutToken, ...locationOf('The search') }),
      },
      problems: [
        WRITTEN,
        OF_ADMISSION,
        OF_A_PICTURE,
        OF_A_JUSTIFICATION,
        {
          400: [
            'FIELD_REQUIRED',
            'FIELD_TOO_LONG',
            'PROBE_SOURCE_UNKNOWN',
            'REVIEWERS_NOT_DISTINCT',
            'BAD_FACE_CHOICE',
            'BAD_LIMIT',
            'RECORD_NOT_JSON',
            'RECORD_SCHEMA',
          ],
        },
      ],
    }),
  },
  '/v1/searches': {
    get: call({
      operationId: 'listSearches',
      summary:
        'Searches, newest first (auditor: all; operator: the retrospective ones; investigating-officer: where they are named; officer: their own)',
      roles: ['operator', 'officer', 'investigating-officer', 'auditor'],
      parameters: [...queryParameters(searchListSchema), consistencyToken],
      answers: { 200: answer('A page', 'SearchPage') },
      problems: [AUDITED, { 400: ['BAD_CURSOR', 'BAD_LIMIT'] }],
    }),
  },
  '/v1/searches/{searchId}': {
    get: call({
      operationId: 'getSearch',
      summary: 'One search with its state and candidates',
      roles: ['operator', 'officer', 'investigating-officer'],
      parameters: [searchIdParameter, consistencyToken],
      answers: { 200: answer('The search', 'Search') },
      problems: [AUDITED, { 403: ['NOT_YOUR_SEARCH'] }],
    }),
  },
  '/v1/searches/{searchId}/outcome': {
    post: call({
      operationId: 'recordOutcome',
      summary: 'What came of an operator-initiated search, once (the officer who made it)',
      roles: ['officer'],
      parameters: [searchIdParameter, idempotencyKey, consistencyToken],
      requestBody: jsonBody(outcomeFormSchema),
      answers: { 200: answer('The search', 'Search', handsOutToken) },
      problems: [
        WRITTEN,
        {
          400: ['NOTES_REQUIRED'],
          403: ['NOT_YOUR_SEARCH'],
          404: ['CANDIDATE_NOT_FOUND'],
          409: ['OUTCOME_ALREADY_RECORDED', 'VERSION_CONFLICT'],
          410: ['CANDIDATE_WITHDRAWN'],
        },
      ],
    }),
  },
  '/v1/searches/{searchId}/probe': {
    get: call({
      operationId: 'getProbe',
      summary: 'The probe of a retrospective search, as it was sent (operators and the named officer)',
      roles: ['operator', 'officer', 'investigating-officer'],
      parameters: [searchIdParameter, consistencyToken],
      answers: { 200: picture(...FORMATS.map((format) => `image/${format}`)) },
      problems: [AUDITED, { 403: ['NOT_YOUR_SEARCH'], 410: ['PROBE_GONE'] }],
    }),
  },
  '/v1/searches/{searchId}/candidates/{rank}/image': {
    get: call({
      operationId: 'getCandidateImage',
      summary: 'The custody photograph of a candidate (whoever may see the search)',
      roles: ['operator', 'officer', 'investigating-officer'],
      parameters: [searchIdParameter, rankParameter, consistencyToken],
      answers: { 200: picture('image/jpeg') },
      problems: [
        AUDITED,
        {
          403: ['NOT_YOUR_SEARCH'],
          404: ['CANDIDATE_NOT_FOUND'],
          410: ['CANDIDATE_WITHDRAWN', 'CANDIDATE_IMAGE_GONE'],
        },
      ],
    }),
  },
  '/v1/searches/{searchId}/retention-end': {
    post: call({
      operationId: 'endRetention',
      summary: 'Destroy the record of a closed search when proceedings have ended. Asked again: 404',
      roles: ['data-protection'],
      parameters: [searchIdParameter, consistencyToken],
      requestBody: jsonBody(retentionEndFormSchema),
      answers: { 200: answer('Forgotten', 'RetentionEnded') },
      problems: [
        WRITTEN,
        OF_DIRECTIONS,
        {
          400: ['PROCEEDINGS_NOT_STATED_ENDED'],
          409: ['SEARCH_NOT_CLOSED', 'SEARCH_TOO_RECENT'],
          503: ['VIEW_BEHIND'],
        },
      ],
    }),
  },
};

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
    complete: { type: 'boolean', description: 'False when a part of the gallery, or an image of it, was not searched' },
    gallery: object({
      modelId: string,
      enrolled: integer,
      watermark: byPartition,
      partitionsAnswered: integer,
      partitionsTotal: integer,
      partitionsMissing: arrayOf(integer),
      partitionsStale: arrayOf(integer),
      partitionsIncomplete: arrayOf(integer),
      unusable: integer,
    }),
    mode: { type: 'string', enum: ['exact', 'approximate'] },
    threshold: appliedThreshold,
    probe: object(
      {
        quality: faceQuality,
        faceBox: box,
        facesFound: integer,
        rotation,
      },
      // Of searches from before pictures were judged.
      ['rotation'],
    ),
    candidates,
  };
}

export const searchSchemas: Record<string, Schema> = {
  GalleryFilter: jsonSchema(galleryFilterSchema),
  SearchAnswer: object({
    ...searchAnswer(arrayOf({ anyOf: [candidate, withdrawn] })),
    version: integer,
    statement: string,
  }),
  Search: object({
    searchId: string,
    kind: { type: 'string', enum: ['operator', 'retrospective'] },
    state: {
      type: 'string',
      enum: ['ANSWERED', 'OUTCOME_RECORDED', 'QUEUED', 'REFUSED', ...Object.keys(RETROSPECTIVE_MOVES)],
    },
    version: integer,
    receivedAt: instant,
    updatedAt: instant,
    by: string,
    request: nullable({ type: 'object' }),
    faces: nullable(arrayOf(detectedFace)),
    picture: nullable(uprightPicture),
    failure: nullable(object({ code: string, detail: string })),
    answer: nullable(object(searchAnswer(arrayOf({ anyOf: [candidate, withdrawn] })))),
    review: nullable(
      object({
        rules: object({ version: integer, peerReview: boolean }),
        operators: arrayOf(string),
        partialReview: boolean,
        viewings: arrayOf(object({ rank: integer, by: string, at: instant })),
        withdrawals: arrayOf(object({ rank: integer, reason: string, at: instant })),
        decisions: arrayOf({ type: 'object', description: 'Stage, outcome, who, when, and the reasons in words' }),
        history: arrayOf({ type: 'object', description: 'Version, type, who and when of each event' }),
      }),
    ),
    outcome: nullable(
      object({
        at: instant,
        by: string,
        commandId: string,
        rank: nullable(integer),
        notes: nullable(string),
        subjectId: nullable(string),
        imageId: nullable(string),
      }),
    ),
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
        investigatingOfficer: nullable(string),
        crimeReference: nullable(string),
        grounds: nullable(string),
        outcome: nullable({ type: 'string', enum: ['missing', 'confirmed', 'none'] }),
      }),
    ),
    nextCursor: nullable(string),
  }),
  RetentionEnded: object({ searchId: string, eventsForgotten: integer }),
};
