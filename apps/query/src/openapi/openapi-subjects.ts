/** What is asked and corrected about a person and their images, and how long those are kept. */
import { correctionSchema } from '#contracts/image-fields.js';
import {
  disposalFormSchema,
  REVIEW_DECISIONS,
  reviewFormSchema,
  reviewsDueSchema,
} from '#contracts/retention-forms.js';
import { searchableQuerySchema } from '#contracts/subject-forms.js';
import { CASE_OUTCOMES } from '#domain/case-outcome.js';
import {
  answer,
  call,
  idempotencyKey,
  imageIdParameter,
  jsonBody,
  neverStored,
  queryParameters,
  subjectIdParameter,
} from './openapi-parts.js';
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
import { AUDITED, OF_DIRECTIONS, OF_THE_PIPELINE, WRITTEN } from './openapi-problems.js';

export const subjectPaths: Record<string, Schema> = {
  '/v1/exports/images': {
    get: call({
      operationId: 'exportImages',
      summary:
        'What became of every image, to reconcile with a custody system: held and in which state, refused and why, or erased',
      roles: ['data-protection'],
      answers: {
        200: {
          description:
            'A JSON object a line: first one of the kind `image-export`, each image once, held ones before the others, and at last one of the kind `end`',
          headers: neverStored,
          content: { 'application/x-ndjson': { schema: string } },
        },
      },
      problems: [AUDITED, { 503: ['EXPORT_RUNNING', 'KAFKA_UNAVAILABLE', 'VIEW_BEHIND'] }],
    }),
  },
  '/v1/images/{imageId}': {
    patch: call({
      operationId: 'correctImage',
      summary:
        'Correct what is said about an image that is held; null removes. The photograph is enrolled once more with it',
      roles: ['data-protection'],
      parameters: [imageIdParameter],
      requestBody: jsonBody(correctionSchema, { properties: { subjectId: subjectIdField } }),
      answers: { 202: answer('In the log', 'CorrectionAccepted') },
      problems: [
        WRITTEN,
        {
          400: ['BAD_SUBJECT_ID'],
          404: ['IMAGE_NOT_HELD'],
          409: ['VERSION_CONFLICT', 'CORRECTION_UNDER_WAY'],
          // The photograph is looked at again only for an image of several faces.
          429: OF_THE_PIPELINE[429]!,
          500: ['FACE_NOT_FOUND_AGAIN', ...OF_THE_PIPELINE[500]!],
          503: ['PHOTOGRAPH_NOT_FOUND', ...OF_THE_PIPELINE[503]!],
        },
      ],
    }),
  },
  '/v1/subjects/{subjectId}/access-report': {
    get: call({
      operationId: 'accessReport',
      summary:
        'What is held about a person, what searched it, and who was shown it; nothing about anybody else. A page for who accepts HTML first',
      roles: ['data-protection'],
      parameters: [subjectIdParameter],
      answers: {
        200: {
          description: 'The report',
          headers: neverStored,
          content: {
            'application/json': { schema: { $ref: '#/components/schemas/AccessReport' } },
            'text/html': { schema: string },
          },
        },
      },
      problems: [AUDITED, { 503: ['KAFKA_UNAVAILABLE', 'VIEW_BEHIND'] }],
    }),
  },
  '/v1/subjects/{subjectId}/searchable': {
    get: call({
      operationId: 'searchable',
      summary: 'Whether a search could have returned the person at that time',
      roles: ['data-protection', 'auditor'],
      parameters: [subjectIdParameter, ...queryParameters(searchableQuerySchema)],
      answers: { 200: answer('With the audit entries that say so', 'Searchability') },
      problems: [AUDITED, { 503: ['DIRECTIONS_BEHIND', 'KAFKA_UNAVAILABLE', 'VIEW_BEHIND'] }],
    }),
  },
  '/v1/disposals': {
    post: call({
      operationId: 'reportCaseOutcome',
      summary: 'Report the outcome of a case, of a person or of one stay in custody; it sets review dates',
      roles: ['data-protection', 'service'],
      parameters: [idempotencyKey],
      requestBody: jsonBody(
        disposalFormSchema,
        exactlyOneOf({ subjectId: subjectIdField, custodyReference: { type: 'string', minLength: 1, maxLength: 256 } }),
      ),
      answers: { 201: answer('On record', 'CaseOutcome') },
      problems: [WRITTEN, OF_DIRECTIONS, { 400: ['BAD_SUBJECT_ID'] }],
    }),
  },
  '/v1/reviews-due': {
    get: call({
      operationId: 'listReviewsDue',
      summary: 'Images of which it is to be decided whether they are kept, the longest overdue first',
      roles: ['data-protection'],
      parameters: queryParameters(reviewsDueSchema),
      answers: { 200: answer('A page', 'ReviewsDue') },
      problems: [AUDITED, { 400: ['BAD_CURSOR', 'BAD_LIMIT'] }],
    }),
  },
  '/v1/reviews': {
    post: call({
      operationId: 'reviewRetention',
      summary: 'Retain until a day, retire, or ask for the erasure. Exactly one of imageId and subjectId',
      roles: ['data-protection'],
      parameters: [idempotencyKey],
      requestBody: jsonBody(reviewFormSchema, exactlyOneOf({ imageId: imageIdField, subjectId: subjectIdField })),
      answers: { 201: answer('What was decided, and where to follow it', 'RetentionReview') },
      problems: [
        WRITTEN,
        OF_DIRECTIONS,
        { 400: ['BAD_IMAGE_ID', 'BAD_SUBJECT_ID', 'TOO_MANY_IMAGES'], 404: ['IMAGE_NOT_HELD', 'SUBJECT_NOT_HELD'] },
      ],
    }),
  },
};

const text = nullable(string);
const day = { type: 'string', format: 'date' };
const kindOf = (...kinds: readonly string[]): Schema => ({ type: 'string', enum: kinds });
const heldBy = arrayOf(object({ directionId: string, kind: kindOf('evidence-hold', 'open-search') }));
const rule = kindOf('review', 'outcome', 'custody-system', 'lawful-basis', 'no-outcome-reported');
const caseOutcome = kindOf(...CASE_OUTCOMES);

const reviewDate = object({
  on: day,
  because: object({ rule, directionId: string, outcome: caseOutcome, outcomeOn: day, lawfulBasis: string }, [
    'directionId',
    'outcome',
    'outcomeOn',
    'lawfulBasis',
  ]),
  policyVersion: integer,
  child: boolean,
  deleteByRule: boolean,
});
const imageReviews = arrayOf(object({ imageId: string, review: reviewDate }));
const use = object({
  at: instant,
  operation: string,
  action: string,
  role: string,
  by: string,
  system: text,
  recipients: arrayOf(string),
  searchId: text,
  imageIds: arrayOf(string),
  auditIndex: integer,
  auditEventId: string,
});

export const subjectSchemas: Record<string, Schema> = {
  CorrectionAccepted: object({
    imageId: string,
    source: object({ partition: integer, offset: integer }),
    corrected: arrayOf(string),
  }),
  AccessReport: object({
    subjectId: string,
    generatedAt: instant,
    images: arrayOf(
      object({
        imageId: string,
        force: text,
        custodyReference: text,
        capturedAt: text,
        receivedAt: instant,
        sex: text,
        ageBand: text,
        lawfulBasis: text,
        reviewOn: day,
        reviewBecause: rule,
        retentionPolicyVersion: integer,
        searchable: boolean,
        suppressed: nullable(object({ kind: kindOf('restricted', 'retired'), authority: string, since: instant })),
        erasureForbiddenBy: arrayOf(kindOf('evidence-hold', 'open-search')),
        sourceOffset: integer,
      }),
    ),
    searches: arrayOf(
      object({
        searchId: string,
        kind: kindOf('operator', 'retrospective'),
        at: instant,
        grounds: text,
        offence: text,
        rank: integer,
        aboveThreshold: boolean,
        imageId: text,
        outcome: kindOf(
          'no-outcome-recorded',
          'confirmed',
          'not-confirmed',
          'under-review',
          'possible-match',
          'not-a-match',
          'added-as-suspect',
          'withdrawn',
        ),
        isOpen: boolean,
      }),
    ),
    accesses: arrayOf(use),
    changes: arrayOf(use),
    cutOff: boolean,
    notes: arrayOf(string),
  }),
  Searchability: object({
    subjectId: string,
    at: instant,
    searchable: kindOf('yes', 'no', 'unknown'),
    images: arrayOf(
      object({
        imageId: string,
        searchable: kindOf('yes', 'no', 'unknown'),
        because: string,
        evidence: arrayOf(object({ auditIndex: integer, auditEventId: string, action: string, at: instant })),
      }),
    ),
    auditWholeSince: nullable(instant),
    statement: string,
  }),
  CaseOutcome: object({
    directionId: string,
    subjectId: text,
    custodyReference: text,
    force: text,
    outcome: caseOutcome,
    outcomeOn: day,
    images: imageReviews,
  }),
  ReviewsDue: object({
    policy: object({ version: integer, effectiveFrom: day }),
    before: day,
    due: arrayOf(
      object({
        imageId: string,
        subjectId: string,
        force: text,
        custodyReference: text,
        capturedAt: text,
        lawfulBasis: text,
        review: reviewDate,
        suppressedBy: nullable(object({ directionId: string, kind: kindOf('restriction', 'retirement') })),
        heldBy,
      }),
    ),
    nextCursor: text,
  }),
  RetentionReview: object(
    {
      decision: kindOf(...REVIEW_DECISIONS),
      directionId: string,
      retainUntil: day,
      images: imageReviews,
      erasureId: string,
    },
    ['directionId', 'retainUntil', 'images', 'erasureId'],
  ),
};
