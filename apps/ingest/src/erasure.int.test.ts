import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AuditLog } from '#audit/audit-log.js';
import type { AuditEntry } from '#contracts/audit-record.js';
import { cloudEventHeaders } from '#contracts/cloud-events.js';
import {
  ASSERTION_HEADER,
  CUSTODY_ERASURE_TYPE,
  custodyImageHeaders,
  erasureHeaders,
} from '#contracts/custody-image.js';
import { directionEnd, directionRecord } from '#contracts/direction-record.js';
import { dispositionHeaders, parseDisposition } from '#contracts/disposition-record.js';
import { AUDIT_ENTRIES, CUSTODY_DISPOSITIONS, CUSTODY_IMAGES, deadLetters } from '#contracts/topics.js';
import { erasureReceiptId, type Direction, type EvidenceHold } from '#domain/direction.js';
import { isErased } from '#domain/disposition.js';
import type { ImageId, Offset, SubjectId } from '#domain/ids.js';
import type { ImageOutcome } from '#domain/image-outcome.js';
import type { KafkaRecord } from '#kafka/kafka-record.js';
import { eventually, silentLog } from '#testkit/kafka-test-helpers.js';
import { modelPackFolderForTests, samplePhotographsForTests, unlessOffline } from '#testkit/model-pack-for-tests.js';
import { EnrolmentForTests, image, parsed, systemError } from './enrolment-for-tests.js';
import { ImageConsumer } from './image-consumer.js';

const fetched = await unlessOffline(Promise.all([modelPackFolderForTests(), samplePhotographsForTests()]));

describe.runIf(fetched)('a null on the images’ topic', () => {
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

  it.each<[string, (id: ImageId) => Promise<ImageOutcome>]>([
    ['no assertion', (id) => ingest.submit({ key: id, value: null, headers: eventOf(id) })],
    [
      'an assertion that is none',
      (id) => ingest.submit({ key: id, value: null, headers: { ...eventOf(id), [ASSERTION_HEADER]: 'x' } }),
    ],
    ['an assertion about another image', (id) => ingest.submitErasure(id, { imageId: ingest.newId() })],
    [
      'an assertion about a search',
      (id) => ingest.submitErasure(id, { purpose: 'retrospective-search', searchId: id, probeSha256: 'ab' } as object),
    ],
    ['no headers at all', (id) => ingest.submit({ key: id, value: null })],
  ])('does not erase with %s: ERASURE_NOT_AUTHORISED, and the image stays', async (_, erase) => {
    const id = ingest.newId();
    const enrolled = await ingest.submitImage(image(id), ingest.portrait);
    expect(await erase(id)).toMatchObject({ outcome: 'refused', code: 'ERASURE_NOT_AUTHORISED' });
    expect(await ingest.storedOf(enrolled)).toBeDefined();
    expect(ingest.ofImage(CUSTODY_DISPOSITIONS, id)).toEqual([]);
    expect(ingest.templatesOf(id).filter(({ value }) => value === null)).toEqual([]);
  });

  function eventOf(id: ImageId): Record<string, string> {
    return cloudEventHeaders({ type: CUSTODY_ERASURE_TYPE, source: '/test', subject: id });
  }

  describe('an erasure', () => {
    it('empties the store, says so as a disposition, tombstone and outcome; what was enrolled afterwards is active', async () => {
      const id = ingest.newId();
      const enrolled = [
        await ingest.submitImage(image(id), ingest.portrait),
        await ingest.submitImage(image(id), ingest.portrait),
      ];
      const erased = await ingest.submitErasure(id);
      expect(erased).toMatchObject({ outcome: 'erased', authority: 'DPA 2018 s.47', reason: 'acquitted' });
      if (erased.outcome !== 'erased') return;
      for (const version of enrolled) expect(await ingest.storedOf(version)).toBeUndefined();

      const [disposition] = ingest.ofImage(CUSTODY_DISPOSITIONS, id);
      expect(disposition).toMatchObject(erased.disposition);
      expect(parseDisposition(disposition!.value!)).toMatchObject({
        imageId: id,
        kind: 'erased',
        sourceOffset: erased.source.offset,
        authority: 'DPA 2018 s.47',
      });
      await eventually(() => expect(ingest.templatesOf(id).at(-1)).toMatchObject({ value: null }));
      expect(ingest.templatesOf(id)).toHaveLength(3);

      await eventually(() => expect(ingest.dispositions.get(id)).toMatchObject({ kind: 'erased' }));
      const again = await ingest.submitImage(image(id), ingest.portrait);
      expect(again).toMatchObject({ outcome: 'enrolled' });
      expect(await ingest.storedOf(again)).toBeDefined();
      await eventually(() => expect(ingest.templatesOf(id).at(-1)!.value).not.toBeNull());
      expect(parsed(ingest.templatesOf(id).at(-1)!).source.sourceOffset).toBe(again.source.offset);
    });

    it('supersedes a record from before it that is delivered again, and nothing of that is kept', async () => {
      const id = ingest.newId();
      const enrolled = await ingest.submitImage(image(id), ingest.portrait);
      await ingest.submitErasure(id);
      await eventually(() => expect(ingest.dispositions.get(id)).toBeDefined());
      const templates = ingest.templatesOf(id).length;
      const outcome = await ingest.enrolment.handle(redelivered(enrolled, ingest.portrait));
      expect(outcome).toMatchObject({ outcome: 'superseded', by: 'erasure' });
      expect(await ingest.storedOf(enrolled)).toBeUndefined();
      expect(ingest.templatesOf(id)).toHaveLength(templates);
    });

    it('that is delivered again after a later one does not take the later one back', async () => {
      const id = ingest.newId();
      await ingest.submitImage(image(id), ingest.portrait);
      const first = await ingest.submitErasure(id);
      const between = await ingest.submitImage(image(id), ingest.portrait);
      const last = await ingest.submitErasure(id);
      await eventually(() => expect(ingest.dispositions.get(id)!.sourceOffset).toBe(last.source.offset));
      const assertion = await ingest.signer.sign({
        purpose: 'erasure',
        subject: 'dpo-1',
        role: 'data-protection',
        imageId: id,
        authority: 'a',
        reason: 'r',
      });
      await ingest.enrolment.handle({ ...redelivered(first, null), headers: erasureHeaders(id, '/test', assertion) });
      await eventually(() => expect(ingest.ofImage(CUSTODY_DISPOSITIONS, id)).toHaveLength(3));
      const decided = parseDisposition(ingest.ofImage(CUSTODY_DISPOSITIONS, id).at(-1)!.value!);
      expect(decided.sourceOffset).toBe(last.source.offset);
      expect(decided.sourceOffset).toBeGreaterThan(between.source.offset);
    });

    it('is on the audit record once, with who decided it, under which authority and why', async () => {
      const id = ingest.newId();
      const erased = await ingest.submitErasure(id);
      const entries = await eventually(() => {
        expect(auditEntriesOf(id)).not.toEqual([]);
        return auditEntriesOf(id);
      });
      expect(entries).toHaveLength(1);
      expect(entries[0]).toMatchObject({
        operation: 'erasure',
        actor: 'dpo-1',
        role: 'data-protection',
        system: 'custody-suite',
        purpose: 'DPA 2018 s.47',
        justification: 'acquitted',
        imageIds: [id],
        detail: erased.source,
      });
      expect(auditEntriesOf((await ingest.submitErasure(ingest.newId(), { imageId: ingest.newId() })).imageId)).toEqual(
        [],
      );
    });

    it('waits for the audit log: without its entry nothing is erased', async () => {
      const id = ingest.newId();
      const enrolled = await ingest.submitImage(image(id), ingest.portrait);
      const broken = ingest.enrolmentWith({
        audit: new AuditLog({ publishAll: () => Promise.reject(new Error('away')) }, '/test'),
      });
      const later = { ...redelivered(enrolled, null), offset: (enrolled.source.offset + 1) as Offset };
      const record = { ...later, headers: erasureHeaders(id, '/test', await assertionFor(id)) };
      await expect(broken.handle(record)).rejects.toMatchObject({ code: 'AUDIT_UNAVAILABLE', retryable: true });
      expect(await ingest.storedOf(enrolled)).toBeDefined();
      expect(ingest.ofImage(CUSTODY_DISPOSITIONS, id)).toEqual([]);
    });

    it('is tried until the disk lets it happen, audited once, and is no dead letter', async () => {
      const id = ingest.newId();
      const enrolled = await ingest.submitImage(image(id), ingest.portrait);
      ingest.faults.set(
        id,
        Array.from({ length: 4 }, () => new Error('a bug, for all anybody knows')),
      );
      expect(await ingest.submitErasure(id)).toMatchObject({ outcome: 'erased' });
      expect(ingest.faults.get(id)).toEqual([]);
      expect(await ingest.storedOf(enrolled)).toBeUndefined();
      await eventually(() => expect(auditEntriesOf(id)).toHaveLength(1));
      expect(ingest.ofImage(deadLetters(CUSTODY_IMAGES), id)).toEqual([]);
    });

    it('is left to the partition’s next owner, without an outcome or a dead letter, when it cannot be done', async () => {
      const id = ingest.newId();
      const enrolled = await ingest.submitImage(image(id), ingest.portrait);
      ingest.faults.set(
        id,
        Array.from({ length: 100 }, () => systemError('EIO')),
      );
      const revoked = new AbortController();
      const record = { ...redelivered(enrolled, null), headers: erasureHeaders(id, '/test', await assertionFor(id)) };
      const handled = new ImageConsumer(ingest.enrolment, ingest.publisher, silentLog, ingest.readAgain).handleBatch({
        topic: CUSTODY_IMAGES,
        partition: record.partition,
        records: [record],
        highWatermark: record.offset,
        generation: 1,
        signal: revoked.signal,
        handledTo: () => undefined,
      });
      await eventually(() => expect(ingest.faults.get(id)!.length).toBeLessThan(97));
      const revokedAtMs = performance.now();
      revoked.abort();
      await handled;
      // Not after the pause between two attempts, which is longer by now.
      expect(performance.now() - revokedAtMs).toBeLessThan(1_000);
      ingest.faults.delete(id);
      expect(ingest.outcomesOf(record).filter(({ outcome }) => outcome !== 'enrolled')).toEqual([]);
      expect(ingest.ofImage(deadLetters(CUSTODY_IMAGES), id)).toEqual([]);
    });

    it('destroys the photograph that a paused writer stores afterwards, once the writer knows of it', async () => {
      const id = ingest.newId();
      const enrolled = await ingest.submitImage(image(id), ingest.portrait);
      await ingest.submitErasure(id);
      const paused = ingest.enrolmentWith({ dispositionOf: () => undefined });
      await paused.handle(redelivered(enrolled, ingest.portrait));
      expect(await ingest.storedOf(enrolled)).toBeDefined();
      const woken = ingest.followDispositions();
      await woken.start();
      await eventually(async () => expect(await ingest.storedOf(enrolled)).toBeUndefined());
      await woken.close();
    });

    it('that is read of while the image is in the pipeline takes the template and the photograph back', async () => {
      const id = ingest.newId();
      const enrolled = await ingest.submitImage(image(id), ingest.portrait);
      await ingest.submitErasure(id);
      await eventually(() => expect(ingest.templatesOf(id)).toHaveLength(2));
      let asked = 0;
      const late = ingest.enrolmentWith({
        dispositionOf: (of) => (asked++ < 2 ? undefined : ingest.dispositions.get(of)),
      });
      await eventually(() => expect(ingest.dispositions.get(id)).toBeDefined());
      expect(await late.handle(redelivered(enrolled, ingest.portrait))).toMatchObject({
        outcome: 'superseded',
        by: 'erasure',
      });
      await eventually(() => expect(ingest.templatesOf(id)).toHaveLength(4));
      expect(ingest.templatesOf(id).map(({ value }) => value === null)).toEqual([false, true, false, true]);
      expect(await ingest.storedOf(enrolled)).toBeUndefined();
    });

    it('is not lifted by whoever makes the image active: the bound goes back into the log', async () => {
      const id = ingest.newId();
      await ingest.submitImage(image(id), ingest.portrait);
      const { source } = await ingest.submitErasure(id);
      const headers = dispositionHeaders(id, '/test');
      await ingest.publisher.publish({ topic: CUSTODY_DISPOSITIONS, key: id, value: null, headers });
      await eventually(() => expect(ingest.ofImage(CUSTODY_DISPOSITIONS, id)).toHaveLength(3));
      const last = parseDisposition(ingest.ofImage(CUSTODY_DISPOSITIONS, id).at(-1)!.value!);
      expect(isErased(last, source.offset)).toBe(true);
      expect(isErased(ingest.dispositions.get(id), source.offset)).toBe(true);
    });

    it('of an image on evidence hold restricts it instead, and the sender is told by what', async () => {
      const id = ingest.newId();
      const enrolled = await ingest.submitImage(image(id), ingest.portrait);
      const hold = await give(holdOn(id));
      const restricted = await ingest.submitErasure(id);
      const heldBy = [{ directionId: hold.directionId, kind: 'evidence-hold' }];
      expect(restricted).toMatchObject({
        outcome: 'restricted',
        authority: 'DPA 2018 s.47',
        reason: 'acquitted',
        heldBy,
      });
      if (restricted.outcome !== 'restricted') return;
      await ingest.directions.upToDate();
      const { partition, offset } = restricted.source;
      expect(ingest.directions.get(restricted.restrictionId)).toMatchObject({
        kind: 'restriction',
        target: { imageIds: [id] },
        by: 'dpo-1',
        system: 'custody-suite',
        insteadOf: `${CUSTODY_IMAGES}/${partition}/${offset}`,
        heldBy,
      });
      expect(await ingest.storedOf(enrolled)).toBeDefined();
      expect(ingest.templatesOf(id).map(({ value }) => value === null)).toEqual([false]);
      await eventually(() =>
        expect(auditEntriesOf(id).map(({ action }) => action)).toContain('restricted-instead-of-erased'),
      );
      expect(isErased(ingest.dispositions.get(id), restricted.source.offset)).toBe(false);

      await ingest.publisher.publish(directionEnd(hold.directionId, '/test'));
      // Delivered again, it comes to what it came to; asked for again, it is done.
      const again = { ...redelivered(restricted, null), headers: erasureHeaders(id, '/test', await assertionFor(id)) };
      expect(await ingest.enrolment.handle(again)).toMatchObject({
        outcome: 'restricted',
        restrictionId: restricted.restrictionId,
        heldBy,
      });
      expect(await ingest.submitErasure(id)).toMatchObject({ outcome: 'erased' });
      expect(await ingest.storedOf(enrolled)).toBeUndefined();
    });

    it('is not made by sending another picture under the id either: what is held stays in the store', async () => {
      const id = ingest.newId();
      const evidence = await ingest.submitImage(image(id), ingest.portrait);
      // Acknowledged, and perhaps not read by ingest yet.
      const hold = await give(holdOn(id));
      const replacement = await ingest.submitImage(image(id), ingest.portrait);
      expect(replacement).toMatchObject({ outcome: 'enrolled' });
      const kept = (await ingest.storedOf(evidence))!;
      // Kept, and no longer what a correction may be about.
      const late = image(id, { subjectId: 'subject-right' as SubjectId, correctionOf: evidence.source.offset });
      expect(await ingest.submitImage(late, kept)).toMatchObject({ outcome: 'superseded', by: 'later-image' });
      await ingest.publisher.publish(directionEnd(hold.directionId, '/test'));
      await ingest.directions.upToDate();
      await ingest.submitImage(image(id), ingest.portrait);
      expect(await ingest.storedOf(evidence)).toBeUndefined();
      expect(await ingest.storedOf(replacement)).toBeUndefined();
    });

    it('never overlooks a hold that was acknowledged before the null was sent', async () => {
      for (let round = 0; round < 5; round++) {
        const id = ingest.newId();
        await give(holdOn(id));
        expect(await ingest.submitErasure(id)).toMatchObject({ outcome: 'restricted' });
      }
    });

    it('that was decided before the hold is carried out, and its receipt names each store', async () => {
      const id = ingest.newId();
      const enrolled = await ingest.submitImage(image(id), ingest.portrait);
      const { reason: _reason, ...why } = holdOn(id);
      const erasureId = randomUUID();
      await give({ ...why, directionId: erasureId, kind: 'erasure', reason: 'acquitted', state: 'decided' });
      await give(holdOn(id));
      const erased = await ingest.submitErasure(id, { erasureId });
      expect(erased).toMatchObject({ outcome: 'erased' });
      expect(await ingest.storedOf(enrolled)).toBeUndefined();
      await ingest.directions.upToDate();
      const tombstone = await eventually(() => {
        const last = ingest.templatesOf(id).at(-1)!;
        expect(last.value).toBeNull();
        return { partition: last.partition, offset: last.offset };
      });
      const { disposition } = erased as ImageOutcome & { outcome: 'erased' };
      const receipt = ingest.directions.get(erasureReceiptId(erasureId, id));
      expect(receipt).toMatchObject({
        kind: 'erasure-receipt',
        erasureId,
        source: erased.source,
        disposition,
        tombstone,
      });
      await eventually(() =>
        expect(ingest.dispositions.get(id)).toMatchObject({ kind: 'erased', directionId: erasureId }),
      );
    });

    it.each([
      ['waits for a second person', { state: 'awaiting-approval' as const }],
      ['is about other images', { state: 'decided' as const, target: { imageIds: ['another' as ImageId] } }],
    ])('that names an erasure which %s is none that was decided: the hold forbids it', async (_, more) => {
      const id = ingest.newId();
      const hold = await give(holdOn(id));
      const erasureId = randomUUID();
      await give({ ...hold, directionId: erasureId, kind: 'erasure', ...more });
      expect(await ingest.submitErasure(id, { erasureId })).toMatchObject({ outcome: 'restricted' });
    });

    it.each([
      ['has restricted the image instead', () => ({ outcome: 'restricted-instead' as const })],
      [
        'has erased what was held before',
        (before: ImageOutcome) => ({ outcome: 'erase' as const, source: before.source }),
      ],
      ['is carried out by another system', () => undefined],
    ])('that names a decided erasure which %s is none of its nulls: the hold forbids it', async (_, became) => {
      const id = ingest.newId();
      const enrolled = await ingest.submitImage(image(id), ingest.portrait);
      const hold = await give(holdOn(id));
      const erasureId = randomUUID();
      const done = became(enrolled);
      const more = done === undefined ? { system: 'custody-query' } : { images: [{ imageId: id, ...done }] };
      await give({ ...hold, directionId: erasureId, kind: 'erasure', state: 'decided', ...more });
      expect(await ingest.submitErasure(id, { erasureId })).toMatchObject({ outcome: 'restricted' });
      expect(await ingest.storedOf(enrolled)).toBeDefined();
    });

    it.each(['officer', 'operator', 'auditor'] as const)(
      'is not authorised by a system for somebody who is %s',
      async (role) => {
        const id = ingest.newId();
        const enrolled = await ingest.submitImage(image(id), ingest.portrait);
        expect(await ingest.submitErasure(id, { role })).toMatchObject({
          outcome: 'refused',
          code: 'ERASURE_NOT_AUTHORISED',
        });
        expect(await ingest.storedOf(enrolled)).toBeDefined();
      },
    );

    function holdOn(id: ImageId): EvidenceHold {
      const at = new Date().toISOString();
      const why = {
        authority: 'CPIA 1996',
        reason: 'for the trial',
        by: 'dpo-1',
        role: 'data-protection' as const,
        at,
      };
      return { directionId: randomUUID(), kind: 'evidence-hold', target: { imageIds: [id] }, ...why };
    }

    async function give<D extends Direction>(direction: D): Promise<D> {
      await ingest.publisher.publish(directionRecord(direction, '/test'));
      return direction;
    }

    function auditEntriesOf(id: ImageId): AuditEntry[] {
      return ingest.read
        .get(AUDIT_ENTRIES)!
        .map(({ value }) => JSON.parse(String(value)) as AuditEntry)
        .filter(({ imageIds, operation }) => operation !== 'collection' && imageIds?.includes(id) === true);
    }

    function assertionFor(imageId: ImageId): Promise<string> {
      const about = { imageId, authority: 'DPA 2018 s.47', reason: 'acquitted' };
      return ingest.signer.sign({ purpose: 'erasure', subject: 'dpo-1', role: 'data-protection', ...about });
    }

    function redelivered(outcome: ImageOutcome, value: Buffer | null): KafkaRecord {
      return {
        topic: CUSTODY_IMAGES,
        ...outcome.source,
        key: Buffer.from(outcome.imageId),
        value,
        headers: custodyImageHeaders(image(outcome.imageId), '/test', 'image/jpeg'),
        timestampMs: Date.now(),
      };
    }
  });
});
