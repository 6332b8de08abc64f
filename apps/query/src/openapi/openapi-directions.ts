/** The calls with which data-protection staff say what shall be done with custody images. All for that role alone. */
import { directionFormSchema, directionListSchema, liftFormSchema } from '#contracts/direction-forms.js';
import { approvalFormSchema, erasureFormSchema, ERASED_IMAGES_MAX } from '#contracts/erasure-form.js';
import type { Role } from '#domain/identity.js';
import { answer, call, idempotencyKey, jsonBody, parameter, queryParameters } from './openapi-parts.js';
import {
  arrayOf,
  boolean,
  exactlyOneOf,
  imageIdField,
  instant,
  integer,
  nullable,
  object,
  string,
  subjectIdField,
  type Schema,
} from './openapi-schemas.js';
import { AUDITED, OF_DIRECTIONS, WRITTEN, type Problems } from './openapi-problems.js';

const roles: readonly Role[] = ['data-protection'];
/** By the name of the store: since when it holds nothing of the image; null while it may. */
const destroyed: Schema = { type: 'object', additionalProperties: nullable(instant) };
const directionParameter = parameter(
  { name: 'directionId', in: 'path', required: true, schema: string },
  { 404: ['DIRECTION_NOT_FOUND'] },
);
const erasureParameter = parameter(
  { name: 'erasureId', in: 'path', required: true, schema: string },
  { 404: ['ERASURE_NOT_FOUND'] },
);
const OF_IDS: Problems = { 400: ['BAD_IMAGE_ID', 'BAD_SUBJECT_ID'] };

function directionPaths(path: string, what: string, does: string): Record<string, Schema> {
  return {
    [`/v1/${path}`]: {
      post: call({
        operationId: `give${what}`,
        summary: `${does}. Exactly one of imageId and subjectId`,
        roles,
        parameters: [idempotencyKey],
        requestBody: jsonBody(directionFormSchema, exactlyOneOf({ imageId: imageIdField, subjectId: subjectIdField })),
        answers: { 201: answer('In force', 'Direction') },
        problems: [WRITTEN, OF_DIRECTIONS, OF_IDS],
      }),
      get: call({
        operationId: `list${what}s`,
        summary: 'Those in force, newest first',
        roles,
        parameters: queryParameters(directionListSchema),
        answers: { 200: answer('A page', 'DirectionPage') },
        problems: [AUDITED, OF_IDS, { 400: ['BAD_CURSOR'] }],
      }),
    },
    [`/v1/${path}/{directionId}`]: {
      get: call({
        operationId: `get${what}`,
        summary: 'One that is in force',
        roles,
        parameters: [directionParameter],
        answers: { 200: answer('As it is now', 'Direction') },
        problems: [AUDITED],
      }),
      delete: call({
        operationId: `lift${what}`,
        summary: 'Lift it. Why: in the query, or in a JSON body',
        roles,
        parameters: [directionParameter, ...queryParameters(liftFormSchema)],
        answers: { 200: answer('Lifted', 'LiftedDirection') },
        problems: [WRITTEN, OF_DIRECTIONS],
      }),
    },
  };
}

export const directionsPaths: Record<string, Schema> = {
  ...directionPaths('restrictions', 'Restriction', 'Keep images, and leave them out of searches'),
  ...directionPaths('retirements', 'Retirement', 'Search images no longer, and keep them until they are erased'),
  ...directionPaths('evidence-holds', 'EvidenceHold', 'Forbid the erasure of images'),
  '/v1/erasures': {
    post: call({
      operationId: 'requestErasure',
      summary: `Erase custody images: exactly one of imageId, imageIds (at most ${ERASED_IMAGES_MAX}) and subjectId. What is held is restricted instead; many images, or several people’s, wait for a second person`,
      roles,
      parameters: [idempotencyKey],
      requestBody: jsonBody(
        erasureFormSchema,
        exactlyOneOf({
          imageId: imageIdField,
          imageIds: { type: 'array', items: imageIdField, minItems: 1, maxItems: ERASED_IMAGES_MAX },
          subjectId: subjectIdField,
        }),
      ),
      answers: { 202: answer('In the log', 'Erasure') },
      problems: [WRITTEN, OF_DIRECTIONS, OF_IDS, { 400: ['TOO_MANY_IMAGES'], 404: ['SUBJECT_NOT_HELD'] }],
    }),
    get: call({
      operationId: 'listOpenErasures',
      summary:
        'Those that wait for a second person, and the images that are erased and not destroyed in every store yet; the oldest first',
      roles,
      answers: { 200: { description: 'All of them', content: { 'application/json': { schema: erasureList() } } } },
      problems: [AUDITED],
    }),
  },
  '/v1/erasures/{erasureId}': {
    get: call({
      operationId: 'getErasure',
      summary: 'How far it has come, image by image and store by store',
      roles,
      parameters: [erasureParameter],
      answers: { 200: answer('The erasure and its receipt', 'Erasure') },
      problems: [AUDITED],
    }),
  },
  '/v1/erasures/{erasureId}/approval': {
    post: call({
      operationId: 'approveErasure',
      summary: 'The second person’s approval (not of the person who asked)',
      roles,
      parameters: [erasureParameter],
      requestBody: jsonBody(approvalFormSchema),
      answers: { 202: answer('Decided, and in the log', 'Erasure') },
      problems: [WRITTEN, OF_DIRECTIONS, { 409: ['APPROVER_NOT_DISTINCT', 'ERASURE_ALREADY_DECIDED'] }],
    }),
  },
};

function erasureList(): Schema {
  return object({
    erasures: arrayOf({ $ref: '#/components/schemas/Erasure' }),
    notDestroyed: arrayOf(object({ imageId: string, erasedAt: instant, late: boolean, destroyed })),
  });
}

const place = nullable(object({ partition: integer, offset: integer }));
const directionKind = { type: 'string', enum: ['restriction', 'retirement', 'evidence-hold'] };
const directedImages = arrayOf(
  object({ imageId: string, held: boolean, searchable: boolean, erasedBy: arrayOf(string) }),
);
const direction = object({
  directionId: string,
  kind: directionKind,
  imageId: nullable(string),
  subjectId: nullable(string),
  authority: string,
  reason: string,
  by: string,
  at: instant,
  insteadOf: nullable(string),
  images: directedImages,
  statement: string,
});

export const directionsSchemas: Record<string, Schema> = {
  Direction: direction,
  DirectionPage: object({ directions: arrayOf(direction), nextCursor: nullable(string) }),
  LiftedDirection: object({
    directionId: string,
    kind: directionKind,
    lifted: { type: 'boolean', const: true },
    images: directedImages,
    statement: string,
  }),
  Erasure: object({
    erasureId: string,
    state: { type: 'string', enum: ['AWAITING_APPROVAL', 'CARRYING_OUT', 'DONE'] },
    subjectId: nullable(string),
    authority: string,
    reason: string,
    by: string,
    at: instant,
    approvedBy: nullable(string),
    approvedAt: nullable(instant),
    images: arrayOf(
      object({
        imageId: string,
        outcome: { type: 'string', enum: ['awaiting-approval', 'erasing', 'erased', 'restricted-instead'] },
        heldBy: arrayOf(
          object({ directionId: string, kind: { type: 'string', enum: ['evidence-hold', 'open-search'] } }),
        ),
        restrictionId: nullable(string),
        source: place,
        receipt: object({ disposition: place, tombstone: place, imageStoreEmptiedAt: nullable(instant) }),
        destroyed,
        destroyedAt: nullable(instant),
      }),
    ),
    late: boolean,
    statement: string,
  }),
};
