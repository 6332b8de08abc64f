import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { custodyImageHeaders, type CustodyImage } from '#contracts/custody-image.js';
import { partitionFor } from '#contracts/murmur2.js';
import { decodeTemplate } from '#contracts/template-record.js';
import { CUSTODY_DISPOSITIONS, CUSTODY_IMAGES, deadLetters } from '#contracts/topics.js';
import { TEMPLATE_PARTITIONS } from '#domain/gallery.js';
import { DECODE_LIMITS, decodeImage, openPixels } from '#face/decode.js';
import { faceImage } from '#testkit/face-images-for-tests.js';
import { eventually } from '#testkit/kafka-test-helpers.js';
import { modelPackFolderForTests, samplePhotographsForTests, unlessOffline } from '#testkit/model-pack-for-tests.js';
import { EnrolmentForTests, image, parsed, systemError } from './enrolment-for-tests.js';

const fetched = await unlessOffline(Promise.all([modelPackFolderForTests(), samplePhotographsForTests()]));

describe.runIf(fetched)('enrolment, from the record to its effects', () => {
  if (fetched === undefined) return;
  const [packFolder, sample] = fetched;
  let ingest: EnrolmentForTests;
  /** Of somebody who holds the head straight. */
  let straight: Buffer;

  beforeAll(async () => {
    ingest = await EnrolmentForTests.start(packFolder, sample);
    straight = await faceImage(
      sample,
      sample.manifest.enrolled.find(({ imageId }) => imageId === 'sample3-0')!,
    );
  });
  afterAll(async () => {
    await ingest.close();
    expect(ingest.fatal).toEqual([]);
  });

  it('enrols a portrait: upright JPEG in the store, template with its metadata on the same partition, outcome', async () => {
    const id = ingest.newId();
    const custody = image(id, { force: 'Heddlu ŵ', custodyReference: 'DP/1', capturedAt: '2026-02-03', sex: 'male' });
    const outcome = await ingest.submitImage(custody, ingest.portrait);
    expect(outcome).toMatchObject({ outcome: 'enrolled', imageId: id, modelId: ingest.faces.modelId, facesFound: 1 });
    if (outcome.outcome !== 'enrolled') return;
    expect(outcome.template.partition).toBe(outcome.source.partition);

    await eventually(() => expect(ingest.templatesOf(id)).toHaveLength(1));
    const [record] = ingest.templatesOf(id);
    expect(record).toMatchObject({ partition: outcome.template.partition, offset: outcome.template.offset });
    const { metadata, source, modelId } = parsed(record!);
    expect(modelId).toBe(ingest.faces.modelId);
    expect(source.sourceOffset).toBe(outcome.source.offset);
    expect(metadata).toMatchObject({ ...custody, embeddingNorm: expect.closeTo(outcome.embeddingNorm, 3) as number });
    const { embedded } = await ingest.faces.process(ingest.portrait, undefined);
    expect(decodeTemplate(record!.value!, ingest.faces.dimension)).toEqual(embedded.template);
  });

  it('keeps the photograph upright, as a JPEG, and without the metadata that a camera puts in', async () => {
    const upright = await decodeImage(ingest.portrait);
    const fromCamera = await openPixels(upright)
      .rotate(90)
      .withExif({ IFD0: { Artist: 'PC 1234' } })
      .withMetadata({ orientation: 8 })
      .jpeg()
      .toBuffer();
    expect(fromCamera.includes('PC 1234')).toBe(true);
    const stored = (await ingest.storedOf(await ingest.submitImage(image(ingest.newId()), fromCamera)))!;
    expect(await decodeImage(stored)).toMatchObject({ format: 'jpeg', width: upright.width, height: upright.height });
    expect(stored.includes('Exif')).toBe(false);
    expect(stored.includes('PC 1234')).toBe(false);
  });

  it('turns a photograph that lies on its side, says so, and keeps it upright', async () => {
    const upright = await decodeImage(straight);
    const lying = await openPixels(upright).rotate(90).png().toBuffer();
    const outcome = await ingest.submitImage(image(ingest.newId()), lying);
    expect(outcome).toMatchObject({ outcome: 'enrolled', rotation: 270 });
    const stored = (await ingest.storedOf(outcome))!;
    expect(await decodeImage(stored)).toMatchObject({ format: 'jpeg', width: upright.width, height: upright.height });
  });

  it('refuses a face that is too small to tell people apart, with what to do, and keeps nothing of it', async () => {
    const small = await openPixels(await decodeImage(straight))
      .resize({ height: 32 })
      .png()
      .toBuffer();
    const tiny = await openPixels(await decodeImage(small, { ...DECODE_LIMITS, sidePxMin: 1 }))
      .extend({ top: 4, bottom: 4, left: 14, right: 14 })
      .png()
      .toBuffer();
    const refused = await ingest.submitImage(image(ingest.newId()), tiny);
    expect(refused).toMatchObject({ outcome: 'refused', code: 'QUALITY_TOO_LOW' });
    if (refused.outcome !== 'refused') return;
    expect(refused.reasons).toContain('FACE_SMALL');
    expect(refused.detail).toContain('go nearer');
    expect(await ingest.storedOf(refused)).toBeUndefined();
  });

  it('enrols the face that is meant on a photograph of several, and asks with their boxes when none is named', async () => {
    const refused = await ingest.submitImage(image(ingest.newId()), ingest.group);
    expect(refused).toMatchObject({ outcome: 'refused', code: 'MULTIPLE_FACES' });
    if (refused.outcome !== 'refused') return;
    expect(refused.faces!.length).toBeGreaterThan(1);
    expect(refused.faces!.every(({ quality }) => quality!.eyeDistancePx > 10)).toBe(true);
    expect(refused.picture).toMatchObject({ rotation: 0 });
    expect(await ingest.storedOf(refused)).toBeUndefined();
    const enrolled = await ingest.submitImage(image(ingest.newId(), { face: 1 }), ingest.group);
    expect(enrolled).toMatchObject({ outcome: 'enrolled', faceBox: refused.faces![1]!.box });
  });

  it.each<[string, string, () => Buffer, Partial<CustodyImage>]>([
    ['no face', 'NO_FACE', () => ingest.landscape, {}],
    ['a face index that does not exist', 'FACE_INDEX_OUT_OF_RANGE', () => ingest.portrait, { face: 7 }],
    ['a truncated JPEG', 'IMAGE_UNREADABLE', () => ingest.portrait.subarray(0, ingest.portrait.length / 2), {}],
    ['a text', 'IMAGE_FORMAT_UNSUPPORTED', () => Buffer.from('a text named .jpg\n'.repeat(20)), {}],
    ['an empty file', 'IMAGE_EMPTY', () => Buffer.alloc(0), {}],
  ])('refuses %s with %s, keeps nothing of it, and processes the next image', async (_, code, bytes, more) => {
    const refused = await ingest.submitImage(image(ingest.newId(), more), bytes());
    expect(refused).toMatchObject({ outcome: 'refused', code });
    expect(await ingest.storedOf(refused)).toBeUndefined();
    expect(ingest.templatesOf(refused.imageId)).toEqual([]);
    expect(await ingest.submitImage(image(ingest.newId()), ingest.portrait)).toMatchObject({ outcome: 'enrolled' });
  });

  it('refuses a record on the wrong partition, as another partitioner would put it, whatever it holds', async () => {
    const id = ingest.newId();
    const partition = (partitionFor(id, TEMPLATE_PARTITIONS) + 1) % TEMPLATE_PARTITIONS;
    const headers = custodyImageHeaders(image(id), '/test', 'image/jpeg');
    expect(await ingest.submit({ key: id, value: ingest.portrait, headers, partition })).toMatchObject({
      outcome: 'refused',
      code: 'WRONG_PARTITION',
      source: { partition },
    });
    expect(await ingest.submit({ key: id, value: null, headers, partition })).toMatchObject({
      code: 'WRONG_PARTITION',
    });
    expect(ingest.templatesOf(id)).toEqual([]);
    expect(ingest.ofImage(CUSTODY_DISPOSITIONS, id)).toEqual([]);
  });

  it('refuses bad headers under the image’s own id', async () => {
    const id = ingest.newId();
    const headers = { ...custodyImageHeaders(image(id), '/test', 'image/jpeg'), ce_sex: 'f' };
    expect(await ingest.submit({ key: id, value: ingest.portrait, headers })).toMatchObject({
      code: 'BAD_METADATA',
      imageId: id,
    });
    expect(await ingest.submit({ key: id, value: ingest.portrait, headers: {} })).toMatchObject({
      code: 'HEADER_MISSING',
    });
  });

  it('puts aside a record that no outcome can name, by reference only, and reads on', async () => {
    const key = `not an id ${ingest.tag}`;
    const position = await ingest.publisher.publish({ topic: CUSTODY_IMAGES, key, value: ingest.portrait });
    const letter = await eventually(() => {
      const added = ingest.ofImage(deadLetters(CUSTODY_IMAGES), key);
      expect(added).toHaveLength(1);
      return added[0]!;
    });
    expect(JSON.parse(String(letter.value))).toMatchObject({
      topic: CUSTODY_IMAGES,
      ...position,
      code: 'BAD_IMAGE_ID',
    });
    expect(letter.value!.length).toBeLessThan(1000);
    expect(await ingest.submitImage(image(ingest.newId()), ingest.portrait)).toMatchObject({ outcome: 'enrolled' });
  });

  it('keeps one photograph of an image that is enrolled again: the one that its template came from', async () => {
    const id = ingest.newId();
    const first = await ingest.submitImage(image(id), ingest.portrait);
    expect(await ingest.submitImage(image(id), ingest.landscape)).toMatchObject({ outcome: 'refused' });
    expect(await ingest.storedOf(first)).toBeDefined();
    const second = await ingest.submitImage(image(id), ingest.portrait);
    expect(await ingest.storedOf(second)).toBeDefined();
    expect(await ingest.storedOf(first)).toBeUndefined();
  });

  it('waits for a full disk rather than lose the image, and puts aside what a bug of ours breaks', async () => {
    const [full, broken] = [ingest.newId(), ingest.newId()];
    ingest.faults.set(
      full,
      Array.from({ length: 4 }, () => systemError('ENOSPC')),
    );
    ingest.faults.set(
      broken,
      Array.from({ length: 4 }, () => new TypeError('a bug')),
    );
    const [enrolled, failed] = await Promise.all([
      ingest.submitImage(image(full), ingest.portrait),
      ingest.submitImage(image(broken), ingest.portrait),
    ]);
    expect(enrolled).toMatchObject({ outcome: 'enrolled' });
    expect(ingest.faults.get(full)).toEqual([]);
    expect(failed).toMatchObject({ outcome: 'failed', code: 'INTERNAL' });
    await eventually(() => expect(ingest.ofImage(deadLetters(CUSTODY_IMAGES), broken)).toHaveLength(1));
    expect(ingest.ofImage(deadLetters(CUSTODY_IMAGES), full)).toEqual([]);
  });

  it('gives the same effect for a record that is delivered twice: the same object, an equal template', async () => {
    const id = ingest.newId();
    const first = await ingest.submitImage(image(id), ingest.portrait);
    await eventually(() => expect(ingest.templatesOf(id)).toHaveLength(1));
    const [template] = ingest.templatesOf(id);
    await ingest.enrolment.handle({
      topic: CUSTODY_IMAGES,
      ...first.source,
      key: Buffer.from(id),
      value: ingest.portrait,
      headers: custodyImageHeaders(image(id), '/test', 'image/jpeg'),
      timestampMs: template!.timestampMs,
    });
    await eventually(() => expect(ingest.templatesOf(id)).toHaveLength(2));
    expect(ingest.templatesOf(id)[1]!.value).toEqual(template!.value);
    expect(ingest.templatesOf(id)[1]!.headers['ce_sourceoffset']).toBe(template!.headers['ce_sourceoffset']);
    expect(await ingest.storedOf(first)).toBeDefined();
  });

  it('accounts for every record with exactly one outcome, in the metrics too', async () => {
    const outcomes = ingest.outcomes();
    const counted = (await ingest.metrics.imagesTotal.get()).values.reduce((sum, { value }) => sum + value, 0);
    expect(counted).toBe(outcomes.length);
  });
});
