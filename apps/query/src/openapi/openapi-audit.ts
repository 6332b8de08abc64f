/** The audit's part of the OpenAPI document. */
import {
  auditListSchema,
  checkpointQuerySchema,
  destructionFormSchema,
  proofQuerySchema,
} from '#contracts/audit-forms.js';
import { AUDIT_OPERATIONS } from '#contracts/audit-record.js';
import { ROLES } from '#domain/identity.js';
import { answer, call, idempotencyKey, jsonBody, neverStored, queryParameters } from './openapi-parts.js';
import { arrayOf, boolean, instant, integer, nullable, object, string, type Schema } from './openapi-schemas.js';
import { AUDITED, WRITTEN } from './openapi-problems.js';

function text(description: string, type: string, headers: Record<string, Schema> = {}): Schema {
  return { description, headers, content: { [type]: { schema: string } } };
}

export const auditPaths: Record<string, Schema> = {
  '/v1/audit': {
    get: call({
      operationId: 'listAuditEntries',
      summary: 'Audit entries, newest first. This look is one of them',
      roles: ['auditor'],
      parameters: queryParameters(auditListSchema),
      answers: { 200: answer('A page', 'AuditPage') },
      problems: [AUDITED, { 400: ['BAD_CURSOR'] }],
    }),
  },
  '/v1/audit/checkpoint': {
    get: call({
      operationId: 'getAuditCheckpoint',
      summary: 'A signed tree head, as a note (C2SP tlog-checkpoint): keep it where nobody else can write',
      roles: ['auditor'],
      parameters: queryParameters(checkpointQuerySchema),
      answers: { 200: text('The signed note', 'text/plain') },
      problems: [AUDITED, { 404: ['CHECKPOINT_NOT_FOUND'], 503: ['AUDIT_NOT_SEALED'] }],
    }),
  },
  '/v1/audit/proof': {
    get: call({
      operationId: 'getAuditProof',
      summary:
        'That an entry is in the log (one of eventId and index), or that a log grew out of an earlier one (from): RFC 9162',
      roles: ['auditor'],
      parameters: queryParameters(proofQuerySchema),
      answers: {
        200: {
          description: 'The proof',
          content: {
            'application/json': {
              schema: {
                oneOf: [
                  { $ref: '#/components/schemas/InclusionProof' },
                  { $ref: '#/components/schemas/ConsistencyProof' },
                ],
              },
            },
          },
        },
      },
      problems: [AUDITED, { 404: ['AUDIT_ENTRY_NOT_FOUND', 'CHECKPOINT_NOT_FOUND'], 503: ['AUDIT_NOT_SEALED'] }],
    }),
  },
  '/v1/audit/keys': {
    get: call({
      operationId: 'getAuditKeys',
      summary: 'The verifier keys of the checkpoints, one a line',
      roles: ROLES,
      answers: { 200: text('The keys', 'text/plain') },
    }),
  },
  '/v1/audit/export': {
    get: call({
      operationId: 'exportAudit',
      summary: 'Everything that `custody audit verify` needs, a JSON object a line',
      roles: ['auditor'],
      answers: {
        200: text('The lines; the last one has the kind `end`', 'application/x-ndjson', neverStored),
      },
      problems: [AUDITED],
    }),
  },
  '/v1/audit/destructions': {
    post: call({
      operationId: 'destroyAuditEntries',
      summary: 'End the retention of entries logged before a date; their leaves and proofs stay',
      roles: ['data-protection'],
      parameters: [idempotencyKey],
      requestBody: jsonBody(destructionFormSchema),
      answers: { 200: answer('Destroyed', 'AuditDestruction') },
      problems: [WRITTEN, { 409: ['AUDIT_RETENTION_NOT_OVER'] }],
    }),
  },
};

const hash = { type: 'string', description: 'Base64 of 32 bytes' };

export const auditSchemas: Record<string, Schema> = {
  AuditPage: object({
    entries: arrayOf(
      object({
        index: integer,
        eventId: string,
        loggedAt: instant,
        sealed: boolean,
        state: { type: 'string', enum: ['kept', 'destroyed', 'missing', 'changed'] },
        entry: nullable(
          object(
            {
              eventId: string,
              at: instant,
              salt: string,
              operation: { type: 'string', enum: AUDIT_OPERATIONS },
              action: string,
              actor: string,
              role: string,
              system: string,
              purpose: string,
              justification: string,
              searchId: string,
              subjectIds: arrayOf(string),
              imageIds: arrayOf(string),
              recipients: arrayOf(string),
              probeSha256: string,
              modelId: string,
              thresholdVersion: integer,
              detail: { type: 'object' },
            },
            [
              'system',
              'justification',
              'searchId',
              'subjectIds',
              'imageIds',
              'recipients',
              'probeSha256',
              'modelId',
              'thresholdVersion',
              'detail',
            ],
          ),
        ),
      }),
    ),
    nextCursor: nullable(string),
    log: object({ size: integer, sealed: integer }),
  }),
  InclusionProof: object({
    kind: { type: 'string', const: 'inclusion' },
    eventId: string,
    index: integer,
    size: integer,
    leaf: hash,
    proof: arrayOf(hash),
    checkpoint: string,
    entry: nullable(string),
  }),
  ConsistencyProof: object({
    kind: { type: 'string', const: 'consistency' },
    from: integer,
    to: integer,
    proof: arrayOf(hash),
    fromCheckpoint: string,
    toCheckpoint: string,
  }),
  AuditDestruction: object({ destructionId: string, belowIndex: integer, entries: integer }),
};
