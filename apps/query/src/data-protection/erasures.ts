/**
 * Erasures of custody images, decided by data-protection staff. The erasure is on `custody.directions` before anything
 * is done, so that the log's order decides between it and a hold; then comes a signed null on `custody.images` for each
 * image, as for every erasure, and at once the disposition that follows from it, because the null waits in the order of
 * the images and nobody may be shown the image meanwhile. Ingest repeats the disposition when it comes to the null,
 * destroys what is stored, and adds the receipt.
 *
 * What must not be erased (an evidence hold, an open search) is restricted instead.
 */
import type { AuditLog } from '#audit/audit-log.js';
import { directionRecord } from '#contracts/direction-record.js';
import { erasureHeaders } from '#contracts/custody-image.js';
import { dispositionRecord } from '#contracts/disposition-record.js';
import { expectErasable, type ErasureRequest } from '#contracts/erasure-form.js';
import { CUSTODY_IMAGES } from '#contracts/topics.js';
import { erasureReceiptId, type ErasedImage, type Erasure, type ErasureReceipt, type Hold } from '#domain/direction.js';
import type { Disposition } from '#domain/disposition.js';
import { erasureProgress, needsApproval, type ErasureState, type ImageProgress } from '#domain/erasure.js';
import { destructionOf } from '#domain/erasure-destruction.js';
import { Refusal } from '#domain/errors.js';
import { isSamePerson, type Actor } from '#domain/identity.js';
import type { ImageId, Offset } from '#domain/ids.js';
import type { DirectionFollower } from '#kafka/direction-follower.js';
import type { Publisher } from '#kafka/publisher.js';
import { idempotentId, requestDigest } from '#platform/idempotency.js';
import type { AssertionSigner } from '#platform/identity.js';
import { QUERY_SOURCE } from '../query-source.js';
import type { ErasureDestructions } from './erasure-destructions.js';
import type { GalleryRegister } from './gallery-register.js';
import { givenBefore } from './given-before.js';

export interface ShownErasure {
  readonly erasureId: string;
  readonly state: ErasureState;
  readonly subjectId: string | null;
  readonly authority: string;
  readonly reason: string;
  readonly by: string;
  readonly at: string;
  readonly approvedBy: string | null;
  readonly approvedAt: string | null;
  readonly images: readonly ImageProgress[];
  /** Whether it takes longer than it may until nothing of the images is left anywhere. */
  readonly late: boolean;
  /** What it means, in words. */
  readonly statement: string;
}

export interface OpenErasures {
  readonly erasures: readonly ShownErasure[];
  readonly notDestroyed: readonly {
    readonly imageId: string;
    readonly erasedAt: string;
    readonly late: boolean;
    /** Store by store, since when it holds nothing of the image; null while it may. */
    readonly destroyed: Readonly<Record<string, string | null>>;
  }[];
}

const STATEMENTS: Readonly<Record<ErasureState, string>> = {
  AWAITING_APPROVAL: 'Nothing is erased until a second person in data protection approves it.',
  CARRYING_OUT:
    'Decided, and not taken back. Searches leave the images out; some are not destroyed in every store yet.',
  DONE: 'Each image is destroyed in every store: the image store, the logs, and the memory and files of each replica; or restricted because it must be kept.',
};
const RESTRICTED_STATEMENT =
  'Images that are held as evidence, or are candidates of an open search, were restricted instead of erased: ask again when the hold ends.';
/** More is a bulk erasure under way, which its own page shows. */
const NOT_DESTROYED_SHOWN_MAX = 200;
const ACCEPT_DEADLINE_MS = 5_000;
/** Whoever decided an erasure carries it out; when that process is gone, the owner of the directions does. */
const ABANDONED_AFTER_MS = 30_000;

export class Erasures {
  constructor(
    private readonly publisher: Publisher,
    private readonly signer: AssertionSigner,
    private readonly audit: AuditLog,
    private readonly directions: DirectionFollower,
    private readonly dispositionOf: (id: ImageId) => Disposition | undefined,
    private readonly register: Pick<GalleryRegister, 'image' | 'imagesOf'>,
    /** As many images of one person as one may erase without a second person. Inclusive. */
    private readonly imagesAloneMax: number,
    private readonly pending: Pick<ErasureDestructions, 'all' | 'isLate'>,
  ) {}

  /**
   * Resolves when the erasure is in the log, and searches leave the images out or a second person is asked.
   *
   * @param key the request's `Idempotency-Key`
   * @throws Refusal SUBJECT_NOT_HELD, TOO_MANY_IMAGES, IDEMPOTENCY_KEY_REUSED; Failure AUDIT_UNAVAILABLE,
   *   KAFKA_UNAVAILABLE, DIRECTIONS_BEHIND; asking again with the same key is harmless
   */
  async request(actor: Actor, request: ErasureRequest, key: string | undefined): Promise<ShownErasure> {
    const erasureId = idempotentId(actor.id, 'POST /v1/erasures', key);
    const requestSha256 = requestDigest({ ...request });
    const before = await givenBefore(this.directions, erasureId, key, requestSha256);
    if (before !== undefined) return this.show(await this.carryOut(before as Erasure));
    const { authority, reason } = request;
    const imageIds = this.imagesOf(request);
    const subjects = imageIds.map((id) => this.register.image(id)?.subjectId);
    const awaits = needsApproval(subjects, this.imagesAloneMax);
    const erasure: Erasure = {
      directionId: erasureId,
      kind: 'erasure',
      target: { imageIds, ...('subjectId' in request && { subjectId: request.subjectId }) },
      authority,
      reason,
      by: actor.id,
      role: 'data-protection',
      // Who signs its nulls: ingest takes no other's word for what was decided here.
      system: this.signer.system,
      at: new Date().toISOString(),
      requestSha256,
      state: awaits ? 'awaiting-approval' : 'decided',
    };
    await this.auditErasure(actor, 'erasure-requested', erasure, reason);
    await this.publishErasure(erasure);
    return this.show(await this.carryOut(erasure));
  }

  /**
   * The second person's word; from then on it is carried out.
   *
   * @throws Refusal ERASURE_NOT_FOUND, APPROVER_NOT_DISTINCT, ERASURE_ALREADY_DECIDED; Failure as {@link request}
   */
  async approve(actor: Actor, erasureId: string, reason: string): Promise<ShownErasure> {
    await this.directions.upToDate();
    const erasure = this.find(erasureId);
    if (isSamePerson(actor.id, erasure.by)) {
      throw new Refusal('APPROVER_NOT_DISTINCT', 'The person who asked for the erasure cannot approve it.');
    }
    if (erasure.state === 'decided') {
      // The same person again: the answer was lost on the way.
      if (erasure.approvedBy === actor.id) return this.show(await this.carryOut(erasure));
      throw new Refusal('ERASURE_ALREADY_DECIDED', 'The erasure was decided before; nothing waits for an approval.');
    }
    await this.auditErasure(actor, 'erasure-approved', erasure, reason);
    const approved: Erasure = {
      ...erasure,
      state: 'decided',
      approvedBy: actor.id,
      approvedAt: new Date().toISOString(),
    };
    await this.publishErasure(approved);
    return this.show(await this.carryOut(approved));
  }

  /** @throws Refusal ERASURE_NOT_FOUND; Failure AUDIT_UNAVAILABLE */
  async one(actor: Actor, erasureId: string): Promise<ShownErasure> {
    const erasure = this.find(erasureId);
    await this.auditReading(actor, 'erasure-shown', [erasure]);
    return this.show(erasure);
  }

  /**
   * Those that wait for a second person, and the images that are erased and not destroyed in every store yet, whoever
   * asked for it; the oldest first.
   *
   * @throws Failure AUDIT_UNAVAILABLE
   */
  async open(actor: Actor): Promise<OpenErasures> {
    const awaiting = this.directions
      .all('erasure')
      .filter(({ state }) => state === 'awaiting-approval')
      .sort((a, b) => (a.at < b.at ? -1 : 1));
    await this.auditReading(actor, 'erasures-listed', awaiting);
    const notDestroyed = this.pending.all().slice(0, NOT_DESTROYED_SHOWN_MAX);
    return {
      erasures: awaiting.map((erasure) => this.show(erasure)),
      notDestroyed: notDestroyed.map((one) => ({
        imageId: one.imageId,
        erasedAt: one.erasedAt,
        late: this.pending.isLate(one),
        destroyed: Object.fromEntries(one.stores.map(({ store, at }) => [store, at])),
      })),
    };
  }

  /** Carries out what was decided by a process that has gone since. */
  async resumeAbandoned(nowMs = Date.now()): Promise<void> {
    const failures: unknown[] = [];
    const isAbandoned = ({ images, approvedAt, at }: Erasure): boolean =>
      images === undefined && nowMs - Date.parse(approvedAt ?? at) > ABANDONED_AFTER_MS;
    if (![...this.directions.all('erasure')].some(isAbandoned)) return;
    // A process that was asleep may know an erasure as open that another has carried out since.
    await this.directions.upToDate();
    for (const erasure of [...this.directions.all('erasure')].filter(isAbandoned)) {
      // One that cannot be carried out does not keep the others from it.
      await this.carryOut(erasure).catch((error: unknown) => failures.push(error));
    }
    if (failures.length > 0) throw failures[0];
  }

  private imagesOf(request: ErasureRequest): readonly ImageId[] {
    if ('imageIds' in request) return request.imageIds;
    const imageIds = this.register.imagesOf(request.subjectId).map(({ imageId }) => imageId);
    if (imageIds.length === 0) throw new Refusal('SUBJECT_NOT_HELD', 'No image of this subject is held.');
    expectErasable(imageIds.length);
    return imageIds;
  }

  /**
   * Does what is decided and not done, and puts on record what was done. Twice does no harm: the second null of an image
   * finds nothing. Whatever was written to the log before the erasure is known here, so no hold is missed.
   */
  private async carryOut(erasure: Erasure): Promise<Erasure> {
    if (erasure.state !== 'decided' || erasure.images !== undefined) return erasure;
    const held: { readonly imageId: ImageId; readonly by: readonly Hold[] }[] = [];
    const toErase: ImageId[] = [];
    for (const imageId of erasure.target.imageIds) {
      const by = this.directions.holdsOn(imageId, this.register.image(imageId)?.subjectId);
      if (by.length > 0 && !this.isAsked(erasure, imageId)) held.push({ imageId, by });
      else toErase.push(imageId);
    }
    const restricted = await this.restrict(erasure, held);
    const erased = await this.erase(erasure, toErase);
    const done: Erasure = { ...erasure, images: [...erased, ...restricted] };
    await this.publishErasure(done);
    return done;
  }

  private async restrict(
    erasure: Erasure,
    held: readonly { readonly imageId: ImageId; readonly by: readonly Hold[] }[],
  ): Promise<readonly ErasedImage[]> {
    if (held.length === 0) return [];
    await this.audit.append([
      {
        operation: 'alteration',
        action: 'restricted-instead-of-erased',
        actor: erasure.by,
        role: 'data-protection',
        purpose: erasure.authority,
        justification: erasure.reason,
        ...this.whose(held.map(({ imageId }) => imageId)),
        detail: { erasureId: erasure.directionId },
      },
    ]);
    const { authority, reason, by, role } = erasure;
    const at = new Date().toISOString();
    const restrictions = held.map(({ imageId, by: holds }) => ({
      directionId: idempotentId(erasure.directionId, 'restricted-instead', imageId),
      kind: 'restriction' as const,
      target: { imageIds: [imageId] },
      ...{ authority, reason, by, role, at },
      insteadOf: erasure.directionId,
      heldBy: holds.map(({ directionId, kind }) => ({ directionId, kind })),
    }));
    const records = restrictions.map((restriction) => directionRecord(restriction, QUERY_SOURCE));
    await this.publisher.publishAll(records, ACCEPT_DEADLINE_MS);
    return restrictions.map(({ directionId, target, heldBy }) => ({
      imageId: target.imageIds[0]!,
      outcome: 'restricted-instead',
      heldBy,
      restrictionId: directionId,
    }));
  }

  private async erase(erasure: Erasure, imageIds: readonly ImageId[]): Promise<readonly ErasedImage[]> {
    const { authority, reason, by, directionId: erasureId } = erasure;
    const nulls = await Promise.all(
      imageIds.map(async (imageId) => {
        const about = { imageId, authority, reason, erasureId };
        const assertion = await this.signer.sign({
          purpose: 'erasure',
          subject: by,
          role: 'data-protection',
          ...about,
        });
        return {
          topic: CUSTODY_IMAGES,
          key: imageId,
          value: null,
          headers: erasureHeaders(imageId, QUERY_SOURCE, assertion),
        };
      }),
    );
    const sources = await this.publisher.publishAll(nulls, ACCEPT_DEADLINE_MS);
    const since = new Date().toISOString();
    const dispositions = await this.publisher.publishAll(
      imageIds.map((imageId, i) => {
        const why = { since, authority, reason, directionId: erasureId };
        const disposition: Disposition = { imageId, kind: 'erased', ...why, sourceOffset: sources[i]!.offset };
        return dispositionRecord(imageId, disposition, QUERY_SOURCE);
      }),
      ACCEPT_DEADLINE_MS,
    );
    return imageIds.map((imageId, i) => ({
      imageId,
      outcome: 'erase',
      source: sources[i]!,
      disposition: dispositions[i]!,
    }));
  }

  /** Whether a process that has gone since had come so far: then a hold that was given meanwhile came too late. */
  private isAsked({ directionId }: Erasure, imageId: ImageId): boolean {
    const disposition = this.dispositionOf(imageId);
    return (
      (disposition?.kind === 'erased' && disposition.directionId === directionId) ||
      this.receiptOf(directionId, imageId) !== undefined
    );
  }

  private receiptOf(erasureId: string, imageId: ImageId): ErasureReceipt | undefined {
    const receipt = this.directions.get(erasureReceiptId(erasureId, imageId));
    return receipt?.kind === 'erasure-receipt' ? receipt : undefined;
  }

  private find(erasureId: string): Erasure {
    const direction = this.directions.get(erasureId);
    if (direction?.kind === 'erasure') return direction;
    throw new Refusal('ERASURE_NOT_FOUND', 'There is no erasure of this id.');
  }

  /** Resolves when this replica has read it, and with it whatever the log has before it. */
  private async publishErasure(erasure: Erasure): Promise<void> {
    const { offset } = await this.publisher.publish(directionRecord(erasure, QUERY_SOURCE), ACCEPT_DEADLINE_MS);
    await this.directions.reflects((offset + 1) as Offset);
  }

  private show(erasure: Erasure): ShownErasure {
    const { directionId, target, authority, reason, by, at, approvedBy, approvedAt } = erasure;
    const { state, images } = erasureProgress(
      erasure,
      (id) => this.receiptOf(directionId, id),
      (id, through) => destructionOf(this.directions.about(id, undefined), id, through),
    );
    const erasedAt = approvedAt ?? at;
    const isRestricted = images.some(({ outcome }) => outcome === 'restricted-instead');
    return {
      erasureId: directionId,
      state,
      subjectId: target.subjectId ?? null,
      authority,
      reason,
      by,
      at,
      approvedBy: approvedBy ?? null,
      approvedAt: approvedAt ?? null,
      images,
      late: state === 'CARRYING_OUT' && this.pending.isLate({ erasedAt }),
      statement: isRestricted ? `${STATEMENTS[state]} ${RESTRICTED_STATEMENT}` : STATEMENTS[state],
    };
  }

  private auditErasure(actor: Actor, action: string, erasure: Erasure, justification: string): Promise<void> {
    return this.audit.append([
      {
        operation: 'erasure',
        action,
        actor: actor.id,
        role: 'data-protection',
        purpose: erasure.authority,
        justification,
        ...this.whose(erasure.target.imageIds, erasure.target.subjectId),
        detail: { erasureId: erasure.directionId, state: erasure.state },
      },
    ]);
  }

  private auditReading(actor: Actor, action: string, erasures: readonly Erasure[]): Promise<void> {
    return this.audit.append([
      {
        operation: 'consultation',
        action,
        actor: actor.id,
        role: 'data-protection',
        purpose: 'data-protection',
        ...this.whose(erasures.flatMap(({ target }) => target.imageIds)),
        detail: { erasures: erasures.length },
      },
    ]);
  }

  private whose(
    imageIds: readonly ImageId[],
    subjectId?: string,
  ): { readonly imageIds: readonly string[]; readonly subjectIds: readonly string[] } {
    const subjects = imageIds.flatMap((id) => this.register.image(id)?.subjectId ?? []);
    return {
      imageIds: [...new Set(imageIds)],
      subjectIds: [...new Set([...subjects, ...(subjectId === undefined ? [] : [subjectId])])],
    };
  }
}
