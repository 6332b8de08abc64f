/** The calls with which people decide on a retrospective search. Each answers with the search as it is afterwards. */
import type { z } from 'zod';
import {
  chooseFaceSchema,
  closeSchema,
  officerDecisionSchema,
  operatorDecisionSchema,
  peerReviewSchema,
  reassignSchema,
  versionOnlySchema,
  viewedSchema,
} from '#contracts/decision-forms.js';
import type { Role } from '#domain/identity.js';
import {
  answer,
  call,
  consistencyToken,
  handsOutToken,
  idempotencyKey,
  jsonBody,
  rankParameter,
  searchIdParameter,
  type Parameter,
} from './openapi-parts.js';
import { type Schema } from './openapi-schemas.js';
import { AUDITED, WRITTEN, type Problems } from './openapi-problems.js';

/** Whatever is decided: who may, when, and that nobody else was first. */
const OF_A_DECISION: Problems = {
  400: ['REVIEWERS_NOT_DISTINCT'],
  403: ['NOT_YOUR_SEARCH'],
  404: ['SEARCH_NOT_FOUND'],
  409: ['ILLEGAL_MOVE', 'VERSION_CONFLICT'],
  503: ['COMMAND_QUEUED', 'VIEW_BEHIND'],
};
const OF_NOTES: Problems = { 400: ['FIELD_TOO_LONG'] };
const OF_A_CANDIDATE: Problems = { 404: ['CANDIDATE_NOT_FOUND'] };
const OF_A_CHOICE: Problems = { ...OF_A_CANDIDATE, 410: ['CANDIDATE_WITHDRAWN'] };
const OF_CANDIDATES_SHOWN: Problems = { 409: ['CANDIDATES_NOT_ALL_VIEWED'] };

function decision(
  operationId: string,
  summary: string,
  roles: readonly Role[],
  schema: z.ZodType,
  more: {
    readonly parameters?: readonly Parameter[];
    readonly bodyRequired?: boolean;
    readonly problems?: readonly Problems[];
  } = {},
): Schema {
  const { parameters = [], bodyRequired = true, problems = [] } = more;
  return {
    post: call({
      operationId,
      summary,
      roles,
      parameters: [searchIdParameter, ...parameters, idempotencyKey, consistencyToken],
      requestBody: { ...jsonBody(schema), required: bodyRequired },
      answers: { 200: answer('The search as it is afterwards', 'Search', handsOutToken) },
      problems: [WRITTEN, AUDITED, OF_A_DECISION, ...problems],
    }),
  };
}

export const decisionPaths: Record<string, Schema> = {
  '/v1/searches/{searchId}/face': decision(
    'chooseFace',
    'Say which face of the probe is meant, in AWAITING_FACE',
    ['operator'],
    chooseFaceSchema,
    { problems: [{ 422: ['FACE_INDEX_OUT_OF_RANGE'] }] },
  ),
  '/v1/searches/{searchId}/candidates/{rank}/viewed': decision(
    'viewCandidate',
    'Say that a candidate was opened (the investigating officer who is named: in OFFICER_REVIEW)',
    ['operator', 'investigating-officer'],
    viewedSchema,
    { parameters: [rankParameter], bodyRequired: false, problems: [OF_A_CANDIDATE] },
  ),
  '/v1/searches/{searchId}/operator-decision': decision(
    'decideAsOperator',
    'No match, inconclusive, or a possible match with the features compared',
    ['operator'],
    operatorDecisionSchema,
    {
      problems: [OF_NOTES, OF_A_CHOICE, OF_CANDIDATES_SHOWN, { 400: ['FIELD_REQUIRED', 'FEATURES_REQUIRED'] }],
    },
  ),
  '/v1/searches/{searchId}/peer-review': decision(
    'reviewAsPeer',
    'Agree with a possible match or not (another operator than the first)',
    ['operator'],
    peerReviewSchema,
    { problems: [OF_NOTES, OF_A_CHOICE, OF_CANDIDATES_SHOWN] },
  ),
  '/v1/searches/{searchId}/officer-decision': decision(
    'decideAsOfficer',
    'Reject, or add as a suspect with what else supports it (the investigating officer who is named)',
    ['investigating-officer'],
    officerDecisionSchema,
    { problems: [OF_NOTES, OF_A_CHOICE, { 400: ['CORROBORATION_REQUIRED'] }] },
  ),
  '/v1/searches/{searchId}/reassign': decision(
    'reassignOfficer',
    'Name another investigating officer',
    ['operator'],
    reassignSchema,
    { problems: [OF_NOTES, { 400: ['FIELD_REQUIRED'] }] },
  ),
  '/v1/searches/{searchId}/retry': decision(
    'retrySearch',
    'Search again with the same probe, in PARTIAL or FAILED',
    ['operator'],
    versionOnlySchema,
  ),
  '/v1/searches/{searchId}/partial-review': decision(
    'reviewPartial',
    'Review what a part of the gallery has answered, marked as such, in PARTIAL',
    ['operator'],
    versionOnlySchema,
  ),
  '/v1/searches/{searchId}/close': decision(
    'closeSearch',
    'Close a search that has come to an end (of the officers: the one who has decided)',
    ['operator', 'investigating-officer'],
    closeSchema,
    { problems: [OF_NOTES] },
  ),
};
