import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AuditLog } from '#audit/audit-log.js';
import { directionEnd, directionRecord } from '#contracts/direction-record.js';
import { CUSTODY_DIRECTIONS, CUSTODY_DISPOSITIONS, CUSTODY_IMAGES } from '#contracts/topics.js';
import { codeOfAsync } from '#domain/codes-for-tests.js';
import { openSearchId, type Erasure, type OpenSearch } from '#domain/direction.js';
import type { ImageId, SearchId, SubjectId } from '#domain/ids.js';
import { eventually } from '#testkit/kafka-test-helpers.js';
import { DataProtectionForTests, dpo, type DataProtectionReplica } from './data-protection-for-tests.js';

const why = { authority: 'DPA 2018 s.47', reason: 'The request of the person was upheld' };

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

type Target = { readonly imageIds: readonly ImageId[] } | { readonly subjectId: SubjectId };
const erase = (about: Target, key?: string, by = 1) => two.erasures.request(dpo(by), { ...about, ...why }, key);
const nullsOf = async (image: ImageId): Promise<number> => (await tests.recordsOf(CUSTODY_IMAGES, image)).length;
const hold = (image: ImageId) => one.given.give(dpo(1), 'evidence-hold', { imageId: image, ...why }, undefined);

describe('an erasure', () => {
  it('keeps the image out of searches at once, while no ingest is there to come to the null', async () => {
    const image = await enrolled();
    const erasure = await erase({ imageIds: [image] });
    expect(erasure).toMatchObject({ state: 'CARRYING_OUT', by: 'dpo-1', approvedBy: null, ...why });
    const { source, receipt } = erasure.images[0]!;
    expect(erasure.images).toMatchObject([{ imageId: image, outcome: 'erasing', heldBy: [] }]);
    await eventually(() => expect(one.dispositions.get(image)).toBeDefined(), { timeoutMs: 2_000 });
    const erased = { kind: 'erased', sourceOffset: source!.offset, directionId: erasure.erasureId, ...why };
    expect(one.dispositions.get(image)).toMatchObject(erased);
    expect((await tests.recordsOf(CUSTODY_IMAGES, image)).at(-1)).toMatchObject({ ...source, value: null });
    expect((await tests.recordsOf(CUSTODY_DISPOSITIONS, image)).at(-1)).toMatchObject(receipt.disposition!);
    expect(await one.erasures.one(dpo(2), erasure.erasureId)).toEqual(erasure);
  });

  it('asks for nothing, and hides nothing, that is not on record', async () => {
    const away = await tests.replica(new AuditLog({ publishAll: () => Promise.reject(new Error('away')) }, '/test'));
    const image = tests.newImage();
    const request = () => away.erasures.request(dpo(1), { imageIds: [image], ...why }, undefined);
    expect(await codeOfAsync(request)).toBe('AUDIT_UNAVAILABLE');
    expect(two.directions.about(image, undefined)).toEqual([]);
    for (const topic of [CUSTODY_IMAGES, CUSTODY_DISPOSITIONS]) {
      expect(await tests.recordsOf(topic, image)).toEqual([]);
    }
  });

  it('covers every image of a subject, with one audit entry that names them and the person', async () => {
    const subject = tests.newSubject();
    const images = [await enrolled(subject), await enrolled(subject)].sort();
    const erasure = await erase({ subjectId: subject });
    expect(erasure.subjectId).toBe(subject);
    expect(erasure.images.map(({ imageId, outcome }) => [imageId, outcome])).toEqual(
      images.map((image) => [image, 'erasing']),
    );
    expect(await tests.auditOf(images[0]!)).toMatchObject([
      { operation: 'erasure', action: 'erasure-requested', actor: 'dpo-1', imageIds: images, subjectIds: [subject] },
    ]);
    const nobody = () => erase({ subjectId: tests.newSubject() });
    expect(await codeOfAsync(nobody)).toBe('SUBJECT_NOT_HELD');
  });

  it('is made once under one key, on whichever replica', async () => {
    const image = await enrolled();
    const first = await erase({ imageIds: [image] }, `key-${image}`);
    const request = { imageIds: [image], ...why };
    expect(await one.erasures.request(dpo(1), request, `key-${image}`)).toEqual(first);
    expect(await nullsOf(image)).toBe(1);
    const other = () => erase({ imageIds: [tests.newImage()] }, `key-${image}`);
    expect(await codeOfAsync(other)).toBe('IDEMPOTENCY_KEY_REUSED');
  });

  it('whose process has gone is carried out by another, and one that has just been decided is left to its own', async () => {
    const image = await enrolled();
    const at = new Date(Date.now() - 60_000).toISOString();
    const abandoned: Erasure = {
      directionId: randomUUID(),
      kind: 'erasure',
      target: { imageIds: [image] },
      ...why,
      by: 'dpo-1',
      role: 'data-protection',
      at,
      state: 'decided',
    };
    const fresh = { ...abandoned, directionId: randomUUID(), at: new Date().toISOString() };
    for (const erasure of [abandoned, fresh]) await tests.kafka.publisher().publish(directionRecord(erasure, '/test'));
    await two.directions.upToDate();
    await two.erasures.resumeAbandoned();
    const carriedOut = await two.erasures.one(dpo(1), abandoned.directionId);
    expect(carriedOut.images[0]!.source).not.toBeNull();
    expect((await two.erasures.one(dpo(1), fresh.directionId)).images[0]!.source).toBeNull();
    expect(await nullsOf(image)).toBeGreaterThan(0);
  });

  it('of another id is not found', async () => {
    expect(await codeOfAsync(() => two.erasures.one(dpo(1), randomUUID()))).toBe('ERASURE_NOT_FOUND');
    const { directionId } = await hold(await enrolled());
    expect(await codeOfAsync(() => two.erasures.approve(dpo(1), directionId, why.reason))).toBe('ERASURE_NOT_FOUND');
  });
});

describe('an image that is held', () => {
  it('as evidence is restricted instead, the caller is told by what; when the hold is lifted it can be erased', async () => {
    const subject = tests.newSubject();
    const [held, free] = [await enrolled(subject), await enrolled(subject)];
    const { directionId } = await hold(held);
    const erasure = await erase({ subjectId: subject });
    const of = (image: ImageId) => erasure.images.find(({ imageId }) => imageId === image)!;
    expect(of(free)).toMatchObject({ outcome: 'erasing', heldBy: [] });
    const { restrictionId } = of(held);
    expect(of(held)).toEqual({
      imageId: held,
      outcome: 'restricted-instead',
      heldBy: [{ directionId, kind: 'evidence-hold' }],
      restrictionId,
      source: null,
      receipt: { disposition: null, tombstone: null, imageStoreEmptiedAt: null },
      destroyed: {},
      destroyedAt: null,
    });
    expect(erasure.statement).toContain('restricted instead of erased');
    await eventually(() =>
      expect(two.dispositions.get(held)).toMatchObject({ kind: 'restricted', directionId: restrictionId }),
    );
    expect(await nullsOf(held)).toBe(0);
    expect(await two.given.one(dpo(1), 'restriction', restrictionId!)).toMatchObject({ insteadOf: erasure.erasureId });
    expect((await tests.auditOf(held)).map(({ action }) => action)).toContain('restricted-instead-of-erased');

    await two.given.lift(dpo(2), 'evidence-hold', directionId, why);
    expect((await erase({ imageIds: [held] })).images).toMatchObject([{ outcome: 'erasing', heldBy: [] }]);
    expect(await nullsOf(held)).toBe(1);
  });

  it('because its subject is, though it was enrolled after the hold was given', async () => {
    const subject = tests.newSubject();
    const { directionId } = await one.given.give(dpo(1), 'evidence-hold', { subjectId: subject, ...why }, undefined);
    const image = await enrolled(subject);
    const { images } = await erase({ imageIds: [image] });
    expect(images).toMatchObject([{ outcome: 'restricted-instead', heldBy: [{ directionId }] }]);
  });

  it('as a candidate of an open search is restricted until the search is closed', async () => {
    const image = await enrolled();
    const directionId = openSearchId(randomUUID() as SearchId);
    const search: OpenSearch = {
      directionId,
      kind: 'open-search',
      target: { imageIds: [image] },
      authority: 'CPIA 1996',
      reason: 'A candidate',
      by: 'custody-face-search',
      role: 'system',
      at: new Date().toISOString(),
    };
    await tests.kafka.publisher().publish(directionRecord(search, '/test'));
    const { images } = await erase({ imageIds: [image] });
    expect(images).toMatchObject([{ outcome: 'restricted-instead', heldBy: [{ directionId, kind: 'open-search' }] }]);
    await tests.kafka.publisher().publish(directionEnd(directionId, '/test'));
    expect((await erase({ imageIds: [image] })).images).toMatchObject([{ outcome: 'erasing' }]);
  });

  it('at the same moment as it is erased: whoever comes second in the log is told of the other', async () => {
    const told = { holder: 0, eraser: 0 };
    for (let round = 0; round < 12; round++) {
      const image = await enrolled();
      const [held, erasure] = await Promise.all([hold(image), erase({ imageIds: [image] })]);
      const { outcome, heldBy } = erasure.images[0]!;
      if (outcome === 'restricted-instead') {
        expect(heldBy).toEqual([{ directionId: held.directionId, kind: 'evidence-hold' }]);
        expect(await nullsOf(image)).toBe(0);
        told.eraser++;
      } else {
        expect(held.images[0]!.erasedBy).toEqual([erasure.erasureId]);
        told.holder++;
      }
    }
    expect(told.holder + told.eraser).toBe(12);
  });

  it('after it was erased is not: the holder is told by which erasure', async () => {
    const image = await enrolled();
    const { erasureId } = await erase({ imageIds: [image] });
    expect((await hold(image)).images).toMatchObject([{ imageId: image, held: false, erasedBy: [erasureId] }]);
  });
});

describe('an erasure that takes two people', () => {
  it.each([
    ['of images of several people', async () => ({ imageIds: [await enrolled(), await enrolled()] })],
    [
      'of more images than one may erase',
      async () => {
        const subjectId = tests.newSubject();
        for (let i = 0; i < 3; i++) await enrolled(subjectId);
        return { subjectId };
      },
    ],
  ])('%s does nothing until another person approves it', async (_, about) => {
    const asked = await erase(await about());
    const { erasureId } = asked;
    const images = asked.images.map(({ imageId }) => imageId);
    expect([asked.state, new Set(asked.images.map(({ outcome }) => outcome))]).toEqual([
      'AWAITING_APPROVAL',
      new Set(['awaiting-approval']),
    ]);
    const awaiting = await two.erasures.open(dpo(2));
    expect(awaiting.erasures.map((erasure) => erasure.erasureId)).toContain(erasureId);
    expect(await codeOfAsync(() => one.erasures.approve(dpo(1), erasureId, why.reason))).toBe('APPROVER_NOT_DISTINCT');
    for (const image of images) {
      expect(await nullsOf(image)).toBe(0);
      expect(one.dispositions.get(image)).toBeUndefined();
    }

    const approved = await one.erasures.approve(dpo(2), erasureId, why.reason);
    expect(approved).toMatchObject({ state: 'CARRYING_OUT', by: 'dpo-1', approvedBy: 'dpo-2' });
    for (const image of images) expect(await nullsOf(image)).toBe(1);
    const actions = (await tests.auditOf(images[0]!)).map(({ action, actor }) => [action, actor]);
    expect(actions.filter(([action]) => action !== 'erasures-listed')).toEqual([
      ['erasure-requested', 'dpo-1'],
      ['erasure-approved', 'dpo-2'],
    ]);

    // The answer was lost on the way.
    expect(await two.erasures.approve(dpo(2), erasureId, why.reason)).toEqual(approved);
    for (const image of images) expect(await nullsOf(image)).toBe(1);
    expect(await codeOfAsync(() => two.erasures.approve(dpo(3), erasureId, why.reason))).toBe(
      'ERASURE_ALREADY_DECIDED',
    );
    const left = await two.erasures.open(dpo(2));
    expect(left.erasures.map((erasure) => erasure.erasureId)).not.toContain(erasureId);
  });

  it('asks for holds when it is approved, not when it was asked for', async () => {
    const [image, other] = [await enrolled(), await enrolled()];
    const { erasureId } = await erase({ imageIds: [image, other] });
    const { directionId, images } = await hold(image);
    expect(images[0]!.erasedBy).toEqual([]);
    const approved = await two.erasures.approve(dpo(2), erasureId, why.reason);
    expect(approved.images).toMatchObject([
      { imageId: image, outcome: 'restricted-instead', heldBy: [{ directionId }] },
      { imageId: other, outcome: 'erasing' },
    ]);
    expect((await tests.recordsOf(CUSTODY_DIRECTIONS, erasureId)).length).toBeGreaterThan(2);
  });
});
