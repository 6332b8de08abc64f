/**
 * Appends to the audit log. No audit, no search: a statement is in the log before its effect, and when it cannot be put
 * there, the effect does not happen.
 *
 * The entry is acknowledged before its leaf is written. So an entry that has no leaf is one whose writer did not come to
 * the end, and whose effect never was; a leaf that has no entry is one whose entry somebody took away.
 */
import {
  auditEntry,
  auditEntryHeaders,
  auditLeaf,
  encodeAuditEntry,
  type AuditStatement,
} from '#contracts/audit-record.js';
import type { OutgoingRecord } from '#contracts/outgoing-record.js';
import { AUDIT_ENTRIES, AUDIT_LOG } from '#contracts/topics.js';
import { Failure } from '#domain/errors.js';

/** What the audit log needs of a Kafka publisher: all acknowledged, or it rejects. */
export interface AuditPublisher {
  publishAll(records: OutgoingRecord[]): Promise<readonly { readonly partition: number; readonly offset: number }[]>;
}

export class AuditLog {
  constructor(
    private readonly publisher: AuditPublisher,
    private readonly source: string,
  ) {}

  /**
   * Appends the statements, and with them records that must not exist without them.
   *
   * @throws Failure AUDIT_UNAVAILABLE (retryable); then nothing may be shown or done
   */
  async append(statements: readonly AuditStatement[], together: readonly OutgoingRecord[] = []): Promise<void> {
    const entries = statements.map((statement) => auditEntry(statement));
    const bodies = entries.map((entry) => encodeAuditEntry(entry));
    try {
      await this.publisher.publishAll(
        entries.map(({ eventId }, i) => ({
          topic: AUDIT_ENTRIES,
          key: eventId,
          value: bodies[i]!,
          headers: auditEntryHeaders(eventId, this.source),
        })),
      );
      const leaves = entries.map(({ eventId }, i) => ({
        topic: AUDIT_LOG,
        key: null,
        partition: 0,
        value: auditLeaf(bodies[i]!),
        headers: { ce_id: eventId },
      }));
      await this.publisher.publishAll([...leaves, ...together]);
    } catch (error) {
      throw new Failure(
        'AUDIT_UNAVAILABLE',
        'The audit log cannot be written, so nothing was searched or shown.',
        true,
        { cause: error },
      );
    }
  }
}
