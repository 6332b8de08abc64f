import { describe, expect, it } from 'vitest';
import { AuditLog } from '#audit/audit-log.js';
import type { AuditEntry } from '#contracts/audit-record.js';
import type { OutgoingRecord } from '#contracts/outgoing-record.js';
import { AUDIT_ENTRIES, AUDIT_LOG } from '#contracts/topics.js';
import type { ImageId, ModelId, SubjectId } from '#domain/ids.js';
import { eventually } from '#testkit/kafka-test-helpers.js';
import { CollectionAudit, type CollectedImage } from './collection-audit.js';

/** Kafka, as far as the audit log sees it. */
class Kafka {
  readonly written: OutgoingRecord[] = [];
  attempts = 0;
  away = false;

  publishAll(records: OutgoingRecord[]): Promise<{ partition: number; offset: number }[]> {
    this.attempts++;
    if (this.away) return Promise.reject(new Error('away'));
    this.written.push(...records);
    return Promise.resolve(records.map((_, offset) => ({ partition: 0, offset })));
  }

  get entries(): AuditEntry[] {
    return this.written
      .filter(({ topic }) => topic === AUDIT_ENTRIES)
      .map(({ value }) => JSON.parse(String(value)) as AuditEntry);
  }
}

const image = (n: number, more: Partial<CollectedImage> = {}): CollectedImage => ({
  imageId: `image-${n}` as ImageId,
  subjectId: `subject-${n}` as SubjectId,
  source: '/custody-suite',
  lawfulBasis: 'PACE 1984 s.64A',
  partition: n % 24,
  offset: n,
  ...more,
});

function auditOn(kafka: Kafka, isMoreComing: () => boolean = () => false): CollectionAudit {
  const log = { warn: () => undefined };
  return new CollectionAudit(new AuditLog(kafka, '/test'), '00' as ModelId, isMoreComing, log);
}

describe('the audit of collection', () => {
  it('names a lone image at once: whose it is, who sent it, on what basis, and from which record', async () => {
    const kafka = new Kafka();
    await auditOn(kafka).record(image(30));
    expect(kafka.entries).toHaveLength(1);
    expect(kafka.entries[0]).toMatchObject({
      operation: 'collection',
      action: 'images-enrolled',
      actor: '/custody-suite',
      role: 'system',
      system: '/custody-suite',
      modelId: '00',
      imageIds: ['image-30'],
      subjectIds: ['subject-30'],
      detail: { lawfulBasis: 'PACE 1984 s.64A', images: 1, records: '6/30' },
    });
    expect(kafka.written.map(({ topic }) => topic)).toEqual([AUDIT_ENTRIES, AUDIT_LOG]);
  });

  it('names a slice in one entry while more is coming, and no image goes on before it', async () => {
    const kafka = new Kafka();
    let left = 20;
    const audit = auditOn(kafka, () => --left > 0);
    const before: number[] = [];
    await Promise.all(
      Array.from({ length: 20 }, async (_, n) => {
        await audit.record(image(n));
        before.push(kafka.entries.length);
      }),
    );
    expect(before).toEqual(Array(20).fill(1));
    expect(kafka.entries[0]!.imageIds).toEqual(Array.from({ length: 20 }, (_, n) => `image-${n}`));
  });

  it('waits for what is coming for a while only', async () => {
    const kafka = new Kafka();
    await auditOn(kafka, () => true).record(image(1));
    expect(kafka.entries).toHaveLength(1);
  });

  it('names at most a hundred images in an entry', async () => {
    const kafka = new Kafka();
    const audit = auditOn(kafka, () => true);
    await Promise.all(Array.from({ length: 250 }, (_, n) => audit.record(image(n))));
    expect(kafka.entries.map(({ imageIds }) => imageIds!.length)).toEqual([100, 100, 50]);
    expect(new Set(kafka.entries.flatMap(({ imageIds }) => imageIds)).size).toBe(250);
  });

  it('says of each system and lawful basis exactly the images that it holds for', async () => {
    const kafka = new Kafka();
    let left = 4;
    const audit = auditOn(kafka, () => --left > 0);
    await Promise.all([
      audit.record(image(1)),
      audit.record(image(2, { lawfulBasis: undefined })),
      audit.record(image(3, { source: '/other-suite' })),
      audit.record(image(4)),
    ]);
    const said = kafka.entries.map(({ system, detail, imageIds }) => [system, detail!['lawfulBasis'], imageIds]);
    expect(said).toEqual([
      ['/custody-suite', 'PACE 1984 s.64A', ['image-1', 'image-4']],
      ['/custody-suite', 'not stated', ['image-2']],
      ['/other-suite', 'PACE 1984 s.64A', ['image-3']],
    ]);
  });

  it('waits while the audit log cannot be written, and lets the image go on when it can', async () => {
    const kafka = new Kafka();
    kafka.away = true;
    let recorded = false;
    const recording = auditOn(kafka)
      .record(image(1))
      .then(() => (recorded = true));
    await eventually(() => expect(kafka.attempts).toBeGreaterThan(2));
    expect(recorded).toBe(false);
    kafka.away = false;
    await recording;
    expect(kafka.entries).toHaveLength(1);
  });

  it('does not name an image again that is tried again, until it has come to its end', async () => {
    const kafka = new Kafka();
    const audit = auditOn(kafka);
    await audit.record(image(1));
    await audit.record(image(1));
    expect(kafka.entries).toHaveLength(1);
    audit.forget(image(1));
    await audit.record(image(1));
    expect(kafka.entries).toHaveLength(2);
    expect(kafka.entries[1]!.detail).toEqual(kafka.entries[0]!.detail);
  });

  it('at its close writes what is gathered, and refuses what waits for a log that is away', async () => {
    const kafka = new Kafka();
    const gathering = auditOn(kafka, () => true);
    const gathered = gathering.record(image(1));
    gathering.close();
    await gathered;
    expect(kafka.entries).toHaveLength(1);

    kafka.away = true;
    const waiting = auditOn(kafka);
    const refused = waiting.record(image(2));
    waiting.close();
    await expect(refused).rejects.toMatchObject({ code: 'AUDIT_UNAVAILABLE', retryable: true });
    await expect(waiting.record(image(3))).rejects.toMatchObject({ code: 'AUDIT_UNAVAILABLE' });
    expect(kafka.entries).toHaveLength(1);
  });
});
