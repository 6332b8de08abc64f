import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AuditLog } from '#audit/audit-log.js';
import { custodyImageHeaders } from '#contracts/custody-image.js';
import { dispositionRecord, parseDisposition } from '#contracts/disposition-record.js';
import { logMarker } from '#contracts/log-marker.js';
import { partitionFor } from '#contracts/murmur2.js';
import { CUSTODY_DISPOSITIONS, CUSTODY_IMAGES } from '#contracts/topics.js';
import { mergeDisposition, type Disposition } from '#domain/disposition.js';
import { TEMPLATE_PARTITIONS } from '#domain/gallery.js';
import type { ImageId, Offset } from '#domain/ids.js';
import type { KafkaRecord } from '#kafka/kafka-record.js';
import { eventually } from '#testkit/kafka-test-helpers.js';
import { modelPackFolderForTests, samplePhotographsForTests, unlessOffline } from '#testkit/model-pack-for-tests.js';
import { EnrolmentForTests, image, parsed } from './enrolment-for-tests.js';

const fetched = await unlessOffline(Promise.all([modelPackFolderForTests(), samplePhotographsForTests()]));

describe.runIf(fetched)('a process that was paused while another went on with its partition', () => {
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

  const sourcesOf = (id: ImageId): (number | undefined)[] =>
    ingest.templatesOf(id).map((record) => (record.value === null ? undefined : parsed(record).source.sourceOffset));

  /** A record from before everything that is to be on the topic. */
  async function early(id: ImageId): Promise<KafkaRecord> {
    const partition = partitionFor(Buffer.from(id), TEMPLATE_PARTITIONS);
    // So that the next one has a greater offset, also on a topic where nothing is yet.
    await ingest.publisher.publish(logMarker(CUSTODY_IMAGES, partition, '/test'));
    return {
      topic: CUSTODY_IMAGES,
      partition,
      offset: 0 as Offset,
      key: Buffer.from(id),
      value: Buffer.from(ingest.portrait),
      headers: custodyImageHeaders(image(id), '/test', 'image/jpeg'),
      timestampMs: Date.now(),
    };
  }

  /** Its audit entry is appended when it is let go on: until then it stands between the pipeline and the store. */
  function paused(): { readonly audit: AuditLog; readonly reached: Promise<void>; readonly wake: () => void } {
    const [reached, woken] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const publishAll = async (records: Parameters<typeof ingest.publisher.publishAll>[0]) => {
      reached.resolve();
      await woken.promise;
      return ingest.publisher.publishAll(records);
    };
    return { audit: new AuditLog({ publishAll }, '/test'), reached: reached.promise, wake: woken.resolve };
  }

  it('publishes a template late, and puts the newer one back behind it: that is the log’s last word', async () => {
    const id = ingest.newId();
    const { audit, reached, wake } = paused();
    const late = ingest.enrolmentWith({ audit }).handle(await early(id));
    await reached;
    const newer = await ingest.submitImage(image(id, { force: 'the newer one' }), ingest.portrait);
    expect(newer.outcome).toBe('enrolled');
    await eventually(() => expect(sourcesOf(id)).toEqual([newer.source.offset]));
    wake();
    expect(await late).toMatchObject({ outcome: 'superseded', by: 'later-image' });
    await eventually(() => expect(sourcesOf(id)).toEqual([newer.source.offset, 0, newer.source.offset]));
    const [first, , last] = ingest.templatesOf(id);
    expect(last!.value).toEqual(first!.value);
    expect(last!.headers).toEqual(first!.headers);
    expect(await ingest.images.latestImage(id)).toBe(newer.source.offset);
    expect(await ingest.storedOf({ ...newer, source: { ...newer.source, offset: 0 as Offset } })).toBeUndefined();
  });

  it('writes nothing for a record that is delivered again after a later one', async () => {
    const id = ingest.newId();
    const record = await early(id);
    const newer = await ingest.submitImage(image(id), ingest.portrait);
    expect(await ingest.enrolment.handle(record)).toMatchObject({ outcome: 'superseded', by: 'later-image' });
    await eventually(() => expect(sourcesOf(id)).toEqual([newer.source.offset]));
    expect(await ingest.images.latestImage(id)).toBe(newer.source.offset);
  });

  it('finds the person erased, though the newer image was enrolled meanwhile, too', async () => {
    const id = ingest.newId();
    const { audit, reached, wake } = paused();
    const late = ingest.enrolmentWith({ audit }).handle(await early(id));
    await reached;
    await ingest.submitImage(image(id), ingest.portrait);
    expect(await ingest.submitErasure(id)).toMatchObject({ outcome: 'erased' });
    await eventually(() => expect(ingest.dispositions.get(id)?.kind).toBe('erased'));
    wake();
    expect(await late).toMatchObject({ outcome: 'superseded', by: 'erasure' });
    expect(await ingest.images.latestImage(id)).toBeUndefined();
    expect(sourcesOf(id).at(-1)).toBeUndefined();
  });

  it('reads of a restriction that was lifted: the bound that is put back behind the null says what was lifted', async () => {
    const id = ingest.newId();
    const erased = { ...why(id), kind: 'erased' as const, sourceOffset: 5 as Offset };
    const directionId = randomUUID();
    const restricted = { ...why(id), kind: 'restricted' as const, sourceOffset: 6 as Offset, directionId };
    for (const one of [erased, restricted]) await ingest.publisher.publish(dispositionRecord(id, one, '/test'));
    // The bound that the restriction does not carry is put back as well.
    await eventually(() => expect(ingest.ofImage(CUSTODY_DISPOSITIONS, id)).toHaveLength(3));
    const { headers } = dispositionRecord(id, erased, '/test');
    await ingest.publisher.publish({ topic: CUSTODY_DISPOSITIONS, key: id, value: null, ...(headers && { headers }) });
    const last = await eventually(() => {
      const written = ingest.ofImage(CUSTODY_DISPOSITIONS, id);
      expect(written).toHaveLength(5);
      return parseDisposition(written.at(-1)!.value!);
    });
    expect(last).toMatchObject({ kind: 'erased', sourceOffset: 5, lifts: directionId });
    // Of somebody who has read the restriction, and finds the null compacted away.
    const known: Disposition = { ...restricted, erasedThrough: 5 as Offset };
    expect(mergeDisposition(known, last)).toMatchObject({ kind: 'erased', sourceOffset: 5 });
  });

  function why(imageId: ImageId): Omit<Disposition, 'kind' | 'sourceOffset'> {
    return { imageId, since: new Date().toISOString(), authority: 'test', reason: 'test' };
  }
});
