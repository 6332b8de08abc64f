/** The JSON bodies of the decisions about a retrospective search, and the commands that they become. */
import { z } from 'zod';
import { NOTES_LENGTH_MAX } from '#domain/retrospective-decision.js';
import { OFFICER_OUTCOMES, OPERATOR_OUTCOMES, PEER_OUTCOMES } from '#domain/retrospective-events.js';
import type { RetrospectiveAction } from '#domain/retrospective-commands.js';
import { parse } from './search-forms.js';

/** Longer than any that is accepted, so that the domain's own refusal says what is wrong with it. */
const WORDS_LENGTH_MAX = 2 * NOTES_LENGTH_MAX;

const expectedVersion = z.number().int().positive().describe('The version of the search that was decided on');
const rank = z.number().int().positive();
const words = z.string().max(WORDS_LENGTH_MAX).optional();
const notes = words;

export const chooseFaceSchema = z.strictObject({
  face: z
    .union([z.number().int().nonnegative(), z.string().regex(/^\d{1,3}$/)])
    .describe('Index of a returned box: no rule of the software chooses'),
  expectedVersion,
});

/** Nobody is in another's way by opening a candidate, so that the version is not needed. */
export const viewedSchema = z.strictObject({ expectedVersion: expectedVersion.optional() });

export const operatorDecisionSchema = z.strictObject({
  outcome: z.enum(OPERATOR_OUTCOMES),
  rank: rank.optional().describe('Of `possible-match`: which candidate'),
  features: words.describe('Of `possible-match`: the features compared, in words'),
  notes,
  expectedVersion,
});

export const peerReviewSchema = z.strictObject({
  outcome: z.enum(PEER_OUTCOMES),
  rank: rank.optional(),
  notes,
  expectedVersion,
});

export const officerDecisionSchema = z.strictObject({
  outcome: z.enum(OFFICER_OUTCOMES),
  rank: rank.optional(),
  corroboration: words.describe('Of `add-suspect`: what else supports it, in words'),
  notes,
  expectedVersion,
});

export const reassignSchema = z.strictObject({ investigatingOfficer: z.string(), notes, expectedVersion });

export const versionOnlySchema = z.strictObject({ expectedVersion });

export const closeSchema = z.strictObject({ notes, expectedVersion });

/** What a body asks for, and the version that it was decided on. */
export interface RequestedAction {
  readonly action: RetrospectiveAction;
  readonly expectedVersion?: number;
}

/** @throws Refusal BAD_REQUEST naming the field; so do all of these */
export function parseChooseFace(body: unknown): RequestedAction {
  const { face, expectedVersion } = parse(chooseFaceSchema, body);
  return { action: { type: 'CHOOSE_FACE', face: Number(face) }, expectedVersion };
}

/** @param rank as it stands in the path */
export function parseViewed(rank: string, body: unknown): RequestedAction {
  parse(viewedSchema, body);
  const path = parse(z.object({ rank: z.string().regex(/^[1-9]\d{0,3}$/, 'is a whole number from 1') }), { rank });
  return { action: { type: 'VIEW_CANDIDATE', rank: Number(path.rank) } };
}

export function parseOperatorDecision(body: unknown): RequestedAction {
  const { expectedVersion, ...said } = parse(operatorDecisionSchema, body);
  return { action: { type: 'OPERATOR_DECISION', ...said }, expectedVersion };
}

export function parsePeerReview(body: unknown): RequestedAction {
  const { expectedVersion, ...said } = parse(peerReviewSchema, body);
  return { action: { type: 'PEER_REVIEW', ...said }, expectedVersion };
}

export function parseOfficerDecision(body: unknown): RequestedAction {
  const { expectedVersion, ...said } = parse(officerDecisionSchema, body);
  return { action: { type: 'OFFICER_DECISION', ...said }, expectedVersion };
}

export function parseReassign(body: unknown): RequestedAction {
  const { expectedVersion, ...said } = parse(reassignSchema, body);
  return { action: { type: 'REASSIGN', ...said }, expectedVersion };
}

export function parseRetry(body: unknown): RequestedAction {
  return { action: { type: 'RETRY' }, ...parse(versionOnlySchema, body) };
}

export function parseReviewPartial(body: unknown): RequestedAction {
  return { action: { type: 'REVIEW_PARTIAL' }, ...parse(versionOnlySchema, body) };
}

export function parseClose(body: unknown): RequestedAction {
  const { expectedVersion, ...said } = parse(closeSchema, body);
  return { action: { type: 'CLOSE', ...said }, expectedVersion };
}
