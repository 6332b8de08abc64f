/**
 * When it is to be reviewed whether a custody image is kept, by a versioned policy. A review date deletes nothing: it
 * puts the image on the list of what a person decides about.
 *
 * What decides, the first that there is:
 * 1. the newest of: what a review decided (retain until a day), and the outcome of the case, from which the policy
 *    counts. An outcome of the stay in custody that the image is of goes before one of the person as a whole;
 * 2. the day that the custody system gave, for a child not later than the policy's;
 * 3. the policy's rule for the image's lawful basis, or for an image whose outcome nobody has reported.
 */
import type { CaseOutcome } from './case-outcome.js';
import type { Disposal, RetentionReview } from './direction.js';
import { Refusal } from './errors.js';
import type { HeldImage } from './held-image.js';

export interface ReviewRule {
  /** After the outcome; without one, after the image was taken. 0 is at once. */
  readonly reviewAfterMonths: number;
  /** The same for who was 10 to 17 when the image was taken; not more. */
  readonly childReviewAfterMonths: number;
  /** Whether the erasure is asked for, as a person would, when the day has come and nobody has decided. */
  readonly deleteByRule: boolean;
}

export interface RetentionPolicy {
  readonly version: number;
  /**
   * `YYYY-MM-DD`, UTC. Review dates are shown by the policy as soon as it is deployed, so that what it will do can be
   * looked at beforehand; nothing is deleted by it before this day.
   */
  readonly effectiveFrom: string;
  /** Who adopted it, and on what grounds. */
  readonly authority: string;
  readonly outcomes: Readonly<Record<CaseOutcome, ReviewRule>>;
  readonly withoutOutcome: ReviewRule;
  /** Instead of `withoutOutcome` for images held on this lawful basis, by its text. */
  readonly lawfulBases: Readonly<Record<string, ReviewRule>>;
}

export type ReviewBasis =
  | { readonly rule: 'review'; readonly directionId: string }
  | {
      readonly rule: 'outcome';
      readonly outcome: CaseOutcome;
      readonly outcomeOn: string;
      readonly directionId: string;
    }
  | { readonly rule: 'custody-system' }
  | { readonly rule: 'lawful-basis'; readonly lawfulBasis: string }
  | { readonly rule: 'no-outcome-reported' };

export interface ReviewDate {
  /** `YYYY-MM-DD`, UTC. */
  readonly on: string;
  readonly because: ReviewBasis;
  /** Of the policy that was applied. */
  readonly policyVersion: number;
  /** Whether the policy's rule for children decided the day. */
  readonly child: boolean;
  /** What the policy says of the rule that decided; never after a review or the custody system's own day. */
  readonly deleteByRule: boolean;
}

/** Whether the day has come from which the policy may delete. */
export function mayDelete({ effectiveFrom }: RetentionPolicy, now: Date): boolean {
  return effectiveFrom <= dayOf(now.toISOString());
}

/** @param disposals,reviews any; those about other images do not count */
export function reviewDateOf(
  policy: RetentionPolicy,
  image: HeldImage,
  disposals: readonly Disposal[],
  reviews: readonly RetentionReview[],
): ReviewDate {
  const disposal = disposalOf(image, disposals);
  const review = newest(reviews.filter(({ target }) => target.imageIds.includes(image.imageId)));
  if (review !== undefined && (disposal === undefined || review.at >= disposal.at)) {
    const because = { rule: 'review', directionId: review.directionId } as const;
    return { on: review.retainUntil, because, policyVersion: policy.version, child: false, deleteByRule: false };
  }
  if (disposal !== undefined) {
    const { outcome, outcomeOn, directionId } = disposal;
    return byRule(policy, image, policy.outcomes[outcome], outcomeOn, {
      rule: 'outcome',
      outcome,
      outcomeOn,
      directionId,
    });
  }
  return withoutOutcome(policy, image);
}

function withoutOutcome(policy: RetentionPolicy, image: HeldImage): ReviewDate {
  const { lawfulBasis, reviewDue } = image;
  // Own properties only: a lawful basis called `constructor` has no rule.
  const ofBasis =
    lawfulBasis !== undefined && Object.hasOwn(policy.lawfulBases, lawfulBasis)
      ? policy.lawfulBases[lawfulBasis]
      : undefined;
  const because: ReviewBasis =
    ofBasis === undefined ? { rule: 'no-outcome-reported' } : { rule: 'lawful-basis', lawfulBasis: lawfulBasis! };
  const ruled = byRule(policy, image, ofBasis ?? policy.withoutOutcome, takenOn(image), because);
  if (reviewDue === undefined) return ruled;
  const given = dayOf(reviewDue);
  if (isChild(image) && ruled.on < given) return ruled;
  const { version } = policy;
  return { on: given, because: { rule: 'custody-system' }, policyVersion: version, child: false, deleteByRule: false };
}

function byRule(
  policy: RetentionPolicy,
  image: HeldImage,
  rule: ReviewRule,
  from: string,
  because: ReviewBasis,
): ReviewDate {
  const child = isChild(image);
  const months = child ? rule.childReviewAfterMonths : rule.reviewAfterMonths;
  const on = addMonths(from, months);
  return { on, because, policyVersion: policy.version, child, deleteByRule: rule.deleteByRule };
}

/** Under 18 when the image was taken: the band that the custody system gave. */
function isChild({ ageBand }: HeldImage): boolean {
  return ageBand === '10-17';
}

/** An outcome is of what had happened by then: who is arrested again later is photographed for another case. */
function disposalOf(image: HeldImage, disposals: readonly Disposal[]): Disposal | undefined {
  const concerned = disposals.filter((one) => concerns(one, image) && takenOn(image) <= one.outcomeOn);
  const ofStay = concerned.filter(({ custodyReference }) => custodyReference !== undefined);
  return newest(ofStay.length > 0 ? ofStay : concerned);
}

function concerns({ target, custodyReference, force }: Disposal, image: HeldImage): boolean {
  if (custodyReference === undefined) return target.subjectId === image.subjectId;
  return custodyReference === image.custodyReference && (force === undefined || force === image.force);
}

function newest<T extends { readonly at: string; readonly directionId: string }>(all: readonly T[]): T | undefined {
  const isNewer = (a: T, b: T): boolean => (a.at === b.at ? a.directionId > b.directionId : a.at > b.at);
  return all.reduce<T | undefined>((best, one) => (best === undefined || isNewer(one, best) ? one : best), undefined);
}

/** When the image was taken; where nobody said so that it can be read, when it came here. `YYYY-MM-DD`, UTC. */
function takenOn({ capturedAt, acceptedAt }: HeldImage): string {
  const isKnown = capturedAt !== undefined && !Number.isNaN(Date.parse(capturedAt));
  return dayOf(isKnown ? capturedAt : acceptedAt);
}

/** @param text ISO 8601 date or instant. @returns its day in UTC */
export function dayOf(text: string): string {
  return text.length === 10 ? text : new Date(text).toISOString().slice(0, 10);
}

/** A month that is too short ends on its last day: 31 August and six months is 28 or 29 February. */
export function addMonths(day: string, months: number): string {
  const [year, month, date] = day.split('-').map(Number) as [number, number, number];
  const lastOfMonth = new Date(Date.UTC(year, month + months, 0));
  lastOfMonth.setUTCDate(Math.min(date, lastOfMonth.getUTCDate()));
  return lastOfMonth.toISOString().slice(0, 10);
}

/** @throws Refusal BAD_RETENTION_POLICY naming the rule */
export function checkRetentionPolicy(policy: RetentionPolicy): RetentionPolicy {
  const rules = { ...policy.outcomes, withoutOutcome: policy.withoutOutcome, ...policy.lawfulBases };
  for (const [name, { reviewAfterMonths, childReviewAfterMonths }] of Object.entries(rules)) {
    if (childReviewAfterMonths > reviewAfterMonths) {
      throw new Refusal('BAD_RETENTION_POLICY', `${name}: a child’s image is reviewed no later than an adult’s.`);
    }
  }
  return policy;
}
