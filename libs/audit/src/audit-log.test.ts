import { describe, expect, it } from 'vitest';
import { auditLeaf, type AuditEntry, type AuditStatement } from '#contracts/audit-record.js';
import type { OutgoingRecord } from '#contracts/outgoing-record.js';
import { AUDIT_ENTRIES, AUDIT_LOG } from '#contracts/topics.js';
import { AuditLog } from './audit-log.js';

const statement = (action: string): AuditStatement => ({
  operation: 'consultation',
  action,
  actor: 'officer-1',
  role: 'officer',
  purpose: 'missing',
});

/** Kafka, as far as the audit log sees it: everything of a call is written, or the call rejects. */
class Kafka {
  readonly calls: OutgoingRecord[][] = [];
  away: Error | undefined;

  publishAll(records: OutgoingRecord[]): Promise<{ partition: number; offset: number }[]> {
    if (this.away !== undefined) return Promise.reject(this.away);
    this.calls.push(records);
    return Promise.resolve(records.map((_, offset) => ({ partition: 0, offset })));
  }
}

describe('the audit log', () => {
  it('writes each entry under its id, and its leaf in order to the one partition of the log', async () => {
    const kafka = new Kafka();
    await new AuditLog(kafka, '/query').append([statement('first'), statement('second')]);
    const records = kafka.calls.flat();
    const entries = records.filter(({ topic }) => topic === AUDIT_ENTRIES);
    const leaves = records.filter(({ topic }) => topic === AUDIT_LOG);
    expect(entries.map(({ value }) => (JSON.parse(String(value)) as AuditEntry).action)).toEqual(['first', 'second']);
    expect(leaves).toHaveLength(2);
    entries.forEach((entry, i) => {
      const { eventId } = JSON.parse(String(entry.value)) as AuditEntry;
      expect(entry.key).toBe(eventId);
      expect(leaves[i]).toMatchObject({ partition: 0, headers: { ce_id: eventId } });
      expect(leaves[i]!.value).toEqual(auditLeaf(entry.value as Buffer));
    });
  });

  it('says in the log’s leaf nothing but the entry’s id: neither who nor what nor why', async () => {
    const kafka = new Kafka();
    await new AuditLog(kafka, '/query').append([statement('first')]);
    const leaf = kafka.calls.flat().find(({ topic }) => topic === AUDIT_LOG)!;
    expect(leaf.key).toBeNull();
    expect(leaf.value).toHaveLength(32);
    expect(Object.keys(leaf.headers!)).toEqual(['ce_id']);
  });

  it('writes the leaf only when the entry is acknowledged: a leaf without its entry never is the writer’s doing', async () => {
    const kafka = new Kafka();
    const log = new AuditLog(kafka, '/query');
    await log.append([statement('first'), statement('second')]);
    expect(kafka.calls.map((call) => call.map(({ topic }) => topic))).toEqual([
      [AUDIT_ENTRIES, AUDIT_ENTRIES],
      [AUDIT_LOG, AUDIT_LOG],
    ]);
    kafka.away = new Error('no broker');
    await expect(log.append([statement('third')])).rejects.toMatchObject({ code: 'AUDIT_UNAVAILABLE' });
    expect(kafka.calls).toHaveLength(2);
  });

  it('sends what must not exist without the entry after it, in the call of its leaf', async () => {
    const kafka = new Kafka();
    const together = { topic: 'searches.events.v1', key: 'k', value: 'v' };
    await new AuditLog(kafka, '/query').append([statement('first')], [together]);
    expect(kafka.calls[1]!.map(({ topic }) => topic)).toEqual([AUDIT_LOG, 'searches.events.v1']);
  });

  it('fails with AUDIT_UNAVAILABLE, which may pass, when it cannot be written: then nothing may be shown', async () => {
    const kafka = new Kafka();
    kafka.away = new Error('no broker');
    await expect(new AuditLog(kafka, '/query').append([statement('first')])).rejects.toMatchObject({
      code: 'AUDIT_UNAVAILABLE',
      retryable: true,
      cause: kafka.away,
    });
  });
});
