/**
 * A copy of the whole audit for those who verify it elsewhere: the checkpoints, the leaves and the entries, read from
 * their topics while they are sent. Not from the view, which would show what was there when it was read.
 */
import type { AuditLog } from '#audit/audit-log.js';
import { formatAuditLine, leafEventId, sealLine, type AuditLine } from '#contracts/audit-seal-record.js';
import { AUDIT_CHECKPOINTS, AUDIT_ENTRIES, AUDIT_ENTRY_PARTITIONS, AUDIT_LOG } from '#contracts/topics.js';
import type { Actor } from '#domain/identity.js';
import type { KafkaClient } from '#kafka/kafka-client.js';
import type { KafkaRecord } from '#kafka/kafka-record.js';
import type { LineSink } from '../line-sink.js';

export class AuditExport {
  constructor(
    private readonly kafka: KafkaClient,
    private readonly audit: AuditLog,
  ) {}

  /** Before the first line. @throws Failure AUDIT_UNAVAILABLE */
  begin(actor: Actor): Promise<void> {
    return this.audit.append([
      {
        operation: 'disclosure',
        action: 'audit-exported',
        actor: actor.id,
        role: 'auditor',
        purpose: 'audit',
        recipients: [actor.id],
      },
    ]);
  }

  /**
   * The checkpoints first and the entries last, each up to where its topic ends when the one before has been read: whatever
   * is signed is then in the log, and whatever is in the log has its entry, though all three grow meanwhile. Verifying
   * depends on it: a leaf whose entry is missing is never one that was being written.
   */
  async write(sink: LineSink): Promise<void> {
    const send = (lines: readonly AuditLine[]): Promise<void> =>
      lines.length === 0 ? Promise.resolve() : sink(lines.map((line) => `${formatAuditLine(line)}\n`).join(''));
    await send([{ kind: 'audit-export', version: 1, exportedAt: new Date().toISOString() }]);
    await this.read(AUDIT_CHECKPOINTS, 1, (records) =>
      send(
        records.map(
          ({ headers, value }) =>
            // What is neither kind is handed on as a checkpoint that nobody signed.
            sealLine(headers, value) ?? { kind: 'checkpoint', note: '' },
        ),
      ),
    );
    let index = 0;
    await this.read(AUDIT_LOG, 1, (records) => send(records.map((record) => leafLine(record, index++))));
    await this.read(AUDIT_ENTRIES, AUDIT_ENTRY_PARTITIONS, (records) => send(records.map(entryLine)));
    await send([{ kind: 'end', leaves: index, endedAt: new Date().toISOString() }]);
  }

  /** Everything that is in the topic when the reading begins. */
  private async read(
    topic: string,
    partitions: number,
    handle: (records: readonly KafkaRecord[]) => Promise<void>,
  ): Promise<void> {
    const failed = Promise.withResolvers<never>();
    failed.promise.catch(() => undefined);
    const reader = this.kafka.logReader({
      topic,
      partitions: Array.from({ length: partitions }, (_, partition) => partition),
      from: 'beginning',
      // One at a time: the lines of two batches must not be mixed up.
      concurrency: 1,
      onBatch: ({ records }) => handle(records),
      onFatal: failed.reject,
    });
    try {
      await Promise.race([reader.caughtUp(), failed.promise]);
    } finally {
      await reader.close();
    }
  }
}

function leafLine({ value, headers, timestampMs }: KafkaRecord, index: number): AuditLine {
  return {
    kind: 'leaf',
    index,
    leaf: value ?? Buffer.alloc(0),
    eventId: leafEventId(headers),
    loggedAt: new Date(timestampMs).toISOString(),
  };
}

function entryLine({ key, value }: KafkaRecord): AuditLine {
  return { kind: 'entry', eventId: key?.toString('utf8') ?? '', body: value };
}
