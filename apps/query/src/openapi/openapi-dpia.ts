/** The evidence for a data protection impact assessment, in the OpenAPI document. */
import { usageReportQuerySchema } from '#contracts/usage-report-query.js';
import { SEARCH_KINDS } from '#domain/governance.js';
import { ROLES } from '#domain/identity.js';
import { answer, call, queryParameters } from './openapi-parts.js';
import {
  arrayOf,
  boolean,
  instant,
  integer,
  nullable,
  number,
  object,
  string,
  type Schema,
} from './openapi-schemas.js';
import { AUDITED } from './openapi-problems.js';

const ref = (name: string): Schema => ({ $ref: `#/components/schemas/${name}` });
const said = object({ by: string, at: instant, reason: string });
const difference = object({ setting: string, wanted: string, found: string });

export const dpiaPaths: Record<string, Schema> = {
  '/v1/reports/dpia': {
    get: call({
      operationId: 'reportDpia',
      summary:
        'What a data protection impact assessment needs as evidence: model, thresholds and decisions, rules, settings, ' +
        'topics, roles, use, and the audit’s last checkpoint. The query narrows the use',
      roles: ['data-protection', 'auditor'],
      parameters: queryParameters(usageReportQuerySchema),
      answers: { 200: answer('The evidence', 'DpiaEvidence') },
      problems: [AUDITED, { 503: ['KAFKA_UNAVAILABLE'] }],
    }),
  },
};

export const dpiaSchemas: Record<string, Schema> = {
  DpiaEvidence: object({
    generatedAt: instant,
    versions: object({ software: string, node: string }),
    model: object({
      modelId: string,
      name: string,
      version: string,
      licence: string,
      licenceHolder: string,
      evaluationOnly: boolean,
      note: string,
    }),
    gallery: object({ enrolled: integer, complete: boolean, reviewsDue: integer }),
    thresholds: ref('Thresholds'),
    suspensions: arrayOf(
      object({
        kind: { type: 'string', enum: SEARCH_KINDS },
        since: instant,
        by: string,
        reason: string,
        authority: string,
        lifting: nullable(said),
      }),
    ),
    overrides: arrayOf(ref('ModelOverride')),
    decisions: {
      ...arrayOf(object({ type: string, decisionId: string, by: string, role: string, reason: string, at: instant })),
      description: 'In the order of the log, each with what its type says besides',
    },
    retentionPolicy: {
      ...object({ version: integer, effectiveFrom: string, authority: string, outcomes: { type: 'object' } }),
      description: 'The policy file as it was read',
    },
    rules: { type: 'object', additionalProperties: { anyOf: [number, string, arrayOf(string)] } },
    settings: { type: 'object', additionalProperties: { anyOf: [number, string] } },
    topics: arrayOf(
      object({
        name: string,
        partitions: integer,
        replication: integer,
        config: { type: 'object', additionalProperties: string },
        differing: arrayOf(difference),
      }),
    ),
    roles: arrayOf(object({ role: { type: 'string', enum: ROLES }, calls: arrayOf(string) })),
    use: ref('UsageReport'),
    operatorSearchesWithoutOutcome: integer,
    audit: object({
      entries: integer,
      sealed: integer,
      unsealed: integer,
      checkpoint: nullable(string),
      verifierKeys: arrayOf(string),
    }),
    notes: arrayOf(string),
  }),
};
