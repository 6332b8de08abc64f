/**
 * Retention as data-protection staff carry it out: outcomes of cases set the day on which it is reviewed whether an
 * image is kept, a list says which are due, and a review keeps, retires or erases. Nothing here deletes anything; what
 * is to be erased goes the way of every erasure, with its holds and its second person.
 */
import type { AuditLog } from '#audit/audit-log.js';
import type { DirectionRequest } from '#contracts/direction-forms.js';
import { directionRecord } from '#contracts/direction-record.js';
import type { ErasureRequest } from '#contracts/erasure-form.js';
import type { DisposalRequest, ReviewRequest, ReviewsDueQuery } from '#contracts/retention-forms.js';
import type { CaseOutcome } from '#domain/case-outcome.js';
import type { Direction, Disposal, HeldBy, RetentionReview, Suppression } from '#domain/direction.js';
import { Refusal } from '#domain/errors.js';
import type { HeldImage } from '#domain/held-image.js';
import { hasRole, type Actor } from '#domain/identity.js';
import type { ImageId, Offset } from '#domain/ids.js';
import type { RetentionPolicy, ReviewDate } from '#domain/retention.js';
import type { DirectionFollower } from '#kafka/direction-follower.js';
import type { Publisher } from '#kafka/publisher.js';
import { idempotentId, requestDigest } from '#platform/idempotency.js';
import { QUERY_SOURCE } from '../query-source.js';
import type { GalleryRegister } from './gallery-register.js';
import type { ReviewDates } from './review-dates.js';
import { givenBefore } from './given-before.js';

export interface ImageReview {
  readonly imageId: ImageId;
  readonly review: ReviewDate;
}

export interface DisposalAnswer {
  readonly directionId: string;
  readonly subjectId: string | null;
  readonly custodyReference: string | null;
  readonly force: string | null;
  readonly outcome: CaseOutcome;
  readonly outcomeOn: string;
  /** The images held that it concerns, with the day of their review as it is now. */
  readonly images: readonly ImageReview[];
}

export interface DueReview {
  readonly imageId: ImageId;
  readonly subjectId: string;
  readonly force: string | null;
  readonly custodyReference: string | null;
  readonly capturedAt: string | null;
  readonly lawfulBasis: string | null;
  readonly review: ReviewDate;
  /** What keeps it out of searches already. */
  readonly suppressedBy: { readonly directionId: string; readonly kind: Suppression['kind'] } | null;
  /** What forbids its erasure. */
  readonly heldBy: readonly HeldBy[];
}

export interface DueReviews {
  readonly policy: Pick<RetentionPolicy, 'version' | 'effectiveFrom'>;
  /** `YYYY-MM-DD`, exclusive. */
  readonly before: string;
  readonly due: readonly DueReview[];
  readonly nextCursor: string | null;
}

export type ReviewAnswer =
  | {
      readonly decision: 'retain';
      readonly directionId: string;
      readonly retainUntil: string;
      readonly images: readonly ImageReview[];
    }
  | { readonly decision: 'retire'; readonly directionId: string }
  /** Asked for, not done: where to look how far it has come. */
  | { readonly decision: 'erase'; readonly erasureId: string };

/** What a review may decide that others carry out. */
export interface ReviewConsequences {
  readonly retire: (
    actor: Actor,
    request: DirectionRequest,
    key: string | undefined,
  ) => Promise<{ readonly directionId: string }>;
  readonly erase: (
    actor: Actor,
    request: ErasureRequest,
    key: string | undefined,
  ) => Promise<{ readonly erasureId: string }>;
}

const ACCEPT_DEADLINE_MS = 5_000;

export class ImageRetention {
  constructor(
    private readonly publisher: Publisher,
    private readonly audit: AuditLog,
    private readonly directions: Pick<DirectionFollower, 'get' | 'upToDate' | 'reflects' | 'suppressionOf' | 'holdsOn'>,
    private readonly register: Pick<GalleryRegister, 'image' | 'imagesOf' | 'imagesWith' | 'reviewsDue'>,
    private readonly reviewDates: ReviewDates,
    private readonly consequences: ReviewConsequences,
  ) {}

  /**
   * Puts the outcome of a case on record; the review dates follow from it at once.
   *
   * @param key the request's `Idempotency-Key`
   * @throws Refusal IDEMPOTENCY_KEY_REUSED; Failure AUDIT_UNAVAILABLE, KAFKA_UNAVAILABLE, DIRECTIONS_BEHIND
   */
  async report(actor: Actor, request: DisposalRequest, key: string | undefined): Promise<DisposalAnswer> {
    const { outcome, outcomeOn, authority, reason } = request;
    const disposal: Disposal = {
      kind: 'disposal',
      directionId: idempotentId(actor.id, 'POST /v1/disposals', key),
      target: { ...('subjectId' in request && { subjectId: request.subjectId }), imageIds: [] },
      ...('custodyReference' in request && { custodyReference: request.custodyReference }),
      ...('force' in request && request.force !== undefined && { force: request.force }),
      outcome,
      outcomeOn,
      authority,
      reason,
      by: actor.id,
      role: hasRole(actor, ['data-protection']) ? 'data-protection' : 'service',
      at: new Date().toISOString(),
      requestSha256: requestDigest({ ...request }),
    };
    const given = await this.give(disposal, key, () =>
      this.audit.append([
        {
          operation: 'alteration',
          action: 'case-outcome-reported',
          actor: actor.id,
          role: disposal.role,
          purpose: authority,
          justification: reason,
          ...whose(this.imagesConcerned(disposal)),
          ...('subjectId' in request && { subjectIds: [request.subjectId] }),
          detail: { directionId: disposal.directionId, outcome, outcomeOn },
        },
      ]),
    );
    return {
      directionId: given.directionId,
      subjectId: given.target.subjectId ?? null,
      custodyReference: given.custodyReference ?? null,
      force: given.force ?? null,
      outcome: given.outcome,
      outcomeOn: given.outcomeOn,
      images: this.reviewsOf(this.imagesConcerned(given)),
    };
  }

  /** The longest overdue first. @throws Refusal BAD_CURSOR, BAD_LIMIT; Failure AUDIT_UNAVAILABLE */
  async due(actor: Actor, { before, cursor, limit }: ReviewsDueQuery): Promise<DueReviews> {
    const { due, nextCursor } = this.register.reviewsDue(before, cursor, limit);
    const { version, effectiveFrom } = this.reviewDates.policy;
    await this.audit.append([
      {
        operation: 'consultation',
        action: 'reviews-due-listed',
        actor: actor.id,
        role: 'data-protection',
        purpose: 'retention review',
        ...whose(due.map(({ image }) => image)),
        detail: { before, policyVersion: version, images: due.length },
      },
    ]);
    return {
      policy: { version, effectiveFrom },
      before,
      due: due.map(({ image }) => this.show(image)),
      nextCursor,
    };
  }

  /**
   * Carries out what a review has decided.
   *
   * @param key the request's `Idempotency-Key`
   * @throws Refusal IMAGE_NOT_HELD, SUBJECT_NOT_HELD, IDEMPOTENCY_KEY_REUSED, what the erasure refuses; Failure AUDIT_UNAVAILABLE,
   *   KAFKA_UNAVAILABLE, DIRECTIONS_BEHIND
   */
  async review(actor: Actor, request: ReviewRequest, key: string | undefined): Promise<ReviewAnswer> {
    const { decision, reason, authority } = request;
    const why = { reason, authority };
    const target = 'imageId' in request ? { imageId: request.imageId } : { subjectId: request.subjectId };
    switch (decision) {
      case 'retain':
        return this.retain(actor, request, key);
      case 'retire': {
        this.expectHeld(request);
        const { directionId } = await this.consequences.retire(actor, { ...target, ...why }, key);
        return { decision, directionId };
      }
      case 'erase': {
        this.expectHeld(request);
        const asked = 'imageId' in target ? { imageIds: [target.imageId] } : target;
        const { erasureId } = await this.consequences.erase(actor, { ...asked, ...why }, key);
        return { decision, erasureId };
      }
    }
  }

  private async retain(
    actor: Actor,
    request: ReviewRequest & { readonly decision: 'retain' },
    key: string | undefined,
  ): Promise<ReviewAnswer> {
    const { retainUntil, authority, reason } = request;
    const images = this.expectHeld(request);
    const review: RetentionReview = {
      kind: 'review',
      directionId: idempotentId(actor.id, 'POST /v1/reviews', key),
      // What was looked at. An image that the person gets later is another decision.
      target: { imageIds: images.map(({ imageId }) => imageId) },
      retainUntil,
      authority,
      reason,
      by: actor.id,
      role: 'data-protection',
      at: new Date().toISOString(),
      requestSha256: requestDigest({ ...request }),
    };
    const given = await this.give(review, key, () =>
      this.audit.append([
        {
          operation: 'alteration',
          action: 'retention-reviewed',
          actor: actor.id,
          role: 'data-protection',
          purpose: authority,
          justification: reason,
          ...whose(images),
          detail: { directionId: review.directionId, decision: 'retain', retainUntil },
        },
      ]),
    );
    const held = given.target.imageIds.map((id) => this.register.image(id)).filter((image) => image !== undefined);
    return {
      decision: 'retain',
      directionId: given.directionId,
      retainUntil: given.retainUntil,
      images: this.reviewsOf(held),
    };
  }

  /** @returns the direction that is in force under the id: this one, or that of the first request with this key */
  private async give<D extends Direction>(
    direction: D,
    key: string | undefined,
    audit: () => Promise<void>,
  ): Promise<D> {
    const before = await givenBefore(this.directions, direction.directionId, key, direction.requestSha256!);
    if (before !== undefined) return before as D;
    await audit();
    const { offset } = await this.publisher.publish(directionRecord(direction, QUERY_SOURCE), ACCEPT_DEADLINE_MS);
    await this.directions.reflects((offset + 1) as Offset);
    return direction;
  }

  private expectHeld(request: ReviewRequest): readonly HeldImage[] {
    const images =
      'imageId' in request
        ? [this.register.image(request.imageId)].filter((image) => image !== undefined)
        : this.register.imagesOf(request.subjectId);
    if (images.length > 0) return images;
    throw 'imageId' in request
      ? new Refusal('IMAGE_NOT_HELD', 'No such image is held here.')
      : new Refusal('SUBJECT_NOT_HELD', 'No image of this subject is held here.');
  }

  private imagesConcerned({ target, custodyReference, force }: Disposal): readonly HeldImage[] {
    if (custodyReference === undefined) return this.register.imagesOf(target.subjectId!);
    return this.register
      .imagesWith({ custodyReference })
      .filter((image) => force === undefined || image.force === force);
  }

  private reviewsOf(images: readonly HeldImage[]): readonly ImageReview[] {
    return images.map((image) => ({ imageId: image.imageId, review: this.reviewDates.of(image) }));
  }

  private show(image: HeldImage): DueReview {
    const { imageId, subjectId } = image;
    const suppression = this.directions.suppressionOf(imageId, subjectId);
    return {
      imageId,
      subjectId,
      force: image.force ?? null,
      custodyReference: image.custodyReference ?? null,
      capturedAt: image.capturedAt ?? null,
      lawfulBasis: image.lawfulBasis ?? null,
      review: this.reviewDates.of(image),
      suppressedBy: suppression === undefined ? null : { directionId: suppression.directionId, kind: suppression.kind },
      heldBy: this.directions.holdsOn(imageId, subjectId).map(({ directionId, kind }) => ({ directionId, kind })),
    };
  }
}

function whose(images: readonly HeldImage[]): {
  readonly imageIds: readonly string[];
  readonly subjectIds: readonly string[];
} {
  return {
    imageIds: images.map(({ imageId }) => imageId),
    subjectIds: [...new Set(images.map(({ subjectId }) => subjectId))],
  };
}
