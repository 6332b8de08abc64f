import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AuditLog } from '#audit/audit-log.js';
import { directionEnd } from '#contracts/direction-record.js';
import { dispositionHeaders, encodeDisposition, parseDisposition } from '#contracts/disposition-record.js';
import { CUSTODY_DIRECTIONS, CUSTODY_DISPOSITIONS } from '#contracts/topics.js';
import { codeOfAsync } from '#domain/codes-for-tests.js';
import { erasedThrough, type Disposition } from '#domain/disposition.js';
import type { ImageId, Offset, SubjectId } from '#domain/ids.js';
import { eventually } from '#testkit/kafka-test-helpers.js';
import type { GivenKind } from './custody-directions.js';
import { DataProtectionForTests, dpo, type DataProtectionReplica } from './data-protection-for-tests.js';

const why = { authority: 'DPA 2018 s.47(3)', reason: 'Accuracy is contested by the person' };

let tests: DataProtectionForTests;
/** Two replicas; the first owns the directions. */
let one: DataProtectionReplica;
let two: DataProtectionReplica;
const owning = new AbortController();

beforeAll(async () => {
  tests = await DataProtectionForTests.start();
  [one, two] = [await tests.replica(), await tests.replica()];
  one.owner.own(owning.signal);
});
afterAll(async () => {
  owning.abort();
  await tests.close();
  expect(tests.fatal).toEqual([]);
});

async function enrolled(subject: SubjectId = tests.newSubject()): Promise<ImageId> {
  const image = tests.newImage();
  await tests.enrol(image, subject);
  await eventually(() => {
    for (const { register } of [one, two]) expect(register.image(image)?.subjectId).toBe(subject);
  });
  return image;
}

const give = (kind: GivenKind, about: { imageId: ImageId } | { subjectId: SubjectId }, key?: string) =>
  two.given.give(dpo(1), kind, { ...about, ...why }, key);
const kindOf = (image: ImageId) => two.dispositions.get(image)?.kind;

describe('a restriction', () => {
  it('takes the image out of searches before it is answered, and gives it back when it is lifted', async () => {
    const image = await enrolled();
    const given = await give('restriction', { imageId: image });
    expect(given).toMatchObject({ imageId: image, subjectId: null, by: 'dpo-1', ...why });
    expect(given.images).toEqual([{ imageId: image, held: true, searchable: false, erasedBy: [] }]);
    expect(two.dispositions.get(image)).toMatchObject({ kind: 'restricted', directionId: given.directionId, ...why });

    const lifted = await two.given.lift(dpo(2), 'restriction', given.directionId, why);
    expect(lifted.images).toEqual([{ imageId: image, held: true, searchable: true, erasedBy: [] }]);
    expect(two.dispositions.get(image)).toBeUndefined();
    // Nothing stays in the log that could come back after compaction.
    expect((await tests.recordsOf(CUSTODY_DISPOSITIONS, image)).at(-1)!.value).toBeNull();
  });

  it('on a subject holds for what is enrolled later, and for nothing that turns out to be somebody else’s', async () => {
    const [subject, other] = [tests.newSubject(), tests.newSubject()];
    const first = await enrolled(subject);
    const given = await give('restriction', { subjectId: subject });
    expect(given).toMatchObject({ subjectId: subject, imageId: null, images: [{ imageId: first, searchable: false }] });
    const later = await enrolled(subject);
    await eventually(() => expect(kindOf(later)).toBe('restricted'));

    await tests.enrol(first, other);
    await eventually(() => expect([kindOf(first), kindOf(later)]).toEqual([undefined, 'restricted']));
    await two.given.lift(dpo(1), 'restriction', given.directionId, why);
    await eventually(() => expect(kindOf(later)).toBeUndefined());
  });

  it('beats a retirement, and leaves it in force when it is lifted', async () => {
    const image = await enrolled();
    const retirement = await give('retirement', { imageId: image });
    expect(kindOf(image)).toBe('retired');
    const restriction = await give('restriction', { imageId: image });
    expect(kindOf(image)).toBe('restricted');
    const lifted = await two.given.lift(dpo(1), 'restriction', restriction.directionId, why);
    expect(lifted.images).toMatchObject([{ searchable: false }]);
    expect(kindOf(image)).toBe('retired');
    await two.given.lift(dpo(1), 'retirement', retirement.directionId, why);
    expect(kindOf(image)).toBeUndefined();
  });

  it('that is lifted lifts no erasure: its bound is the last word of the log', async () => {
    const image = await enrolled();
    const erased: Disposition = {
      imageId: image,
      kind: 'erased',
      since: new Date().toISOString(),
      ...why,
      sourceOffset: 0 as Offset,
    };
    await tests.kafka.publisher().publish({
      topic: CUSTODY_DISPOSITIONS,
      key: image,
      value: encodeDisposition(erased),
      headers: dispositionHeaders(image, '/test'),
    });
    await eventually(() => expect(kindOf(image)).toBe('erased'));
    const { directionId } = await give('restriction', { imageId: image });
    await eventually(() => expect(kindOf(image)).toBe('restricted'));
    await two.given.lift(dpo(1), 'restriction', directionId, why);
    await eventually(() => expect(kindOf(image)).toBe('erased'));
    const last = (await tests.recordsOf(CUSTODY_DISPOSITIONS, image)).at(-1)!;
    expect(erasedThrough(parseDisposition(last.value!))).toBe(0);
  });

  it('is put back when somebody who is no longer the owner writes late that the image is active', async () => {
    const image = await enrolled();
    await give('restriction', { imageId: image });
    const headers = dispositionHeaders(image, '/test');
    const late = await tests.kafka
      .publisher()
      .publish({ topic: CUSTODY_DISPOSITIONS, key: image, value: null, headers });
    await eventually(() => {
      expect(two.dispositions.hasRead(late.partition, late.offset)).toBe(true);
      expect(kindOf(image)).toBe('restricted');
    });
  });

  it('that was decided elsewhere stays, whatever is directed and lifted here', async () => {
    const image = await enrolled();
    const byHand: Disposition = {
      imageId: image,
      kind: 'restricted',
      since: new Date().toISOString(),
      ...why,
      sourceOffset: 0 as Offset,
    };
    await tests.kafka.publisher().publish({
      topic: CUSTODY_DISPOSITIONS,
      key: image,
      value: encodeDisposition(byHand),
      headers: dispositionHeaders(image, '/test'),
    });
    await eventually(() => expect(kindOf(image)).toBe('restricted'));
    const { directionId } = await give('retirement', { imageId: image });
    await two.given.lift(dpo(1), 'retirement', directionId, why);
    expect(two.dispositions.get(image)).toEqual(byHand);
    expect(await tests.recordsOf(CUSTODY_DISPOSITIONS, image)).toHaveLength(1);
  });
});

describe('whoever takes over', () => {
  it('finds what was directed and not made so, whoever failed to', async () => {
    const subject = tests.newSubject();
    const first = await enrolled(subject);
    const lifted = await give('restriction', { imageId: await enrolled() });
    const [image] = lifted.images;
    owning.abort();
    // Nobody owns the directions: what is given is made so by whoever gives it, what comes of it later is not.
    await give('restriction', { subjectId: subject });
    expect(kindOf(first)).toBe('restricted');
    const later = await enrolled(subject);
    await tests.kafka.publisher().publish(directionEnd(lifted.directionId, '/test'));
    await two.directions.upToDate();
    expect(kindOf(later)).toBeUndefined();

    const next = new AbortController();
    two.owner.own(next.signal);
    await eventually(() =>
      expect([kindOf(later), kindOf(image!.imageId as ImageId)]).toEqual(['restricted', undefined]),
    );
    next.abort();
    one.owner.own(new AbortController().signal);
  });
});

describe('an evidence hold', () => {
  it('leaves the image searchable, and is found by the image of its subject that was enrolled later', async () => {
    const subject = tests.newSubject();
    const first = await enrolled(subject);
    const hold = await give('evidence-hold', { subjectId: subject });
    expect(hold.images).toMatchObject([{ imageId: first, searchable: true }]);
    const later = await enrolled(subject);
    for (const image of [first, later]) {
      await eventually(() =>
        expect(two.directions.holdsOn(image, undefined).map(({ directionId }) => directionId)).toEqual([
          hold.directionId,
        ]),
      );
    }
    await two.given.lift(dpo(1), 'evidence-hold', hold.directionId, why);
    expect(two.directions.holdsOn(later, undefined)).toEqual([]);
    await eventually(() => expect(two.directions.aboutSubject(subject)).toEqual([]));
  });
});

describe('directions', () => {
  it('are on the audit record before they are in force, given, shown and lifted', async () => {
    const subject = tests.newSubject();
    const image = await enrolled(subject);
    const { directionId } = await give('retirement', { imageId: image });
    await two.given.one(dpo(2), 'retirement', directionId);
    await two.given.lift(dpo(3), 'retirement', directionId, {
      authority: 'order 7',
      reason: 'The review was mistaken',
    });
    const entries = await tests.auditOf(image);
    expect(entries.map(({ operation, action, actor, purpose }) => [operation, action, actor, purpose])).toEqual([
      ['alteration', 'retirement-directed', 'dpo-1', why.authority],
      ['consultation', 'retirement-shown', 'dpo-2', 'data-protection'],
      ['alteration', 'retirement-lifted', 'dpo-3', 'order 7'],
    ]);
    for (const entry of entries) expect(entry.subjectIds).toEqual([subject]);
  });

  it('are not given, lifted or shown without an audit entry', async () => {
    const image = await enrolled();
    const { directionId } = await give('restriction', { imageId: image });
    const away = await tests.replica(new AuditLog({ publishAll: () => Promise.reject(new Error('away')) }, '/test'));
    const other = tests.newImage();
    const tried = [
      () => away.given.give(dpo(1), 'restriction', { imageId: other, ...why }, undefined),
      () => away.given.lift(dpo(1), 'restriction', directionId, why),
      () => away.given.one(dpo(1), 'restriction', directionId),
      () => away.given.list(dpo(1), 'restriction', { limit: 1 }),
    ];
    for (const attempt of tried) expect(await codeOfAsync(attempt)).toBe('AUDIT_UNAVAILABLE');
    expect(await tests.recordsOf(CUSTODY_DIRECTIONS, directionId)).toHaveLength(1);
    expect(two.directions.about(other, undefined)).toEqual([]);
  });

  it('are given once under one key, on whichever replica, and refused under a key of another', async () => {
    const image = await enrolled();
    const first = await give('evidence-hold', { imageId: image }, 'key-of-test');
    const again = await one.given.give(dpo(1), 'evidence-hold', { imageId: image, ...why }, 'key-of-test');
    expect(again).toEqual(first);
    expect(await tests.recordsOf(CUSTODY_DIRECTIONS, first.directionId)).toHaveLength(1);
    expect(await codeOfAsync(() => give('evidence-hold', { imageId: tests.newImage() }, 'key-of-test'))).toBe(
      'IDEMPOTENCY_KEY_REUSED',
    );
    const ofOther = await two.given.give(dpo(2), 'evidence-hold', { imageId: image, ...why }, 'key-of-test');
    expect(ofOther.directionId).not.toBe(first.directionId);
  });

  it('are not found under another kind, or after they were lifted', async () => {
    const { directionId } = await give('restriction', { imageId: await enrolled() });
    expect(await codeOfAsync(() => two.given.lift(dpo(1), 'evidence-hold', directionId, why))).toBe(
      'DIRECTION_NOT_FOUND',
    );
    expect(await codeOfAsync(() => two.given.one(dpo(1), 'retirement', directionId))).toBe('DIRECTION_NOT_FOUND');
    await two.given.lift(dpo(1), 'restriction', directionId, why);
    // On a replica that may not have read of it yet.
    expect(await codeOfAsync(() => one.given.lift(dpo(1), 'restriction', directionId, why))).toBe(
      'DIRECTION_NOT_FOUND',
    );
  });

  it('are listed newest first, page by page, by what they are about', async () => {
    const subject = tests.newSubject();
    const ids: string[] = [];
    for (let i = 0; i < 3; i++) ids.unshift((await give('evidence-hold', { subjectId: subject })).directionId);
    const first = await two.given.list(dpo(1), 'evidence-hold', { subjectId: subject, limit: 2 });
    const cursor = first.nextCursor!;
    const rest = await two.given.list(dpo(1), 'evidence-hold', { subjectId: subject, limit: 2, cursor });
    expect([...first.directions, ...rest.directions].map(({ directionId }) => directionId)).toEqual(ids);
    expect([first.directions.length, rest.nextCursor]).toEqual([2, null]);
    const none = await two.given.list(dpo(1), 'restriction', { subjectId: subject, limit: 2 });
    expect(none).toEqual({ directions: [], nextCursor: null });
    const bad = () => two.given.list(dpo(1), 'evidence-hold', { limit: 2, cursor: 'x' });
    expect(await codeOfAsync(bad)).toBe('BAD_CURSOR');
  });
});
