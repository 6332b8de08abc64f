import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { custodyReplay } from '#contracts/custody-replay.js';
import { CUSTODY_IMAGES } from '#contracts/topics.js';
import type { ImageId } from '#domain/ids.js';
import type { ImageOutcome } from '#domain/image-outcome.js';
import { eventually } from '#testkit/kafka-test-helpers.js';
import { modelPackFolderForTests, samplePhotographsForTests, unlessOffline } from '#testkit/model-pack-for-tests.js';
import { EnrolmentForTests, image, parsed } from './enrolment-for-tests.js';

const fetched = await unlessOffline(Promise.all([modelPackFolderForTests(), samplePhotographsForTests()]));

describe.runIf(fetched)('an image that was put aside, and that somebody asks for again', () => {
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

  /** What a bug of ours breaks, until it is mended. */
  async function putAside(id: ImageId): Promise<ImageOutcome> {
    const bugs = Array.from({ length: 3 }, () => new TypeError('a bug'));
    ingest.faults.set(id, bugs);
    const failed = await ingest.submitImage(image(id), ingest.portrait);
    expect(failed).toMatchObject({ outcome: 'failed', code: 'INTERNAL' });
    return failed;
  }

  async function replay({ imageId, source }: ImageOutcome): Promise<void> {
    const { partition, offset } = source;
    await ingest.publisher.publish(custodyReplay({ imageId, offset }, partition, '/test'));
  }

  const outcomesOf = ({ source }: ImageOutcome): string[] => ingest.outcomesOf(source).map(({ outcome }) => outcome);
  const templatesOf = (id: ImageId): number[] =>
    ingest.templatesOf(id).map((record) => (record.value === null ? -1 : parsed(record).source.sourceOffset));

  it('is enrolled under its own offset, and once in effect however often that is asked', async () => {
    const failed = await putAside(ingest.newId());
    const { imageId, source } = failed;
    await replay(failed);
    await eventually(() => expect(outcomesOf(failed)).toEqual(['failed', 'enrolled']));
    await replay(failed);
    await eventually(() => expect(outcomesOf(failed)).toEqual(['failed', 'enrolled', 'enrolled']));
    await eventually(() => expect(templatesOf(imageId)).toEqual([source.offset, source.offset]));
    expect(ingest.templatesOf(imageId)[1]!.value).toEqual(ingest.templatesOf(imageId)[0]!.value);
    expect(await ingest.images.latestImage(imageId)).toBe(source.offset);
  });

  it('leaves a newer image of the same id as it is', async () => {
    const failed = await putAside(ingest.newId());
    const newer = await ingest.submitImage(image(failed.imageId), ingest.portrait);
    expect(newer).toMatchObject({ outcome: 'enrolled' });
    await replay(failed);
    await eventually(() => expect(outcomesOf(failed)).toEqual(['failed', 'superseded']));
    await eventually(() => expect(templatesOf(failed.imageId)).toEqual([newer.source.offset]));
    expect(await ingest.images.latestImage(failed.imageId)).toBe(newer.source.offset);
  });

  it('stays erased', async () => {
    const failed = await putAside(ingest.newId());
    await ingest.submitErasure(failed.imageId);
    await eventually(() => expect(ingest.dispositions.get(failed.imageId)?.kind).toBe('erased'));
    await replay(failed);
    await eventually(() => expect(outcomesOf(failed)).toEqual(['failed', 'superseded']));
    expect(await ingest.images.latestImage(failed.imageId)).toBeUndefined();
    expect(templatesOf(failed.imageId)).toEqual([-1]);
  });

  it('is not taken for another image’s record, nor for one that is yet to come; what follows is not held up', async () => {
    const failed = await putAside(ingest.newId());
    const { imageId, source } = failed;
    const before = ingest.outcomes().length;
    for (const other of [
      { imageId: ingest.newId(), offset: source.offset },
      { imageId, offset: (source.offset + 1_000) as typeof source.offset },
    ]) {
      await ingest.publisher.publish(custodyReplay(other, source.partition, '/test'));
    }
    const unreadable = custodyReplay({ imageId, offset: source.offset }, source.partition, '/test');
    await ingest.publisher.publish({ ...unreadable, topic: CUSTODY_IMAGES, value: '{' });
    await replay(failed);
    await eventually(() => expect(outcomesOf(failed)).toEqual(['failed', 'enrolled']));
    expect(ingest.outcomes().length).toBe(before + 1);
  });
});
