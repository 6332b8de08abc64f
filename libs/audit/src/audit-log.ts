/**
 * Appends to the audit log. No audit, no search: a statement is in the log before its effect, and when it cannot be put
 * there, the effect does not happen.
 */
import { auditEntry, auditLeaf, encodeAuditEntry, type AuditStatement } from '#contracts/audit-record.js';
import { cloudEventHeaders, JSON_CONTENT, type Headers } from '#contracts/cloud-events.js';
import { AUDIT_ENTRIES, AUDIT_LOG } from '#contracts/topics.js';
import { Failure } from '#domain/errors.js';

export interface OutgoingRecord {
  readonly topic: string;
  readonly key: string | Buffer | null;
  readonly value: Buffer | string | null;
  readonly headers?: Headers;
  readonly partition?: number;
}

/** What the audit log needs of a Kafka publisher: all acknowledged, or it rejects. */
export interface AuditPublisher {
  publishAll(records: OutgoingRecord[]): Promise<readonly { readonly partition: number; readonly offset: number }[]>;
}

export const AUDIT_ENTRY_TYPE = 'audit.entry.v1';

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
    const records = statements.flatMap((statement) => {
      const entry = auditEntry(statement);
      const bytes = encodeAuditEntry(entry);
      const headers = cloudEventHeaders({
        type: AUDIT_ENTRY_TYPE,
        source: this.source,
        subject: entry.eventId,
        contentType: JSON_CONTENT,
      });
      return [
        { topic: AUDIT_ENTRIES, key: entry.eventId, value: bytes, headers },
        { topic: AUDIT_LOG, key: null, partition: 0, value: auditLeaf(bytes), headers: { ce_id: entry.eventId } },
      ];
    });
    try {
      await this.publisher.publishAll([...records, ...together]);
    } catch (error) {
      throw new Failure(
        'AUDIT_UNAVAILABLE',
        'The audit log cannot be written, so nothing was searched or shown.',
        true,
        {
          cause: error,
        },
      );
    }
  }
}
