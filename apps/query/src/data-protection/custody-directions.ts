/**
 * Restrictions, retirements and evidence holds as data-protection staff give and lift them. What they do to searches is
 * the direction owner's; here they are put on record, and shown.
 */
import type { AuditLog } from '#audit/audit-log.js';
import type { DirectionList, DirectionRequest, Why } from '#contracts/direction-forms.js';
import { directionEnd, directionRecord } from '#contracts/direction-record.js';
import { type Direction, type EvidenceHold, type Restriction, type Retirement } from '#domain/direction.js';
import { isSuppressed, type Disposition } from '#domain/disposition.js';
import { isTooLateFor } from '#domain/erasure.js';
import { Refusal } from '#domain/errors.js';
import type { Actor } from '#domain/identity.js';
import type { ImageId, Offset } from '#domain/ids.js';
import { pause } from '#kafka/backoff.js';
import type { DirectionFollower } from '#kafka/direction-follower.js';
import type { Publisher } from '#kafka/publisher.js';
import { idempotentId, requestDigest } from '#platform/idempotency.js';
import type { DirectedDispositions } from './directed-dispositions.js';
import { QUERY_SOURCE } from '../query-source.js';
import type { GalleryRegister } from './gallery-register.js';
import { givenBefore } from './given-before.js';

type GivenDirection = Restriction | Retirement | EvidenceHold;
export type GivenKind = GivenDirection['kind'];

export interface ShownDirection {
  readonly directionId: string;
  readonly kind: GivenKind;
  readonly imageId: string | null;
  readonly subjectId: string | null;
  readonly authority: string;
  readonly reason: string;
  readonly by: string;
  readonly at: string;
  /** The erasure that was asked for and could not be, when it follows from one. */
  readonly insteadOf: string | null;
  /** The images that it is about as they are now. */
  readonly images: readonly {
    readonly imageId: string;
    /** In the gallery. */
    readonly held: boolean;
    /** Held, and searches here return it. */
    readonly searchable: boolean;
    /** Erasures that were decided before this was given: it comes too late for the image. */
    readonly erasedBy: readonly string[];
  }[];
  /** What it means, in words. */
  readonly statement: string;
}

export interface LiftedDirection {
  readonly directionId: string;
  readonly kind: GivenKind;
  readonly lifted: true;
  readonly images: ShownDirection['images'];
  readonly statement: string;
}

const STATEMENTS: Readonly<Record<GivenKind, string>> = {
  restriction: 'Restricted: kept, and left out of searches until this is lifted. Nothing is erased.',
  retirement: 'Retired: no longer searched, kept until it is erased or this is lifted. Nothing is erased.',
  'evidence-hold': 'On evidence hold: must not be erased until this is lifted. Searches still return it.',
};
const LIFTED_STATEMENTS: Readonly<Record<GivenKind, string>> = {
  restriction: 'The restriction is lifted. The images are searchable again unless another direction keeps them out.',
  retirement: 'The retirement is lifted. The images are searchable again unless another direction keeps them out.',
  'evidence-hold':
    'The hold is lifted. Nothing is erased by that: ask for an erasure that was refused meanwhile again.',
};
const ROUTES: Readonly<Record<GivenKind, string>> = {
  restriction: 'POST /v1/restrictions',
  retirement: 'POST /v1/retirements',
  'evidence-hold': 'POST /v1/evidence-holds',
};
const ACCEPT_DEADLINE_MS = 5_000;
const OWNER_WITHIN_MS = 500;
const READ_WITHIN_MS = 1_000;
const POLL_INTERVAL_MS = 10;

export class CustodyDirections {
  constructor(
    private readonly publisher: Publisher,
    private readonly audit: AuditLog,
    private readonly directions: DirectionFollower,
    private readonly directed: DirectedDispositions,
    private readonly dispositionOf: (id: ImageId) => Disposition | undefined,
    private readonly register: Pick<GalleryRegister, 'image' | 'imagesOf'>,
  ) {}

  /**
   * Resolves when the direction is in the log, and this replica has read it.
   *
   * @param key the request's `Idempotency-Key`
   * @throws Refusal IDEMPOTENCY_KEY_REUSED; Failure AUDIT_UNAVAILABLE, KAFKA_UNAVAILABLE, DIRECTIONS_BEHIND
   */
  async give(
    actor: Actor,
    kind: GivenKind,
    request: DirectionRequest,
    key: string | undefined,
  ): Promise<ShownDirection> {
    const directionId = idempotentId(actor.id, ROUTES[kind], key);
    const requestSha256 = requestDigest({ ...request });
    const before = await givenBefore(this.directions, directionId, key, requestSha256);
    if (before !== undefined) return this.show(before as GivenDirection);
    const { authority, reason } = request;
    const target =
      'imageId' in request
        ? { imageIds: [request.imageId] }
        : {
            subjectId: request.subjectId,
            imageIds: this.register.imagesOf(request.subjectId).map(({ imageId }) => imageId),
          };
    const direction: GivenDirection = {
      directionId,
      kind,
      target,
      authority,
      reason,
      by: actor.id,
      role: 'data-protection',
      at: new Date().toISOString(),
      requestSha256,
    };
    await this.auditAlteration(actor, `${kind}-directed`, direction, { authority, reason });
    const { offset } = await this.publisher.publish(directionRecord(direction, QUERY_SOURCE), ACCEPT_DEADLINE_MS);
    // Every erasure that the log has before it is known by then: whichever came first is told to whoever came second.
    await this.directions.reflects((offset + 1) as Offset);
    await this.carriedOut(direction);
    return this.show(direction);
  }

  /** @throws Refusal DIRECTION_NOT_FOUND; Failure AUDIT_UNAVAILABLE, KAFKA_UNAVAILABLE, DIRECTIONS_BEHIND */
  async lift(actor: Actor, kind: GivenKind, id: string, why: Why): Promise<LiftedDirection> {
    await this.directions.upToDate();
    const direction = this.find(kind, id);
    await this.auditAlteration(actor, `${kind}-lifted`, direction, why);
    const { offset } = await this.publisher.publish(directionEnd(id, QUERY_SOURCE), ACCEPT_DEADLINE_MS);
    await this.directions.reflects((offset + 1) as Offset);
    await this.carriedOut(direction);
    const { images } = this.show(direction);
    return { directionId: id, kind, lifted: true, images, statement: LIFTED_STATEMENTS[kind] };
  }

  /** @throws Refusal DIRECTION_NOT_FOUND; Failure AUDIT_UNAVAILABLE */
  async one(actor: Actor, kind: GivenKind, id: string): Promise<ShownDirection> {
    const direction = this.find(kind, id);
    await this.auditReading(actor, `${kind}-shown`, [direction]);
    return this.show(direction);
  }

  /** Newest first. @throws Refusal BAD_CURSOR; Failure AUDIT_UNAVAILABLE */
  async list(
    actor: Actor,
    kind: GivenKind,
    query: DirectionList,
  ): Promise<{ readonly directions: readonly ShownDirection[]; readonly nextCursor: string | null }> {
    const after = query.cursor === undefined ? undefined : parseCursor(query.cursor);
    const all = this.directions
      .all(kind)
      .filter(({ target }) => query.imageId === undefined || target.imageIds.includes(query.imageId))
      .filter(({ target }) => query.subjectId === undefined || target.subjectId === query.subjectId)
      .filter((direction) => after === undefined || orderOf(direction) < after)
      .sort((a, b) => (orderOf(a) < orderOf(b) ? 1 : -1));
    const page = all.slice(0, query.limit);
    await this.auditReading(actor, `${kind}s-listed`, page);
    const last = page.at(-1);
    const nextCursor = all.length > page.length && last !== undefined ? formatCursor(orderOf(last)) : null;
    return { directions: page.map((direction) => this.show(direction)), nextCursor };
  }

  private find(kind: GivenKind, id: string): GivenDirection {
    const direction = this.directions.get(id);
    if (direction?.kind === kind) return direction;
    throw new Refusal('DIRECTION_NOT_FOUND', `There is no ${kind} of this id in force; it may have been lifted.`);
  }

  private show(direction: GivenDirection): ShownDirection {
    const { directionId, kind, target, authority, reason, by, at } = direction;
    const images = target.imageIds.map((imageId) => {
      const held = this.register.image(imageId);
      const erasures = this.directions.about(imageId, undefined).filter((one) => one.kind === 'erasure');
      return {
        imageId,
        held: held !== undefined,
        searchable: held !== undefined && !isSuppressed(this.dispositionOf(imageId), held.sourceOffset),
        erasedBy: erasures
          .filter((erasure) => isTooLateFor(erasure, imageId, held?.sourceOffset))
          .map((erasure) => erasure.directionId),
      };
    });
    return {
      directionId,
      kind,
      imageId: target.subjectId === undefined ? (target.imageIds[0] ?? null) : null,
      subjectId: target.subjectId ?? null,
      authority,
      reason,
      by,
      at,
      insteadOf: direction.kind === 'restriction' ? (direction.insteadOf ?? null) : null,
      images,
      statement: STATEMENTS[kind],
    };
  }

  /**
   * Leaves it to the owner to make it so, and does it itself where there is none just now: a restriction must not wait
   * until a replica that has gone is missed. Then waits a little, so that the answer can say that searches follow; it
   * says what is so, whether that was in time or not.
   */
  private async carriedOut({ target }: Direction): Promise<void> {
    await this.untilInForce(target.imageIds, OWNER_WITHIN_MS);
    const missing = this.directed.missingOf(target.imageIds);
    if (missing.length === 0) return;
    await this.publisher.publishAll(missing, ACCEPT_DEADLINE_MS);
    await this.untilInForce(target.imageIds, READ_WITHIN_MS);
  }

  private async untilInForce(imageIds: readonly ImageId[], withinMs: number): Promise<void> {
    const deadlineMs = performance.now() + withinMs;
    while (this.directed.missingOf(imageIds).length > 0 && performance.now() < deadlineMs)
      await pause(POLL_INTERVAL_MS);
  }

  private auditAlteration(actor: Actor, action: string, direction: Direction, why: Why): Promise<void> {
    return this.audit.append([
      {
        operation: 'alteration',
        action,
        actor: actor.id,
        role: 'data-protection',
        purpose: why.authority,
        justification: why.reason,
        ...this.whose([direction]),
        // Whether it holds for images that the subject gets later, too.
        detail: {
          directionId: direction.directionId,
          about: direction.target.subjectId === undefined ? 'image' : 'subject',
        },
      },
    ]);
  }

  private auditReading(actor: Actor, action: string, shown: readonly Direction[]): Promise<void> {
    return this.audit.append([
      {
        operation: 'consultation',
        action,
        actor: actor.id,
        role: 'data-protection',
        purpose: 'data-protection',
        ...this.whose(shown),
        detail: { directions: shown.length },
      },
    ]);
  }

  private whose(directions: readonly Direction[]): {
    readonly imageIds: readonly string[];
    readonly subjectIds: readonly string[];
  } {
    const imageIds = new Set(directions.flatMap(({ target }) => target.imageIds));
    const subjectIds = new Set<string>(directions.flatMap(({ target }) => target.subjectId ?? []));
    for (const id of imageIds) {
      const subject = this.register.image(id)?.subjectId;
      if (subject !== undefined) subjectIds.add(subject);
    }
    return { imageIds: [...imageIds], subjectIds: [...subjectIds] };
  }
}

function orderOf({ at, directionId }: Direction): string {
  return `${at} ${directionId}`;
}

function formatCursor(order: string): string {
  return Buffer.from(order).toString('base64url');
}

function parseCursor(cursor: string): string {
  const order = Buffer.from(cursor, 'base64url').toString('utf8');
  if (/^\d{4}-\d\d-\d\dT\S+ \S+$/.test(order)) return order;
  throw new Refusal('BAD_CURSOR', 'cursor is the nextCursor of the page before.');
}
