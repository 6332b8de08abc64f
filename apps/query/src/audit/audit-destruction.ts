/**
 * The end of the entries' retention: entries that were logged before a date are destroyed, their leaves and every proof
 * over them stay. The decision is an audit entry itself, before anything is destroyed, and names the leaves it covers.
 */
import type { AuditLog, AuditPublisher } from '#audit/audit-log.js';
import type { DestructionRequest } from '#contracts/audit-forms.js';
import {
  auditEntryEnd,
  destructionStatement,
  DESTRUCTION_ACTION,
  type AuditDestruction,
} from '#contracts/audit-record.js';
import { Failure, Refusal } from '#domain/errors.js';
import type { Actor } from '#domain/identity.js';
import { idempotentId } from '#platform/idempotency.js';
import { QUERY_SOURCE } from '../query-source.js';
import type { AuditView } from './audit-view.js';

const DAY_MS = 86_400_000;
/** Tombstones that are written at a time. */
const SLICE = 1_000;

export class AuditDestructions {
  constructor(
    private readonly view: AuditView,
    private readonly audit: AuditLog,
    private readonly publisher: AuditPublisher,
    private readonly retentionDaysMin: number,
  ) {}

  /**
   * Resolves when every tombstone is in the log; asking again destroys what a call that was interrupted has left.
   *
   * @throws Refusal AUDIT_RETENTION_NOT_OVER; Failure AUDIT_UNAVAILABLE
   */
  async destroy(
    actor: Actor,
    { beforeMs, authority, reason }: DestructionRequest,
    key: string | undefined,
  ): Promise<AuditDestruction> {
    if (beforeMs > Date.now() - this.retentionDaysMin * DAY_MS) {
      throw new Refusal(
        'AUDIT_RETENTION_NOT_OVER',
        `Audit entries are kept for at least ${this.retentionDaysMin} days here.`,
        { retentionDays: this.retentionDaysMin },
      );
    }
    await this.view.readToEnd();
    const belowIndex = this.view.firstSince(beforeMs);
    const destruction = {
      destructionId: idempotentId(actor.id, 'POST /v1/audit/destructions', key),
      belowIndex,
      entries: this.view.countKeptBelow(belowIndex, DESTRUCTION_ACTION),
    };
    await this.audit.append([destructionStatement(destruction, { actor: actor.id, authority, reason })]);
    const kept = this.view.keptBelow(belowIndex, DESTRUCTION_ACTION);
    const eventIds = [...kept, ...this.view.unloggedBefore(beforeMs)];
    for (let i = 0; i < eventIds.length; i += SLICE) await this.bury(eventIds.slice(i, i + SLICE));
    return destruction;
  }

  private async bury(eventIds: readonly string[]): Promise<void> {
    try {
      await this.publisher.publishAll(eventIds.map((eventId) => auditEntryEnd(eventId, QUERY_SOURCE)));
    } catch (cause) {
      throw new Failure('AUDIT_UNAVAILABLE', 'Not all entries are destroyed: ask again.', true, { cause });
    }
  }
}
