import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CustodyImage } from '#contracts/custody-image.js';
import { decodeTemplate, parseTemplateKeeping } from '#contracts/template-record.js';
import { CUSTODY_IMAGES } from '#contracts/topics.js';
import { sameFace } from '#domain/face.js';
import type { ImageId, Offset, SubjectId } from '#domain/ids.js';
import type { ImageOutcome } from '#domain/image-outcome.js';
import { decodeImage, openPixels } from '#face/decode.js';
import { eventually } from '#testkit/kafka-test-helpers.js';
import { modelPackFolderForTests, samplePhotographsForTests, unlessOffline } from '#testkit/model-pack-for-tests.js';
import { EnrolmentForTests, image, parsed } from './enrolment-for-tests.js';

const fetched = await unlessOffline(Promise.all([modelPackFolderForTests(), samplePhotographsForTests()]));

describe.runIf(fetched)('a correction: the photograph that is held, enrolled again with other metadata', () => {
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

  const wrong = 'subject-wrong' as SubjectId;
  const right = 'subject-right' as SubjectId;
  const held = (id: ImageId): CustodyImage =>
    image(id, { subjectId: wrong, lawfulBasis: 'PACE s.64A', reviewDue: '2032-02-03' });

  /** As the query service does: what is in the store, and the record that it came from. */
  async function correct(enrolled: ImageOutcome, more: Partial<CustodyImage> = {}): Promise<ImageOutcome> {
    const { imageId, source } = enrolled;
    const stored = (await ingest.storedOf(enrolled))!;
    return ingest.submitImage(image(imageId, { subjectId: right, correctionOf: source.offset, ...more }), stored);
  }

  async function templateOf(outcome: ImageOutcome): Promise<ReturnType<EnrolmentForTests['templatesOf']>[number]> {
    return eventually(() => {
      const found = ingest
        .templatesOf(outcome.imageId)
        .find((record) => parsed(record).source.sourceOffset === outcome.source.offset);
      if (found === undefined) throw new Error('no template yet');
      return found;
    });
  }

  it('has its reasons in the template’s record, with the index of the face', async () => {
    const outcome = await ingest.submitImage({ ...held(ingest.newId()), face: 'largest' }, ingest.group);
    const { chosen } = await ingest.faces.process(ingest.group, 'largest');
    expect(parseTemplateKeeping({ ...(await templateOf(outcome)).headers })).toEqual({
      lawfulBasis: 'PACE s.64A',
      reviewDue: '2032-02-03',
      face: chosen,
    });
  });

  it('gives the same template to the bit, under the corrected metadata, and leaves one photograph', async () => {
    // Without a colour profile, as most are: its own bytes are what is kept.
    const jpeg = await openPixels(await decodeImage(ingest.group))
      .jpeg()
      .toBuffer();
    const first = await ingest.submitImage({ ...held(ingest.newId()), face: 1 }, jpeg);
    const photographFrom = first.source.offset;
    const second = await correct(first, { face: 1, photographFrom });
    expect(second).toMatchObject({ outcome: 'enrolled' });
    const [before, after] = [await templateOf(first), await templateOf(second)];
    expect(after.value).toEqual(before.value);
    expect(parsed(after).metadata).toMatchObject({ subjectId: right, faceBox: parsed(before).metadata.faceBox });
    expect(parseTemplateKeeping({ ...after.headers })).toEqual({ face: 1, photographFrom });
    expect(await ingest.storedOf(first)).toBeUndefined();
    expect(await ingest.storedOf(second)).toBeDefined();
  });

  it('finds the same face where the photograph was not stored as it came, in a template as good as equal', async () => {
    const png = await openPixels(await decodeImage(ingest.group))
      .png()
      .toBuffer();
    const first = await ingest.submitImage({ ...held(ingest.newId()), face: 1 }, png);
    const before = parsed(await templateOf(first)).metadata.faceBox!;
    const { faces } = await ingest.faces.process((await ingest.storedOf(first))!, 'largest');
    const second = await correct(first, { face: sameFace(faces, before)! });
    const after = await templateOf(second);
    expect(sameFace([{ box: parsed(after).metadata.faceBox! }], before)).toBe(0);
    const [a, b] = [(await templateOf(first)).value!, after.value!].map((value) =>
      decodeTemplate(value, ingest.faces.dimension),
    ) as [Float32Array, Float32Array];
    expect(a.reduce((sum, x, i) => sum + x * b[i]!, 0)).toBeGreaterThan(0.97);
    // From then on nothing changes any more.
    const third = await correct(second, { face: sameFace(faces, before)! });
    expect((await templateOf(third)).value).toEqual(after.value);
  });

  it('does not bring back what was erased meanwhile', async () => {
    const first = await ingest.submitImage(held(ingest.newId()), ingest.portrait);
    const stored = (await ingest.storedOf(first))!;
    expect(await ingest.submitErasure(first.imageId)).toMatchObject({ outcome: 'erased' });
    const late = image(first.imageId, { subjectId: right, correctionOf: first.source.offset });
    expect(await ingest.submitImage(late, stored)).toMatchObject({ outcome: 'superseded', by: 'erasure' });
    expect(await ingest.submitImage(held(first.imageId), ingest.portrait)).toMatchObject({ outcome: 'enrolled' });
  });

  it('does not replace a photograph that the custody system has sent meanwhile', async () => {
    const first = await ingest.submitImage(held(ingest.newId()), ingest.portrait);
    const stored = (await ingest.storedOf(first))!;
    const newer = await ingest.submitImage({ ...held(first.imageId), face: 0 }, ingest.group);
    const late = image(first.imageId, { subjectId: right, correctionOf: first.source.offset });
    expect(await ingest.submitImage(late, stored)).toMatchObject({ outcome: 'superseded', by: 'later-image' });
    expect(await ingest.storedOf(newer)).toBeDefined();
  });

  it('that is delivered twice has the same effect', async () => {
    const first = await ingest.submitImage(held(ingest.newId()), ingest.portrait);
    const second = await correct(first);
    expect(await ingest.storedOf(first)).toBeUndefined();
    const { template: _template, ...again } = (await redelivered(second)) as ImageOutcome & { outcome: 'enrolled' };
    expect(second).toMatchObject({ ...again, at: second.at });
  });

  it('is none where another photograph comes with the header of one: that is refused, and what is held stays', async () => {
    const first = await ingest.submitImage(held(ingest.newId()), ingest.portrait);
    const correctionOf = first.source.offset;
    for (const more of [{ correctionOf }, { correctionOf, photographFrom: 0 as Offset }]) {
      const copied = image(first.imageId, { subjectId: right, face: 1, ...more });
      const refused = await ingest.submitImage(copied, ingest.group);
      expect(refused).toMatchObject({ outcome: 'refused', code: 'BAD_METADATA' });
      expect(await ingest.storedOf(refused)).toBeUndefined();
    }
    expect(await ingest.storedOf(first)).toBeDefined();
    expect(ingest.templatesOf(first.imageId)).toHaveLength(1);
  });

  it('alone may say which record its photograph first came from', async () => {
    const first = await ingest.submitImage(held(ingest.newId()), ingest.portrait);
    for (const bytes of [ingest.group, (await ingest.storedOf(first))!]) {
      const copied = image(first.imageId, { subjectId: right, face: 0, photographFrom: 0 as Offset });
      const refused = await ingest.submitImage(copied, bytes);
      expect(refused).toMatchObject({ outcome: 'refused', code: 'BAD_METADATA' });
    }
    expect(await ingest.storedOf(first)).toBeDefined();
  });

  it('of what is gone does not come in by another photograph either, and says that it is superseded', async () => {
    const id = ingest.newId();
    const copied = image(id, { subjectId: right, correctionOf: 0 as Offset, photographFrom: 0 as Offset });
    const outcome = await ingest.submitImage(copied, ingest.portrait);
    expect(outcome).toMatchObject({ outcome: 'superseded', by: 'later-image' });
    expect(await ingest.storedOf(outcome)).toBeUndefined();
  });

  /** The group takes a record up again whose offset was not stored. */
  async function redelivered(outcome: ImageOutcome): Promise<ImageOutcome> {
    const { partition, offset } = outcome.source;
    let found: Promise<ImageOutcome> | undefined;
    const reader = ingest.kafka.logReader({
      topic: CUSTODY_IMAGES,
      partitions: [partition],
      from: new Map([[partition, offset]]),
      onFatal: (error) => void ingest.fatal.push(error),
      onBatch: async ({ records }) => {
        const record = records.find((one) => one.offset === offset);
        if (record !== undefined) await (found = ingest.enrolment.handle(record));
      },
    });
    await reader.start();
    await reader.caughtUp();
    await reader.close();
    return found!;
  }
});
