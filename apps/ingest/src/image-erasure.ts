/**
 * Carries out the erasures that come as nulls on `custody.images`. The audit entry first, then the disposition: from
 * then on nobody returns the image, whatever happens to the rest.
 *
 * What a hold forbids to erase is restricted instead. For an erasure that data-protection staff decided here, the hold
 * was asked for then, in the order of the log of directions; for a system's own null it is asked for now.
 */
import type { AuditLog } from '#audit/audit-log.js';
import type { AuditStatement } from '#contracts/audit-record.js';
import { ASSERTION_HEADER, checkErasureHeaders } from '#contracts/custody-image.js';
import { directionRecord } from '#contracts/direction-record.js';
import { dispositionRecord } from '#contracts/disposition-record.js';
import { templateTombstoneHeaders } from '#contracts/template-record.js';
import { CUSTODY_IMAGES, galleryTemplates } from '#contracts/topics.js';
import { erasureReceiptId, type ErasureReceipt, type HeldBy, type Restriction } from '#domain/direction.js';
import { isErased, mergeDisposition, type Disposition } from '#domain/disposition.js';
import { isTooLateFor } from '#domain/erasure.js';
import { Refusal } from '#domain/errors.js';
import type { Role } from '#domain/identity.js';
import type { ImageId, ModelId } from '#domain/ids.js';
import type { ImageOutcome } from '#domain/image-outcome.js';
import type { DirectionFollower } from '#kafka/direction-follower.js';
import type { KafkaRecord, RecordPosition } from '#kafka/kafka-record.js';
import type { Publisher } from '#kafka/publisher.js';
import { idempotentId } from '#platform/idempotency.js';
import type { Assertion, AssertionVerifier } from '#platform/identity.js';
import type { ImageStore } from '#platform/image-store.js';

export const INGEST_SOURCE = '/custody-face-search/ingest';

/** In which a system may say that somebody wants an erasure: data-protection staff, or the system itself. */
const ERASERS: readonly Role[] = ['data-protection', 'service'];

type ErasureAssertion = Extract<Assertion, { purpose: 'erasure' }>;
/** {@link ImageOutcome} without what every outcome has. */
type Result<Kind extends 'erased' | 'restricted'> = Kind extends unknown
  ? Omit<Extract<ImageOutcome, { outcome: Kind }>, 'imageId' | 'at' | 'source'>
  : never;

/** A null that is authorised. */
interface AskedErasure {
  readonly id: ImageId;
  readonly record: KafkaRecord;
  readonly system: string;
  readonly assertion: ErasureAssertion;
}

export class ImageErasure {
  /** Erasures under way whose audit entry is in the log: what is tried again after that appends no second one. */
  private readonly audited = new Set<string>();

  constructor(
    private readonly modelId: ModelId,
    private readonly images: ImageStore,
    private readonly publisher: Publisher,
    private readonly dispositionOf: (id: ImageId) => Disposition | undefined,
    private readonly directions: Pick<DirectionFollower, 'get' | 'holdsOn' | 'upToDate'>,
    private readonly assertions: AssertionVerifier,
    private readonly audit: AuditLog,
    /** Models whose galleries are built beside: what is erased goes from each. */
    private readonly otherGenerations: () => Promise<readonly ModelId[]> = () => Promise.resolve([]),
  ) {}

  /** @throws Refusal ERASURE_NOT_AUTHORISED, HEADER_MISSING, HEADER_UNKNOWN, BAD_METADATA; Failure for what is ours: then it is to be tried again */
  async carryOut(id: ImageId, record: KafkaRecord): Promise<Result<'erased' | 'restricted'>> {
    const asked = { id, record, ...(await this.authorise(id, record)) };
    checkErasureHeaders(id, record.headers);
    const restrictionId = restrictionIdOf(asked);
    const heldBy = await this.heldBy(asked, restrictionId);
    return heldBy.length > 0 ? this.restrict(asked, restrictionId, heldBy) : this.erase(asked);
  }

  /**
   * Whether a hold forbids to destroy what is stored of the image: one that was given before this was asked is heeded.
   *
   * @throws Failure DIRECTIONS_BEHIND
   */
  async isHeld(id: ImageId): Promise<boolean> {
    await this.directions.upToDate();
    return this.directions.holdsOn(id, undefined).length > 0;
  }

  /** In the gallery of every model. @returns its place in that of this process's own */
  async publishTombstone(id: ImageId): Promise<RecordPosition> {
    const models = [this.modelId, ...(await this.otherGenerations())];
    const headers = templateTombstoneHeaders(id, INGEST_SOURCE);
    const [own] = await this.publisher.publishAll(
      models.map((model) => ({ topic: galleryTemplates(model), key: id, value: null, headers })),
    );
    return own!;
  }

  /** What forbids it: nothing once it was decided, or has taken effect. */
  private async heldBy(asked: AskedErasure, restrictionId: string): Promise<readonly HeldBy[]> {
    const { id, record } = asked;
    if (this.wasDecided(asked) || isErased(this.dispositionOf(id), record.offset)) return [];
    await this.directions.upToDate();
    if (this.wasDecided(asked)) return [];
    // Delivered again: what it has become must not change with what was lifted since.
    const restricted = this.directions.get(restrictionId);
    if (restricted?.kind === 'restriction') return restricted.heldBy ?? [];
    return this.directions.holdsOn(id, undefined).map(({ directionId, kind }) => ({ directionId, kind }));
  }

  /**
   * Of this null: not of one that comes after those of the erasure, for an image that was enrolled since, nor of one for
   * an image that the erasure has restricted. Whoever may sign could pass by every hold in its name otherwise.
   */
  private wasDecided({ id, record, system, assertion: { erasureId } }: AskedErasure): boolean {
    const erasure = erasureId === undefined ? undefined : this.directions.get(erasureId);
    if (erasure?.kind !== 'erasure' || !isTooLateFor(erasure, id, record.offset)) return false;
    // Where it says which system carries it out, no other one does.
    return erasure.system === undefined || erasure.system === system;
  }

  private async erase(asked: AskedErasure): Promise<Result<'erased'>> {
    const { id, record, system, assertion } = asked;
    const { authority, reason, erasureId } = assertion;
    await this.auditOnce(asked, { operation: 'erasure', action: 'erasure' });
    const since = new Date(record.timestampMs).toISOString();
    const erasure: Disposition = {
      imageId: id,
      kind: 'erased',
      since,
      authority,
      reason,
      sourceOffset: record.offset,
      ...(erasureId !== undefined && { directionId: erasureId }),
    };
    // Merged: one that is delivered again, or replayed, after a later one must not take the later one's bound back.
    const disposition = mergeDisposition(this.dispositionOf(id), erasure) ?? erasure;
    const written = dispositionRecord(id, disposition, INGEST_SOURCE);
    const position = await this.publisher.publish({ ...written, headers: { ...written.headers, ce_system: system } });
    const tombstone = await this.publishTombstone(id);
    await this.images.deleteImages(id, record.offset);
    if (erasureId !== undefined) await this.publishReceipt(asked, erasureId, { disposition: position, tombstone });
    this.audited.delete(placeOf(record));
    return { outcome: 'erased', authority, reason, disposition: position };
  }

  private async restrict(
    asked: AskedErasure,
    restrictionId: string,
    heldBy: readonly HeldBy[],
  ): Promise<Result<'restricted'>> {
    const { id, record, system, assertion } = asked;
    const { authority, reason } = assertion;
    await this.auditOnce(asked, { operation: 'alteration', action: 'restricted-instead-of-erased' });
    const restriction: Restriction = {
      directionId: restrictionId,
      kind: 'restriction',
      target: { imageIds: [id] },
      authority,
      reason,
      by: assertion.subject,
      role: assertion.role,
      system,
      at: new Date(record.timestampMs).toISOString(),
      insteadOf: `${CUSTODY_IMAGES}/${placeOf(record)}`,
      heldBy,
    };
    if (this.directions.get(restrictionId) === undefined) {
      await this.publisher.publish(directionRecord(restriction, INGEST_SOURCE));
    }
    this.audited.delete(placeOf(record));
    return { outcome: 'restricted', authority, reason, heldBy, restrictionId };
  }

  private async publishReceipt(
    { id, record, system, assertion }: AskedErasure,
    erasureId: string,
    places: Pick<ErasureReceipt, 'disposition' | 'tombstone'>,
  ): Promise<void> {
    const directionId = erasureReceiptId(erasureId, id);
    if (this.directions.get(directionId) !== undefined) return;
    const now = new Date().toISOString();
    const receipt: ErasureReceipt = {
      directionId,
      kind: 'erasure-receipt',
      target: { imageIds: [id] },
      authority: assertion.authority,
      reason: assertion.reason,
      by: assertion.subject,
      role: assertion.role,
      system,
      at: now,
      erasureId,
      source: { partition: record.partition, offset: record.offset },
      ...places,
      imageStoreEmptiedAt: now,
    };
    await this.publisher.publish(directionRecord(receipt, INGEST_SOURCE));
  }

  private async auditOnce(
    { id, record, system, assertion }: AskedErasure,
    what: Pick<AuditStatement, 'operation' | 'action'>,
  ): Promise<void> {
    const place = placeOf(record);
    if (this.audited.has(place)) return;
    await this.audit.append([
      {
        ...what,
        actor: assertion.subject,
        role: assertion.role,
        system,
        purpose: assertion.authority,
        justification: assertion.reason,
        imageIds: [id],
        detail: { partition: record.partition, offset: record.offset },
      },
    ]);
    this.audited.add(place);
  }

  private async authorise(id: ImageId, record: KafkaRecord): Promise<{ system: string; assertion: ErasureAssertion }> {
    try {
      const { system, assertion } = await this.assertions.verify(record.headers[ASSERTION_HEADER], record.timestampMs);
      const isAbout = assertion.purpose === 'erasure' && assertion.imageId === id;
      if (isAbout && ERASERS.includes(assertion.role)) return { system, assertion };
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      throw new Refusal('ERASURE_NOT_AUTHORISED', `The erasure is not authorised. ${error.publicText}`, undefined, {
        cause: error,
      });
    }
    throw new Refusal(
      'ERASURE_NOT_AUTHORISED',
      'The erasure is not authorised: its assertion is about something else, or of a role that erases nothing.',
    );
  }
}

function placeOf({ partition, offset }: KafkaRecord): string {
  return `${partition}/${offset}`;
}

/** The same however often the null is delivered. */
function restrictionIdOf({ id, record }: AskedErasure): string {
  return idempotentId(CUSTODY_IMAGES, placeOf(record), id);
}
