/** The retention policy as it is written in JSON, and what is filled in about outcomes, reviews and what is due. */
import { z } from 'zod';
import { CASE_OUTCOMES, type CaseOutcome } from '#domain/case-outcome.js';
import { Refusal } from '#domain/errors.js';
import { imageId, subjectId, type ImageId, type SubjectId } from '#domain/ids.js';
import { dayOf, type RetentionPolicy } from '#domain/retention.js';
import { optional } from './custody-image.js';
import { expectOneOf, whyFields, type Why } from './direction-forms.js';
import { dateOrInstantSchema } from './record-schemas.js';
import { parse } from './search-forms.js';

/** A century: whoever means "for ever" has to say so again in their successor's time. */
const MONTHS_MAX = 1200;
const months = z.number().int().min(0).max(MONTHS_MAX);

const ruleSchema = z.strictObject({
  reviewAfterMonths: months,
  childReviewAfterMonths: months,
  deleteByRule: z.boolean().default(false),
});

export const retentionPolicySchema = z.strictObject({
  version: z.number().int().positive(),
  effectiveFrom: z.iso.date(),
  authority: z.string().min(10),
  outcomes: z.strictObject(Object.fromEntries(CASE_OUTCOMES.map((outcome) => [outcome, ruleSchema]))),
  withoutOutcome: ruleSchema,
  lawfulBases: z.record(z.string().min(1).max(256), ruleSchema),
}) as unknown as z.ZodType<RetentionPolicy>;

const text = z.string().trim().min(1).max(256);

export const disposalFormSchema = z.strictObject({
  subjectId: z.string().optional(),
  custodyReference: text.optional(),
  /** Where custody references are a force's own. */
  force: text.optional(),
  outcome: z.enum(CASE_OUTCOMES),
  /** When the case came to it: date or instant. */
  at: dateOrInstantSchema,
  ...whyFields,
});

export type DisposalRequest = Why &
  ({ readonly subjectId: SubjectId } | { readonly custodyReference: string; readonly force?: string }) & {
    readonly outcome: CaseOutcome;
    /** `YYYY-MM-DD`, UTC. */
    readonly outcomeOn: string;
  };

/** @throws Refusal BAD_REQUEST naming the field, BAD_SUBJECT_ID */
export function parseDisposalForm(body: unknown, now: Date = new Date()): DisposalRequest {
  const form = parse(disposalFormSchema, body);
  const { subjectId: subject, custodyReference, force, outcome, reason, authority } = form;
  expectOneOf({ subjectId: subject, custodyReference });
  if (subject !== undefined && force !== undefined) {
    throw new Refusal('BAD_REQUEST', 'force: goes with a custodyReference.', { field: 'force' });
  }
  const outcomeOn = dayOf(form.at);
  if (outcomeOn > dayOf(now.toISOString())) {
    throw new Refusal('BAD_REQUEST', 'at: an outcome is reported when it is known.', { field: 'at' });
  }
  const target =
    subject === undefined
      ? { custodyReference: custodyReference!, ...optional('force', force) }
      : { subjectId: subjectId(subject) };
  return { ...target, outcome, outcomeOn, reason, authority };
}

export const REVIEW_DECISIONS = ['retain', 'retire', 'erase'] as const;

export const reviewFormSchema = z.strictObject({
  imageId: z.string().optional(),
  subjectId: z.string().optional(),
  decision: z.enum(REVIEW_DECISIONS),
  /** Of `retain`: when it is to be reviewed again. */
  retainUntil: z.iso.date().optional(),
  ...whyFields,
});

export type ReviewRequest = Why &
  ({ readonly imageId: ImageId } | { readonly subjectId: SubjectId }) &
  ({ readonly decision: 'retain'; readonly retainUntil: string } | { readonly decision: 'retire' | 'erase' });

/** What a review can put off at once. Nothing is retained without somebody looking at it again. */
const RETAIN_YEARS_MAX = 10;

/** @throws Refusal BAD_REQUEST naming the field, BAD_IMAGE_ID, BAD_SUBJECT_ID */
export function parseReviewForm(body: unknown, now: Date = new Date()): ReviewRequest {
  const {
    imageId: image,
    subjectId: subject,
    decision,
    retainUntil,
    reason,
    authority,
  } = parse(reviewFormSchema, body);
  expectOneOf({ imageId: image, subjectId: subject });
  const target = image !== undefined ? { imageId: imageId(image) } : { subjectId: subjectId(subject!) };
  if (decision !== 'retain') {
    if (retainUntil === undefined) return { ...target, decision, reason, authority };
    throw new Refusal('BAD_REQUEST', 'retainUntil: goes with the decision "retain".', { field: 'retainUntil' });
  }
  const latest = new Date(now);
  latest.setUTCFullYear(latest.getUTCFullYear() + RETAIN_YEARS_MAX);
  if (
    retainUntil === undefined ||
    retainUntil <= dayOf(now.toISOString()) ||
    retainUntil > dayOf(latest.toISOString())
  ) {
    throw new Refusal(
      'BAD_REQUEST',
      `retainUntil: the day of the next review, after today and within ${RETAIN_YEARS_MAX} years.`,
      { field: 'retainUntil' },
    );
  }
  return { ...target, decision, retainUntil, reason, authority };
}

const LIST_LIMIT = 50;

export const reviewsDueSchema = z.strictObject({
  /** Exclusive, date. Without it: what is due by today. */
  before: z.iso.date().optional(),
  cursor: z.string().max(512).optional(),
  limit: z.coerce.number().int().default(LIST_LIMIT),
});

export interface ReviewsDueQuery {
  /** `YYYY-MM-DD`, exclusive. */
  readonly before: string;
  readonly cursor: string | undefined;
  readonly limit: number;
}

/** @throws Refusal BAD_REQUEST naming the field */
export function parseReviewsDueQuery(query: unknown, now: Date = new Date()): ReviewsDueQuery {
  const { before, cursor, limit } = parse(reviewsDueSchema, query);
  return { before: before ?? dayAfter(now), cursor, limit };
}

/** `YYYY-MM-DD`, UTC. */
export function dayAfter(now: Date): string {
  const next = new Date(now);
  next.setUTCDate(next.getUTCDate() + 1);
  return dayOf(next.toISOString());
}
