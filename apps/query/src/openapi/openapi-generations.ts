/** The calls with which the gallery of another model is looked at, switched to, and ended. */
import {
  galleryRetirementFormSchema,
  gallerySwitchFormSchema,
  lackingPageSchema,
  reasonFormSchema,
} from '#contracts/governance-forms.js';
import { answer, call, idempotencyKey, jsonBody, parameter, queryParameters } from './openapi-parts.js';
import { arrayOf, instant, integer, nullable, object, string, type Schema } from './openapi-schemas.js';
import { AUDITED, OF_GOVERNANCE, together } from './openapi-problems.js';

const modelId = { type: 'string', pattern: '^[0-9a-f]{16}$' };
const modelParameter = parameter(
  { name: 'modelId', in: 'path', required: true, schema: modelId },
  { 400: ['BAD_MODEL_ID'] },
);

export const generationPaths: Record<string, Schema> = {
  '/v1/galleries/{modelId}/lacking': {
    get: call({
      operationId: 'listLackingImages',
      summary: 'The images that the gallery of a model lacks and another has, and why; the listing is audited',
      roles: ['threshold-approver', 'data-protection', 'auditor'],
      parameters: [modelParameter, ...queryParameters(lackingPageSchema)],
      answers: { 200: answer('By imageId', 'LackingImages') },
      problems: [AUDITED],
    }),
  },
  '/v1/gallery-switches': {
    post: call({
      operationId: 'switchGallery',
      summary: 'Search the gallery of this model from now on, on every replica; the same call switches back',
      roles: ['threshold-approver'],
      parameters: [idempotencyKey],
      requestBody: jsonBody(gallerySwitchFormSchema),
      answers: { 201: answer('In force', 'GallerySwitch') },
      problems: [
        together(OF_GOVERNANCE, { 503: ['MODEL_NOT_LOADED'] }),
        {
          403: ['MODEL_NOT_APPROVED'],
          404: ['GALLERY_NOT_FOUND'],
          409: [
            'GALLERY_BEHIND',
            'GALLERY_IN_FORCE',
            'GALLERY_LACKS_IMAGES',
            'GALLERY_RETIRED_BEFORE',
            'GALLERY_SWITCHED_MEANWHILE',
          ],
          500: ['THRESHOLD_MISSING'],
        },
      ],
    }),
  },
  '/v1/gallery-retirements': {
    post: call({
      operationId: 'retireGallery',
      summary: 'Decide that a gallery that is not in force is to be destroyed; nobody can switch to it any more',
      roles: ['threshold-approver'],
      parameters: [idempotencyKey],
      requestBody: jsonBody(galleryRetirementFormSchema),
      answers: { 201: answer('Retired', 'GalleryRetirement') },
      problems: [
        OF_GOVERNANCE,
        {
          404: ['GALLERY_NOT_FOUND'],
          409: ['GALLERY_IN_FORCE', 'GALLERY_LACKS_IMAGES', 'GALLERY_RETIRED_BEFORE'],
        },
      ],
    }),
  },
  '/v1/gallery-retirements/{modelId}': {
    get: call({
      operationId: 'readGalleryRetirement',
      summary: 'Who decided it, and what is in the way of its destruction',
      roles: ['threshold-approver', 'data-protection', 'auditor'],
      parameters: [modelParameter],
      answers: { 200: answer('To be destroyed', 'GalleryRetirementState') },
      problems: [{ 409: ['GALLERY_NOT_RETIRED'], 503: ['KAFKA_UNAVAILABLE'] }],
    }),
  },
  '/v1/gallery-retirements/{modelId}/destruction': {
    post: call({
      operationId: 'destroyGallery',
      summary: 'Delete the log of a retired gallery that nothing reads or holds any more; no erasure waits for it then',
      roles: ['data-protection'],
      parameters: [modelParameter, idempotencyKey],
      requestBody: jsonBody(reasonFormSchema),
      answers: { 200: answer('Destroyed', 'GalleryRetirement') },
      problems: [OF_GOVERNANCE, { 409: ['GALLERY_BEHIND', 'GALLERY_NOT_RETIRED', 'GALLERY_STILL_HELD'] }],
    }),
  },
};

const retirement = {
  modelId,
  state: { type: 'string', enum: ['RETIRED', 'DESTROYED'] },
  at: instant,
  by: string,
};

export const generationSchemas: Record<string, Schema> = {
  LackingImages: object({
    modelId,
    lacking: integer,
    images: arrayOf(
      object({ imageId: string, subjectId: string, sourceOffset: integer, code: string, detail: string, at: instant }),
    ),
    nextCursor: nullable(string),
  }),
  GallerySwitch: object({
    inForce: modelId,
    from: modelId,
    since: instant,
    by: string,
    reason: string,
    lacking: integer,
  }),
  GalleryRetirement: object(retirement),
  GalleryRetirementState: object({ ...retirement, replicas: arrayOf(string), recordsToGo: integer }),
};

/** In a gallery's listing: who switched to it, and how far it is. */
export const generationFields = {
  inForce: { type: 'boolean' },
  switched: nullable(object({ by: string, at: instant, reason: string, from: modelId, lacking: integer })),
  progress: nullable(
    object({
      from: modelId,
      recordsToGo: integer,
      lacking: integer,
      lackingByCode: { type: 'object', additionalProperties: integer },
    }),
  ),
};
