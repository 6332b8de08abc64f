/** The calls with which people decide about searching as such: suspensions, thresholds, model overrides. */
import {
  authorisedFormSchema,
  overrideFormSchema,
  reasonFormSchema,
  thresholdsFormSchema,
} from '#contracts/governance-forms.js';
import { replicaRetirementFormSchema } from '#contracts/replica-retirement-form.js';
import { usageReportQuerySchema } from '#contracts/usage-report-query.js';
import { SEARCH_KINDS } from '#domain/governance.js';
import { ROLES } from '#domain/identity.js';
import { generationFields } from './openapi-generations.js';
import { answer, call, idempotencyKey, jsonBody, locationOf, parameter, queryParameters } from './openapi-parts.js';
import {
  arrayOf,
  boolean,
  byPartition,
  instant,
  integer,
  nullable,
  number,
  object,
  string,
  type Schema,
} from './openapi-schemas.js';
import { AUDITED, OF_GOVERNANCE, type Problems } from './openapi-problems.js';
import { SUSPENDERS } from '../governance/governance-decisions.js';

const kind = { type: 'string', enum: SEARCH_KINDS };
const kindParameter = parameter(
  { name: 'kind', in: 'path', required: true, schema: kind },
  { 400: ['SEARCH_KIND_UNKNOWN'] },
);
const versionParameter = parameter(
  { name: 'version', in: 'path', required: true, schema: { type: 'integer', minimum: 1, maximum: 999_999_999 } },
  { 404: ['THRESHOLDS_NOT_FOUND'] },
);
const overrideParameter = parameter(
  { name: 'overrideId', in: 'path', required: true, schema: string },
  { 404: ['OVERRIDE_NOT_FOUND'] },
);
const BY_TWO: Problems = { 409: ['APPROVER_NOT_DISTINCT'] };

export const governancePaths: Record<string, Schema> = {
  '/v1/suspensions': {
    get: call({
      operationId: 'listSuspensions',
      summary: 'Whether each kind of search is suspended, by whom and why',
      roles: ROLES,
      answers: { 200: answer('Both kinds', 'Suspensions') },
    }),
  },
  '/v1/suspensions/{kind}': {
    put: call({
      operationId: 'suspendSearches',
      summary: 'Suspend a kind of search, on every replica',
      roles: SUSPENDERS,
      parameters: [kindParameter, idempotencyKey],
      requestBody: jsonBody(authorisedFormSchema),
      answers: { 200: answer('In force', 'Suspension') },
      problems: [OF_GOVERNANCE],
    }),
    delete: call({
      operationId: 'liftSuspension',
      summary:
        'Lift a suspension: the first person is noted, the second one’s call lifts it. Why: in the query, or in a JSON body',
      roles: SUSPENDERS,
      parameters: [kindParameter, ...queryParameters(authorisedFormSchema), idempotencyKey],
      answers: { 200: answer('Lifted, or waiting for a second person', 'Suspension') },
      problems: [OF_GOVERNANCE, BY_TWO, { 409: ['NOT_SUSPENDED'] }],
    }),
  },
  '/v1/thresholds': {
    get: call({
      operationId: 'listThresholds',
      summary: 'Every version with who proposed and approved it, newest first',
      roles: ROLES,
      answers: { 200: answer('The versions', 'Thresholds') },
    }),
    post: call({
      operationId: 'proposeThresholds',
      summary: 'Propose a whole set of thresholds; in force when another person approves it',
      roles: ['threshold-approver'],
      parameters: [idempotencyKey],
      requestBody: jsonBody(thresholdsFormSchema),
      answers: { 201: answer('Proposed', 'ThresholdVersion', locationOf('Where it is approved')) },
      problems: [OF_GOVERNANCE, { 400: ['THRESHOLDS_INVALID'] }],
    }),
  },
  '/v1/thresholds/{version}/approval': {
    post: call({
      operationId: 'approveThresholds',
      summary: 'Approve what another person proposed',
      roles: ['threshold-approver'],
      parameters: [versionParameter, idempotencyKey],
      requestBody: jsonBody(reasonFormSchema),
      answers: { 200: answer('In force', 'ThresholdVersion') },
      problems: [OF_GOVERNANCE, BY_TWO, { 409: ['THRESHOLDS_NOT_PROPOSED'] }],
    }),
  },
  '/v1/model-overrides': {
    get: call({
      operationId: 'listModelOverrides',
      summary: 'What was decided in place of an approved evaluation, newest first',
      roles: ROLES,
      answers: { 200: answer('The overrides', 'ModelOverrides') },
    }),
    post: call({
      operationId: 'proposeModelOverride',
      summary: 'Ask that a model may be used without an approved evaluation',
      roles: ['threshold-approver'],
      parameters: [idempotencyKey],
      requestBody: jsonBody(overrideFormSchema),
      answers: { 201: answer('Proposed', 'ModelOverride') },
      problems: [OF_GOVERNANCE],
    }),
  },
  '/v1/model-overrides/{overrideId}/approval': {
    post: call({
      operationId: 'approveModelOverride',
      summary: 'Approve what another person asked for; every answer shows it from then on',
      roles: ['threshold-approver'],
      parameters: [overrideParameter, idempotencyKey],
      requestBody: jsonBody(reasonFormSchema),
      answers: { 200: answer('In force', 'ModelOverride') },
      problems: [OF_GOVERNANCE, BY_TWO, { 409: ['OVERRIDE_NOT_PROPOSED'] }],
    }),
  },
  '/v1/model-overrides/{overrideId}': {
    delete: call({
      operationId: 'endModelOverride',
      summary: 'End an override (one person). Why: in the query, or in a JSON body',
      roles: ['threshold-approver'],
      parameters: [overrideParameter, ...queryParameters(reasonFormSchema), idempotencyKey],
      answers: { 200: answer('Ended', 'ModelOverride') },
      problems: [OF_GOVERNANCE, { 409: ['OVERRIDE_ENDED_BEFORE'] }],
    }),
  },
  '/v1/reports/usage': {
    get: call({
      operationId: 'reportUsage',
      summary: 'Searches, hits, outcomes and wrong leads by kind, ground and month, fit to publish',
      roles: ['auditor'],
      parameters: queryParameters(usageReportQuerySchema),
      answers: { 200: answer('The report', 'UsageReport') },
      problems: [AUDITED],
    }),
  },
  '/v1/galleries': {
    get: call({
      operationId: 'listGalleries',
      summary:
        'Model, size, watermark, shards and replicas, as the shards themselves say, and what may be searched now',
      roles: ROLES,
      answers: { 200: answer('The galleries', 'Galleries') },
      problems: [{ 503: ['KAFKA_UNAVAILABLE'] }],
    }),
  },
  '/v1/replica-retirements': {
    post: call({
      operationId: 'retireReplica',
      summary: 'Assert that a replica of the gallery will not come back and that its snapshots were deleted',
      roles: ['data-protection'],
      requestBody: jsonBody(replicaRetirementFormSchema),
      answers: { 200: answer('Off the record', 'RetiredReplicas') },
      problems: [AUDITED, { 404: ['REPLICA_NOT_ON_RECORD'], 409: ['REPLICA_STILL_REPORTING'] }],
    }),
  },
};

const said = object({ by: string, at: instant, reason: string });
const suspension = object({
  kind,
  suspended: boolean,
  since: nullable(instant),
  by: nullable(string),
  reason: nullable(string),
  authority: nullable(string),
  lifting: nullable(said),
});
const rate = nullable({ type: 'number', exclusiveMinimum: 0, maximum: 1 });
const band = object({
  enrolledMax: integer,
  score: number,
  fpir: rate,
  fnir: rate,
  groups: arrayOf(object({ group: string, fpir: number, fnir: number })),
});
const thresholdVersion = object({
  version: integer,
  decisionId: string,
  state: { type: 'string', enum: ['proposed', 'in-force', 'replaced', 'lapsed'] },
  thresholds: object({
    version: integer,
    evaluation: object({ reportSha256: string, description: string }),
    profiles: arrayOf(object({ modelId: string, kind, bands: arrayOf(band) })),
  }),
  proposed: said,
  approved: nullable(said),
  fileSha256: nullable(string),
});
const modelOverride = object({
  overrideId: string,
  modelId: string,
  state: { type: 'string', enum: ['proposed', 'in-force', 'ended'] },
  authority: string,
  proposed: said,
  approved: nullable(said),
  ended: nullable(said),
});

/** As an answer shows it. */
const overrideNotice = object({ decisionId: string, by: arrayOf(string), since: instant, reason: string });
export const appliedThreshold = object(
  { version: integer, score: number, evaluated: boolean, override: overrideNotice },
  ['override'],
);

const kindOfSearch = object({
  allowed: boolean,
  code: nullable(string),
  threshold: nullable(object({ score: number, evaluated: boolean })),
});

export const governanceSchemas: Record<string, Schema> = {
  Suspension: suspension,
  Suspensions: object({ suspensions: arrayOf(suspension) }),
  ThresholdVersion: thresholdVersion,
  Thresholds: object({ versionInForce: nullable(integer), versions: arrayOf(thresholdVersion) }),
  ModelOverride: modelOverride,
  UsageReport: object({
    generatedAt: instant,
    from: nullable(instant),
    to: nullable(instant),
    suppressBelow: integer,
    rows: arrayOf(
      object({
        month: string,
        kind,
        ground: string,
        searches: nullable(integer),
        hits: nullable(integer),
        wrongLeads: nullable(integer),
        outcomes: { type: 'object', additionalProperties: nullable(integer) },
      }),
    ),
    notes: arrayOf(string),
  }),
  ModelOverrides: object({ overrides: arrayOf(modelOverride) }),
  Galleries: object({
    galleries: arrayOf(
      object({
        modelId: string,
        ...generationFields,
        model: object({
          name: string,
          version: string,
          licence: string,
          licenceHolder: string,
          evaluationOnly: boolean,
          note: string,
        }),
        thresholdVersion: nullable(integer),
        searches: object({ operator: kindOfSearch, retrospective: kindOfSearch }),
        override: nullable(overrideNotice),
        enrolled: integer,
        complete: boolean,
        partitionsTotal: integer,
        partitionsMissing: arrayOf(integer),
        partitionsIncomplete: arrayOf(integer),
        unusable: integer,
        watermark: byPartition,
        replicas: arrayOf(
          object({
            replicaId: string,
            coverage: arrayOf(
              object({
                partition: integer,
                watermark: integer,
                enrolled: integer,
                unusable: integer,
                behindMs: number,
              }),
            ),
          }),
        ),
        replicasOnRecord: arrayOf(
          object({
            replicaId: string,
            layout: object({ shards: integer, shard: integer, workers: nullable(integer) }),
            state: { type: 'string', enum: ['replaying', 'serving', 'stopped', 'silent', 'unreadable'] },
            startedAt: nullable(instant),
            reportedAt: instant,
            snapshot: nullable(object({ at: instant, templates: integer, sizeBytes: integer })),
            snapshotProblem: nullable(string),
            destroyedThrough: {
              type: 'object',
              additionalProperties: integer,
              description: 'By partition of custody.dispositions, exclusive: every erasure below it is destroyed here',
            },
            partitions: arrayOf(
              object({ partition: integer, watermark: integer, enrolled: integer, unusable: integer, digest: string }),
            ),
          }),
        ),
        partitionsDiffering: arrayOf(integer),
      }),
    ),
  }),
  RetiredReplicas: object({ retired: arrayOf(object({ modelId: string, replicaId: string })), at: instant }),
};
