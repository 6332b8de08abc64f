/** `governance.decisions.v1`: what people decided about searching as such, in the order that counts, kept for ever. */
import { z } from 'zod';
import { ROLES } from '#domain/identity.js';
import { SEARCH_KINDS, type GovernanceDecision } from '#domain/governance.js';
import { cloudEventHeaders, JSON_CONTENT, type Headers } from './cloud-events.js';
import { encodeJsonValue, parseJsonValue } from './json-value.js';
import { modelIdSchema } from './record-schemas.js';
import { thresholdContentsSchema, thresholdSetSchema } from './threshold-schemas.js';

export const GOVERNANCE_DECISION_TYPE_PREFIX = 'governance.decision.v1.';

const base = {
  decisionId: z.string().min(1),
  by: z.string().min(1),
  role: z.enum([...ROLES, 'system']),
  reason: z.string(),
};
const kind = z.enum(SEARCH_KINDS);
const authority = z.string();

export const governanceDecisionSchema = z.discriminatedUnion('type', [
  z.object({ ...base, type: z.literal('SEARCH_SUSPENDED'), kind, authority }),
  z.object({ ...base, type: z.literal('SUSPENSION_LIFTED'), kind, authority }),
  z.object({ ...base, type: z.literal('THRESHOLDS_DEPLOYED'), thresholds: thresholdSetSchema, fileSha256: z.string() }),
  z.object({ ...base, type: z.literal('THRESHOLDS_PROPOSED'), thresholds: thresholdContentsSchema }),
  z.object({ ...base, type: z.literal('THRESHOLDS_APPROVED'), version: z.number().int().positive() }),
  z.object({ ...base, type: z.literal('OVERRIDE_PROPOSED'), modelId: modelIdSchema, authority }),
  z.object({ ...base, type: z.literal('OVERRIDE_APPROVED'), overrideId: z.string() }),
  z.object({ ...base, type: z.literal('OVERRIDE_ENDED'), overrideId: z.string() }),
  z.object({
    ...base,
    type: z.literal('GALLERY_SWITCHED'),
    from: modelIdSchema,
    to: modelIdSchema,
    lacking: z.number().int().nonnegative(),
  }),
  z.object({ ...base, type: z.literal('GALLERY_RETIRED'), modelId: modelIdSchema, inForce: modelIdSchema }),
  z.object({ ...base, type: z.literal('GALLERY_DESTROYED'), modelId: modelIdSchema }),
]);

export function governanceDecisionHeaders(decision: GovernanceDecision, source: string): Headers {
  return cloudEventHeaders({
    type: GOVERNANCE_DECISION_TYPE_PREFIX + decision.type,
    source,
    subject: decision.decisionId,
    contentType: JSON_CONTENT,
  });
}

export function encodeGovernanceDecision(decision: GovernanceDecision): Buffer {
  return encodeJsonValue(governanceDecisionSchema, decision);
}

/** @throws Refusal RECORD_NOT_JSON, RECORD_SCHEMA */
export function parseGovernanceDecision(value: Buffer | null): GovernanceDecision {
  return parseJsonValue(governanceDecisionSchema, value);
}
