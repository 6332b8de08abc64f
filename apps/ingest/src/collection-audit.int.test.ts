import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AuditLog } from '#audit/audit-log.js';
import type { AuditEntry } from '#contracts/audit-record.js';
import { custodyImageHeaders } from '#contracts/custody-image.js';
import { partitionFor } from '#contracts/murmur2.js';
import type { OutgoingRecord } from '#contracts/outgoing-record.js';
import { AUDIT_ENTRIES, CUSTODY_IMAGES } from '#contracts/topics.js';
import { TEMPLATE_PARTITIONS } from '#domain/gallery.js';
import type { ImageId, Offset, SubjectId } from '#domain/ids.js';
import type { KafkaClient } from '#kafka/kafka-client.js';
import type { KafkaRecord, RecordPosition } from '#kafka/kafka-record.js';
import { custodyImageName } from '#platform/image-store.js';
import { createTopic, eventually } from '#testkit/kafka-test-helpers.js';
import { modelPackFolderForTests, samplePhotographsForTests, unlessOffline } from '#testkit/model-pack-for-tests.js';
import { EnrolmentForTests, image } from './enrolment-for-tests.js';

const fetched = await unlessOffline(Promise.all([modelPackFolderForTests(), samplePhotographsForTests()]));

/** An audit log of its own on the tests' broker, which refuses every write to it until it is put right. */
class UnwritableAudit {
  attempts = 0;
  readonly log: AuditLog;

  private constructor(
    private readonly kafka: KafkaClient,
    private readonly topic: string,
  ) {
    const publisher = kafka.publisher({ deadlineMs: 300 });
    const publishAll = (records: OutgoingRecord[]): Promise<RecordPosition[]> => {
      this.attempts++;
      return publisher.publishAll(records.map((record) => ({ ...record, topic })));
    };
    this.log = new AuditLog({ publishAll }, '/test');
  }

  static async on(kafka: KafkaClient): Promise<UnwritableAudit> {
    return new UnwritableAudit(kafka, await createTopic(kafka, 'audit', 1, { 'max.message.bytes': '10' }));
  }

  async putRight(): Promise<void> {
    const config = { 'max.message.bytes': '1048588' };
    await this.kafka.topicAdmin().applyTopics([{ name: this.topic, partitions: 1, replication: 1, config }], true);
  }
}

describe.runIf(fetched)('the collection of custody images, on the audit record', () => {
  if (fetched === undefined) return;
  const [packFolder, sample] = fetched;
  let ingest: EnrolmentForTests;

  beforeAll(async () => {
    ingest = await EnrolmentForTests.start(packFolder, sample);
  });
  afterAll(async () => {
    await ingest.close();
    expect(ingest.fatal).toEqual([]);
  });

  it('names who sent an image, of whom, on what basis and from which record, before its template is in the log', async () => {
    const id = ingest.newId();
    const custody = image(id, { subjectId: `of-${id}` as SubjectId, lawfulBasis: 'PACE 1984 s.64A' });
    const { source } = await ingest.submitImage(custody, ingest.portrait);
    const [entry] = await eventually(() => {
      expect(entriesOf(id)).toHaveLength(1);
      return entriesOf(id);
    });
    expect(entry).toMatchObject({
      operation: 'collection',
      action: 'images-enrolled',
      actor: '/test',
      role: 'system',
      system: '/test',
      modelId: ingest.faces.modelId,
      detail: { lawfulBasis: 'PACE 1984 s.64A' },
    });
    const at = entry!.imageIds!.indexOf(id);
    expect(entry!.subjectIds![at]).toBe(`of-${id}`);
    expect(String(entry!.detail!['records']).split(' ')[at]).toBe(`${source.partition}/${source.offset}`);
    await eventually(() => expect(ingest.templatesOf(id)).toHaveLength(1));
    expect(Date.parse(entry!.at)).toBeLessThanOrEqual(ingest.templatesOf(id)[0]!.timestampMs);
  });

  it('says nothing of an image that is refused: nothing of it is kept', async () => {
    const refused = await ingest.submitImage(image(ingest.newId()), ingest.landscape);
    expect(refused.outcome).toBe('refused');
    const id = ingest.newId();
    await ingest.submitImage(image(id), ingest.portrait);
    await eventually(() => expect(entriesOf(id)).toHaveLength(1));
    expect(entriesOf(refused.imageId)).toEqual([]);
  });

  it('takes one entry for the images of a slice', async () => {
    const ids = Array.from({ length: 12 }, () => ingest.newId());
    await Promise.all(ids.map((id) => ingest.submitImage(image(id), ingest.portrait)));
    await eventually(() => ids.forEach((id) => expect(entriesOf(id)).toHaveLength(1)));
    expect(new Set(ids.map((id) => entriesOf(id)[0]!.eventId)).size).toBeLessThan(ids.length);
  });

  it('without its entry nothing is stored or published; when the audit log is back, the image is enrolled', async () => {
    const id = ingest.newId();
    const audit = await UnwritableAudit.on(ingest.kafka);
    const record = recordOf(id, 1_000_000);
    const enrolling = ingest.enrolmentWith({ audit: audit.log }).handle(record);
    await eventually(() => expect(audit.attempts).toBeGreaterThan(3));
    expect(await ingest.images.get(custodyImageName(id, record.offset))).toBeUndefined();
    expect(ingest.templatesOf(id)).toEqual([]);
    await audit.putRight();
    expect(await enrolling).toMatchObject({ outcome: 'enrolled' });
    await eventually(() => expect(ingest.templatesOf(id)).toHaveLength(1));
    expect(await ingest.images.get(custodyImageName(id, record.offset))).toBeDefined();
  });

  it('of an image that was erased while the audit log was away stores nothing', async () => {
    const id = ingest.newId();
    const audit = await UnwritableAudit.on(ingest.kafka);
    // Every erasure of the image covers it.
    const record = recordOf(id, 0);
    const enrolling = ingest.enrolmentWith({ audit: audit.log }).handle(record);
    await eventually(() => expect(audit.attempts).toBeGreaterThan(0));
    expect(await ingest.submitErasure(id)).toMatchObject({ outcome: 'erased' });
    await eventually(() => expect(ingest.dispositions.get(id)?.kind).toBe('erased'));
    await audit.putRight();
    expect(await enrolling).toMatchObject({ outcome: 'superseded', by: 'erasure' });
    expect(await ingest.images.get(custodyImageName(id, record.offset))).toBeUndefined();
  });

  it('is repeated, recognisably, for a record that is delivered again', async () => {
    const id = ingest.newId();
    const { source } = await ingest.submitImage(image(id), ingest.portrait);
    await ingest.enrolment.handle(recordOf(id, source.offset));
    await eventually(() => expect(entriesOf(id)).toHaveLength(2));
    const places = entriesOf(id).map(
      ({ imageIds, detail }) => String(detail!['records']).split(' ')[imageIds!.indexOf(id)],
    );
    expect(places).toEqual([`${source.partition}/${source.offset}`, `${source.partition}/${source.offset}`]);
  });

  function entriesOf(id: ImageId): AuditEntry[] {
    return ingest.read
      .get(AUDIT_ENTRIES)!
      .map(({ value }) => JSON.parse(String(value)) as AuditEntry)
      .filter(({ operation, imageIds }) => operation === 'collection' && imageIds!.includes(id));
  }

  /** As the group delivers it. */
  function recordOf(id: ImageId, offset: number): KafkaRecord {
    const headers = custodyImageHeaders(image(id), '/test', 'image/jpeg');
    return {
      topic: CUSTODY_IMAGES,
      partition: partitionFor(id, TEMPLATE_PARTITIONS),
      offset: offset as Offset,
      key: Buffer.from(id),
      value: ingest.portrait,
      headers,
      timestampMs: Date.now(),
    };
  }
});
