/**
 * What happened to a search, as `searches.events.v1` tells case systems and every replica: one schema for each type of
 * event. What two events share is said once, above them.
 */
import { z } from 'zod';
import { GROUNDS, type Grounds } from '#domain/operator-search.js';
import { OFFICER_OUTCOMES, OPERATOR_OUTCOMES, PEER_OUTCOMES } from '#domain/retrospective-events.js';
import { PROBE_SOURCES } from '#domain/retrospective-request.js';
import {
  detectedFaceSchema,
  extensibleEnum,
  faceBoxSchema,
  faceChoiceSchema,
  faceQualitySchema,
  galleryFilterSchema,
  imageIdSchema,
  instantSchema,
  modelIdSchema,
  offsetSchema,
  partitionSchema,
  placeSchema,
  rotationSchema,
  searchIdSchema,
  subjectIdSchema,
  uprightPictureSchema,
} from './record-schemas.js';

const rankSchema = z.number().int().positive();
const textSchema = z.string().optional();
const partitionsSchema = z.array(partitionSchema);

const candidateSchema = z.object({
  rank: rankSchema,
  score: z.number(),
  aboveThreshold: z.boolean(),
  subjectId: subjectIdSchema,
  imageId: imageIdSchema,
  force: z.string().nullable(),
  custodyReference: z.string().nullable(),
  capturedAt: z.string().nullable(),
  sourceOffset: offsetSchema.meta({ description: 'Of the custody.images record that the template came from.' }),
});

const answerSchema = z.object({
  searchId: searchIdSchema,
  kind: z.enum(['operator', 'retrospective']),
  completedAt: instantSchema,
  complete: z.boolean().meta({ description: 'False when a part of the gallery was not searched.' }),
  gallery: z.object({
    modelId: modelIdSchema,
    enrolled: z.number().int().nonnegative(),
    watermark: z
      .record(z.string().regex(/^\d+$/), z.number().int().nonnegative())
      .meta({ description: 'By template partition: every record below this offset was taken into account.' }),
    partitionsAnswered: z.number().int().nonnegative(),
    partitionsTotal: z.number().int().nonnegative(),
    partitionsMissing: partitionsSchema,
    partitionsStale: partitionsSchema,
    partitionsIncomplete: partitionsSchema,
    unusable: z.number().int().nonnegative(),
  }),
  mode: z.enum(['exact', 'approximate']),
  threshold: z.object({
    version: z.number().int().nonnegative(),
    score: z.number(),
    evaluated: z.boolean(),
    override: z
      .object({
        decisionId: z.string(),
        by: z.tuple([z.string(), z.string()]),
        since: instantSchema,
        reason: z.string(),
      })
      .optional(),
  }),
  probe: z.object({
    quality: faceQualitySchema,
    faceBox: faceBoxSchema,
    facesFound: z.number().int().nonnegative(),
    rotation: rotationSchema.optional(),
  }),
  candidates: z.array(candidateSchema),
});

const anyEvent = { searchId: searchIdSchema, at: instantSchema, by: z.string() };
const retrospective = {
  ...anyEvent,
  version: z.number().int().positive().meta({ description: '1 for the first event of a search, then without a gap.' }),
  commandId: textSchema,
  commandDigest: textSchema,
};

const answered = { ...retrospective, answer: answerSchema };

/** By the type of the event, which ends its CloudEvents type. */
export const searchEventSchemas = {
  RECEIVED: z.object({
    ...retrospective,
    type: z.literal('RECEIVED'),
    operator: z.string(),
    request: z.object({
      crimeReference: z.string(),
      offence: z.string(),
      source: z.enum(PROBE_SOURCES),
      justification: z.string(),
      investigatingOfficer: z.string(),
      face: faceChoiceSchema.optional(),
      filter: galleryFilterSchema.optional(),
      limit: z.number().int().positive(),
    }),
    probeSha256: z.string(),
    rules: z.object({ version: z.number().int().positive(), peerReview: z.boolean() }),
  }),
  FACE_CHOICE_NEEDED: z.object({
    ...retrospective,
    type: z.literal('FACE_CHOICE_NEEDED'),
    faces: z.array(detectedFaceSchema),
    picture: uprightPictureSchema.optional(),
  }),
  FACE_CHOSEN: z.object({ ...retrospective, type: z.literal('FACE_CHOSEN'), face: faceChoiceSchema }),
  SEARCH_STARTED: z.object({ ...retrospective, type: z.literal('SEARCH_STARTED') }),
  SEARCH_RETRIED: z.object({ ...retrospective, type: z.literal('SEARCH_RETRIED') }),
  PARTIAL_REVIEW_CHOSEN: z.object({ ...retrospective, type: z.literal('PARTIAL_REVIEW_CHOSEN') }),
  CANDIDATES_FOUND: z.object({ ...answered, type: z.literal('CANDIDATES_FOUND') }),
  NO_CANDIDATES_FOUND: z.object({ ...answered, type: z.literal('NO_CANDIDATES_FOUND') }),
  SEARCH_PARTIAL: z.object({ ...answered, type: z.literal('SEARCH_PARTIAL') }),
  SEARCH_FAILED: z.object({
    ...retrospective,
    type: z.literal('SEARCH_FAILED'),
    code: z.string(),
    detail: z.string(),
  }),
  CANDIDATE_VIEWED: z.object({ ...retrospective, type: z.literal('CANDIDATE_VIEWED'), rank: rankSchema }),
  OPERATOR_DECIDED: z.object({
    ...retrospective,
    type: z.literal('OPERATOR_DECIDED'),
    outcome: z.enum(OPERATOR_OUTCOMES),
    rank: rankSchema.optional(),
    features: textSchema,
    notes: textSchema,
  }),
  REVIEW_REQUESTED: z.object({
    ...retrospective,
    type: z.literal('REVIEW_REQUESTED'),
    stage: z.enum(['peer', 'officer']),
    investigatingOfficer: z.string(),
  }),
  PEER_REVIEWED: z.object({
    ...retrospective,
    type: z.literal('PEER_REVIEWED'),
    outcome: z.enum(PEER_OUTCOMES),
    notes: textSchema,
  }),
  OFFICER_DECIDED: z.object({
    ...retrospective,
    type: z.literal('OFFICER_DECIDED'),
    outcome: z.enum(OFFICER_OUTCOMES),
    rank: rankSchema,
    corroboration: textSchema,
    notes: textSchema,
  }),
  OFFICER_REASSIGNED: z.object({
    ...retrospective,
    type: z.literal('OFFICER_REASSIGNED'),
    investigatingOfficer: z.string(),
    notes: textSchema,
  }),
  CANDIDATE_WITHDRAWN: z.object({
    ...retrospective,
    type: z.literal('CANDIDATE_WITHDRAWN'),
    rank: rankSchema,
    reason: z.enum(['restricted', 'retired', 'erased']),
    investigatingOfficer: z.string(),
  }),
  CLOSED: z.object({ ...retrospective, type: z.literal('CLOSED'), notes: textSchema }),
  REQUEST_REFUSED: z.object({
    ...anyEvent,
    type: z.literal('REQUEST_REFUSED'),
    version: z.literal(1),
    code: z.string(),
    detail: z.string(),
    source: placeSchema,
  }),
  OPERATOR_SEARCH_ANSWERED: z.object({
    ...anyEvent,
    type: z.literal('OPERATOR_SEARCH_ANSWERED'),
    version: z.literal(1),
    // A force publishes its grounds, and may publish another.
    grounds: extensibleEnum<Grounds>(GROUNDS),
    justification: z.string(),
    deviceId: z.string().nullable(),
    requestDigest: textSchema,
    answer: answerSchema,
  }),
  OPERATOR_OUTCOME_RECORDED: z.object({
    ...anyEvent,
    type: z.literal('OPERATOR_OUTCOME_RECORDED'),
    version: z.literal(2),
    commandId: z.string(),
    rank: rankSchema.nullable(),
    notes: z.string().nullable(),
    subjectId: subjectIdSchema.nullable(),
    imageId: imageIdSchema.nullable(),
  }),
};

export const searchEventSchema = z.discriminatedUnion('type', [
  searchEventSchemas.RECEIVED,
  searchEventSchemas.FACE_CHOICE_NEEDED,
  searchEventSchemas.FACE_CHOSEN,
  searchEventSchemas.SEARCH_STARTED,
  searchEventSchemas.SEARCH_RETRIED,
  searchEventSchemas.PARTIAL_REVIEW_CHOSEN,
  searchEventSchemas.CANDIDATES_FOUND,
  searchEventSchemas.NO_CANDIDATES_FOUND,
  searchEventSchemas.SEARCH_PARTIAL,
  searchEventSchemas.SEARCH_FAILED,
  searchEventSchemas.CANDIDATE_VIEWED,
  searchEventSchemas.OPERATOR_DECIDED,
  searchEventSchemas.REVIEW_REQUESTED,
  searchEventSchemas.PEER_REVIEWED,
  searchEventSchemas.OFFICER_DECIDED,
  searchEventSchemas.OFFICER_REASSIGNED,
  searchEventSchemas.CANDIDATE_WITHDRAWN,
  searchEventSchemas.CLOSED,
  searchEventSchemas.REQUEST_REFUSED,
  searchEventSchemas.OPERATOR_SEARCH_ANSWERED,
  searchEventSchemas.OPERATOR_OUTCOME_RECORDED,
]);
