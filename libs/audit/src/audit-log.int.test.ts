import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { auditLeaf, type AuditEntry } from '#contracts/audit-record.js';
import { AUDIT_ENTRIES, AUDIT_ENTRY_PARTITIONS, AUDIT_LOG, desiredTopics } from '#contracts/topics.js';
import type { ModelId } from '#domain/ids.js';
import type { KafkaClient } from '#kafka/kafka-client.js';
import type { KafkaRecord } from '#kafka/kafka-record.js';
import { clientForTests, eventually } from '#testkit/kafka-test-helpers.js';
import { AuditLog } from './audit-log.js';

let kafka: KafkaClient;
beforeAll(async () => {
  kafka = clientForTests();
  const topics = desiredTopics({ modelId: 'a0d170a0d170a0d1' as ModelId, profile: 'local', replication: 1 });
  await kafka.topicAdmin().applyTopics(topics.filter(({ name }) => name === AUDIT_LOG || name === AUDIT_ENTRIES));
});
afterAll(() => kafka.close());

it('keeps the entries’ leaves in the log in the order of the statements, each the hash of its entry’s bytes', async () => {
  const action = `test-${randomUUID()}`;
  const leaves: KafkaRecord[] = [];
  const entries = new Map<string, { bytes: Buffer; entry: AuditEntry }>();
  const fatal: unknown[] = [];
  const readers = [
    kafka.logReader({
      topic: AUDIT_LOG,
      partitions: [0],
      from: 'end',
      onFatal: (error) => void fatal.push(error),
      onBatch: async ({ records }) => void leaves.push(...records),
    }),
    kafka.logReader({
      topic: AUDIT_ENTRIES,
      partitions: Array.from({ length: AUDIT_ENTRY_PARTITIONS }, (_, p) => p),
      from: 'end',
      onFatal: (error) => void fatal.push(error),
      onBatch: async ({ records }) => {
        for (const { key, value } of records) {
          const entry = JSON.parse(String(value)) as AuditEntry;
          if (entry.action === action) entries.set(String(key), { bytes: value!, entry });
        }
      },
    }),
  ];
  await Promise.all(readers.map((reader) => reader.start()));
  const log = new AuditLog(kafka.publisher(), '/test');
  const purposes = Array.from({ length: 50 }, (_, i) => String(i));
  for (const from of [0, 10, 20, 30, 40]) {
    await log.append(
      purposes.slice(from, from + 10).map((purpose) => ({
        operation: 'consultation',
        action,
        actor: 'officer-1',
        role: 'officer',
        purpose,
      })),
    );
  }
  const ofThisTest = (): KafkaRecord[] => leaves.filter(({ headers }) => entries.has(headers['ce_id']!));
  await eventually(() => {
    expect(entries.size).toBe(purposes.length);
    expect(ofThisTest()).toHaveLength(purposes.length);
  });
  expect(ofThisTest().map(({ headers }) => entries.get(headers['ce_id']!)!.entry.purpose)).toEqual(purposes);
  for (const leaf of ofThisTest()) expect(leaf.value).toEqual(auditLeaf(entries.get(leaf.headers['ce_id']!)!.bytes));
  expect(fatal).toEqual([]);
  await Promise.all(readers.map((reader) => reader.close()));
});
