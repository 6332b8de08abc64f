import { randomBytes, randomUUID } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { exportJWK, generateKeyPair } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  ASSERTION_HEADER,
  CUSTODY_ERASURE_TYPE,
  custodyImageHeaders,
  erasureHeaders,
  type CustodyImage,
} from '#contracts/custody-image.js';
import { cloudEventHeaders } from '#contracts/cloud-events.js';
import { parseDisposition } from '#contracts/disposition-record.js';
import { partitionFor } from '#contracts/murmur2.js';
import { parseOutcome } from '#contracts/outcome-record.js';
import { decodeTemplate, parseTemplateRecord, type TemplateRecord } from '#contracts/template-record.js';
import {
  CUSTODY_DISPOSITIONS,
  CUSTODY_IMAGES,
  CUSTODY_OUTCOMES,
  deadLetters,
  desiredTopics,
  galleryTemplates,
} from '#contracts/topics.js';
import { TEMPLATE_PARTITIONS } from '#domain/gallery.js';
import type { ImageId, SubjectId } from '#domain/ids.js';
import type { ImageOutcome } from '#domain/image-outcome.js';
import { decodeImage, openPixels } from '#face/decode.js';
import { FacePool } from '#face/face-pool.js';
import { DispositionFollower } from '#kafka/disposition-follower.js';
import type { KafkaClient } from '#kafka/kafka-client.js';
import type { KafkaRecord, OutgoingRecord } from '#kafka/kafka-record.js';
import type { LogReader } from '#kafka/log-reader.js';
import type { Publisher } from '#kafka/publisher.js';
import { AssertionSigner, AssertionVerifier, openJwks, type Assertion } from '#platform/identity.js';
import { custodyImageName, FolderImageStore } from '#platform/image-store.js';
import { IngestMetrics } from '#platform/metrics.js';
import { clientForTests, eventually, silentLog } from '#testkit/kafka-test-helpers.js';
import { modelPackFolderForTests, samplePhotographsForTests, unlessOffline } from '#testkit/model-pack-for-tests.js';
import { Enrolment } from './enrolment.js';
import { ImageConsumer } from './image-consumer.js';

const fetched = await unlessOffline(Promise.all([modelPackFolderForTests(), samplePhotographsForTests()]));
const ALL_PARTITIONS = Array.from({ length: TEMPLATE_PARTITIONS }, (_, partition) => partition);

describe.runIf(fetched)('enrolment, from the record to its effects', () => {
  if (fetched === undefined) return;
  const [packFolder, sample] = fetched;
  let home: string;
  let faces: FacePool;
  let kafka: KafkaClient;
  let publisher: Publisher;
  let images: FolderImageStore;
  let dispositions: DispositionFollower;
  let enrolment: Enrolment;
  let consumer: LogReader;
  let signer: AssertionSigner;
  let group: Buffer;
  let portrait: Buffer;
  let landscape: Buffer;
  const metrics = new IngestMetrics();
  /** Everything that was read of each topic since the start of this file. */
  const read = new Map<string, KafkaRecord[]>();
  const fatal: unknown[] = [];

  function follow(topic: string, partitions: readonly number[]): LogReader {
    const records: KafkaRecord[] = [];
    read.set(topic, records);
    return kafka.logReader({
      topic,
      partitions,
      from: 'end',
      onFatal: (error) => void fatal.push(error),
      onBatch: async (batch) => void records.push(...batch.records),
    });
  }

  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), 'enrolment-'));
    faces = await FacePool.open({ packFolder, processes: 1 });
    kafka = clientForTests();
    publisher = kafka.publisher();
    await kafka.topicAdmin().applyTopics(desiredTopics({ modelId: faces.modelId, profile: 'local', replication: 1 }));

    const { privateKey, publicKey } = await generateKeyPair('EdDSA', { extractable: true });
    const named = { kid: 'custody-suite', alg: 'EdDSA' };
    await writeFile(join(home, 'private.jwk'), JSON.stringify({ ...(await exportJWK(privateKey)), ...named }));
    await writeFile(
      join(home, 'public.jwks'),
      JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), ...named }] }),
    );
    await writeFile(join(home, 'key'), randomBytes(32).toString('base64'));
    signer = await AssertionSigner.open(join(home, 'private.jwk'));
    images = await FolderImageStore.open(join(home, 'images'), join(home, 'key'));

    dispositions = new DispositionFollower(kafka, silentLog, (error) => void fatal.push(error));
    await dispositions.start();
    enrolment = new Enrolment(
      faces,
      images,
      publisher,
      (id) => dispositions.get(id),
      new AssertionVerifier(await openJwks(join(home, 'public.jwks'))),
      metrics,
    );
    const imageConsumer = new ImageConsumer(enrolment, publisher, silentLog);
    const signal = new AbortController().signal;
    consumer = kafka.logReader({
      topic: CUSTODY_IMAGES,
      partitions: ALL_PARTITIONS,
      from: 'end',
      onFatal: (error) => void fatal.push(error),
      onBatch: (batch) =>
        imageConsumer.handleBatch({ ...batch, topic: CUSTODY_IMAGES, signal } as unknown as Parameters<
          ImageConsumer['handleBatch']
        >[0]),
    });
    const followers = [
      follow(CUSTODY_OUTCOMES, ALL_PARTITIONS),
      follow(CUSTODY_DISPOSITIONS, ALL_PARTITIONS),
      follow(galleryTemplates(faces.modelId), ALL_PARTITIONS),
      follow(deadLetters(CUSTODY_IMAGES), [0]),
    ];
    await Promise.all([consumer, ...followers].map((reader) => reader.start()));

    const face = sample.manifest.enrolled.find(({ photograph }) => photograph === 'sample1')!;
    group = await sample.read(face);
    const { left, top, right, bottom } = face.box;
    const margin = Math.round((right - left) / 2);
    portrait = await openPixels(await decodeImage(group))
      .extract({
        left: Math.max(0, left - margin),
        top: Math.max(0, top - margin),
        width: right - left + 2 * margin,
        height: bottom - top + 2 * margin,
      })
      .jpeg()
      .toBuffer();
    const sky = {
      width: 320,
      height: 240,
      rgb: new Uint8Array(320 * 240 * 3).fill(0x88),
      format: 'jpeg',
      wasUpright: true,
    } as const;
    landscape = await openPixels(sky).jpeg().toBuffer();
  });

  afterAll(async () => {
    await kafka.close();
    await faces.close();
    await rm(home, { recursive: true });
    expect(fatal).toEqual([]);
  });

  const newId = (): ImageId => `test-${randomUUID()}` as ImageId;
  const image = (imageId: ImageId, more: Partial<CustodyImage> = {}): CustodyImage => ({
    imageId,
    subjectId: 'subject-1' as SubjectId,
    ...more,
  });

  /** Publishes a record and waits for the one outcome that it has. */
  async function submit(record: Omit<OutgoingRecord, 'topic'>): Promise<ImageOutcome> {
    const position = await publisher.publish({ topic: CUSTODY_IMAGES, ...record });
    return eventually(() => {
      const outcome = outcomesOf(position)[0];
      if (outcome === undefined) throw new Error(`no outcome for ${position.partition}/${position.offset}`);
      return outcome;
    });
  }

  function outcomesOf(position: { partition: number; offset: number }): ImageOutcome[] {
    return read
      .get(CUSTODY_OUTCOMES)!
      .map(({ value }) => parseOutcome(value))
      .filter(({ source }) => source.partition === position.partition && source.offset === position.offset);
  }

  const submitImage = (of: CustodyImage, bytes: Buffer): Promise<ImageOutcome> =>
    submit({ key: of.imageId, value: bytes, headers: custodyImageHeaders(of, '/test', 'image/jpeg') });

  async function submitErasure(
    imageId: ImageId,
    about: Partial<Assertion & { purpose: 'erasure' }> = {},
  ): Promise<ImageOutcome> {
    const assertion = await signer.sign({
      purpose: 'erasure',
      subject: 'dpo-1',
      role: 'data-protection',
      imageId,
      authority: 'DPA 2018 s.47',
      reason: 'acquitted',
      ...about,
    });
    return submit({ key: imageId, value: null, headers: erasureHeaders(imageId, '/test', assertion) });
  }

  function ofImage(topic: string, imageId: ImageId): KafkaRecord[] {
    return read.get(topic)!.filter(({ key }) => key?.toString() === imageId);
  }
  const templatesOf = (imageId: ImageId): KafkaRecord[] => ofImage(galleryTemplates(faces.modelId), imageId);
  const parsed = ({ key, headers }: KafkaRecord): TemplateRecord => parseTemplateRecord(key, { ...headers });
  const storedOf = (outcome: ImageOutcome): Promise<Buffer | undefined> =>
    images.get(custodyImageName(outcome.imageId, outcome.source.offset));

  it('enrols a portrait: upright JPEG in the store, template with its metadata on the same partition, outcome', async () => {
    const id = newId();
    const custody = image(id, { force: 'Heddlu ŵ', custodyReference: 'DP/1', capturedAt: '2026-02-03', sex: 'male' });
    const outcome = await submitImage(custody, portrait);
    expect(outcome).toMatchObject({ outcome: 'enrolled', imageId: id, modelId: faces.modelId, facesFound: 1 });
    if (outcome.outcome !== 'enrolled') return;
    expect(outcome.template.partition).toBe(outcome.source.partition);

    await eventually(() => expect(templatesOf(id)).toHaveLength(1));
    const [record] = templatesOf(id);
    expect(record).toMatchObject({ partition: outcome.template.partition, offset: outcome.template.offset });
    const { metadata, source, modelId } = parsed(record!);
    expect(modelId).toBe(faces.modelId);
    expect(source.sourceOffset).toBe(outcome.source.offset);
    expect(metadata).toMatchObject({ ...custody, embeddingNorm: expect.closeTo(outcome.embeddingNorm, 3) as number });
    const { embedded } = await faces.process(portrait, undefined);
    expect(decodeTemplate(record!.value!, faces.dimension)).toEqual(embedded.template);
  });

  it('keeps the photograph upright, as a JPEG, and without the metadata that a camera puts in', async () => {
    const upright = await decodeImage(portrait);
    const fromCamera = await openPixels(upright)
      .rotate(90)
      .withExif({ IFD0: { Artist: 'PC 1234' } })
      .withMetadata({ orientation: 8 })
      .jpeg()
      .toBuffer();
    expect(fromCamera.includes('PC 1234')).toBe(true);
    const stored = (await storedOf(await submitImage(image(newId()), fromCamera)))!;
    expect(await decodeImage(stored)).toMatchObject({ format: 'jpeg', width: upright.width, height: upright.height });
    expect(stored.includes('Exif')).toBe(false);
    expect(stored.includes('PC 1234')).toBe(false);
  });

  it('enrols the face that is meant on a photograph of several, and asks with their boxes when none is named', async () => {
    const refused = await submitImage(image(newId()), group);
    expect(refused).toMatchObject({ outcome: 'refused', code: 'MULTIPLE_FACES' });
    if (refused.outcome !== 'refused') return;
    expect(refused.faces!.length).toBeGreaterThan(1);
    expect(await storedOf(refused)).toBeUndefined();
    const enrolled = await submitImage(image(newId(), { face: 1 }), group);
    expect(enrolled).toMatchObject({ outcome: 'enrolled', faceBox: refused.faces![1]!.box });
  });

  it.each<[string, string, () => Buffer, Partial<CustodyImage>]>([
    ['no face', 'NO_FACE', () => landscape, {}],
    ['a face index that does not exist', 'FACE_INDEX_OUT_OF_RANGE', () => portrait, { face: 7 }],
    ['a truncated JPEG', 'IMAGE_UNREADABLE', () => portrait.subarray(0, portrait.length / 2), {}],
    ['a text', 'IMAGE_FORMAT_UNSUPPORTED', () => Buffer.from('a text named .jpg\n'.repeat(20)), {}],
    ['an empty file', 'IMAGE_EMPTY', () => Buffer.alloc(0), {}],
  ])('refuses %s with %s, keeps nothing of it, and processes the next image', async (_, code, bytes, more) => {
    const refused = await submitImage(image(newId(), more), bytes());
    expect(refused).toMatchObject({ outcome: 'refused', code });
    expect(await storedOf(refused)).toBeUndefined();
    expect(templatesOf(refused.imageId)).toEqual([]);
    expect(await submitImage(image(newId()), portrait)).toMatchObject({ outcome: 'enrolled' });
  });

  it('refuses a record on the wrong partition, as another partitioner would put it, whatever it holds', async () => {
    const id = newId();
    const partition = (partitionFor(id, TEMPLATE_PARTITIONS) + 1) % TEMPLATE_PARTITIONS;
    const headers = custodyImageHeaders(image(id), '/test', 'image/jpeg');
    expect(await submit({ key: id, value: portrait, headers, partition })).toMatchObject({
      outcome: 'refused',
      code: 'WRONG_PARTITION',
      source: { partition },
    });
    expect(await submit({ key: id, value: null, headers, partition })).toMatchObject({ code: 'WRONG_PARTITION' });
    expect(templatesOf(id)).toEqual([]);
    expect(ofImage(CUSTODY_DISPOSITIONS, id)).toEqual([]);
  });

  it('refuses bad headers under the image’s own id', async () => {
    const id = newId();
    const headers = { ...custodyImageHeaders(image(id), '/test', 'image/jpeg'), ce_sex: 'f' };
    expect(await submit({ key: id, value: portrait, headers })).toMatchObject({ code: 'BAD_METADATA', imageId: id });
    expect(await submit({ key: id, value: portrait, headers: {} })).toMatchObject({ code: 'HEADER_MISSING' });
  });

  it('puts aside a record that no outcome can name, by reference only, and reads on', async () => {
    const before = read.get(deadLetters(CUSTODY_IMAGES))!.length;
    const key = `not an id ${randomUUID()}`;
    const position = await publisher.publish({ topic: CUSTODY_IMAGES, key, value: portrait });
    const letter = await eventually(() => {
      const added = read.get(deadLetters(CUSTODY_IMAGES))!.slice(before);
      expect(added).toHaveLength(1);
      return added[0]!;
    });
    expect(JSON.parse(String(letter.value))).toMatchObject({
      topic: CUSTODY_IMAGES,
      ...position,
      code: 'BAD_IMAGE_ID',
    });
    expect(letter.value!.length).toBeLessThan(1000);
    expect(await submitImage(image(newId()), portrait)).toMatchObject({ outcome: 'enrolled' });
  });

  it.each<[string, (id: ImageId) => Promise<ImageOutcome>]>([
    ['no assertion', (id) => submit({ key: id, value: null, headers: eventOf(id) })],
    [
      'an assertion that is none',
      (id) => submit({ key: id, value: null, headers: { ...eventOf(id), [ASSERTION_HEADER]: 'x' } }),
    ],
    ['an assertion about another image', (id) => submitErasure(id, { imageId: newId() })],
    [
      'an assertion about a search',
      (id) => submitErasure(id, { purpose: 'retrospective-search', searchId: id, probeSha256: 'ab' } as object),
    ],
    ['no headers at all', (id) => submit({ key: id, value: null })],
  ])('does not erase with %s: ERASURE_NOT_AUTHORISED, and the image stays', async (_, erase) => {
    const id = newId();
    const enrolled = await submitImage(image(id), portrait);
    expect(await erase(id)).toMatchObject({ outcome: 'refused', code: 'ERASURE_NOT_AUTHORISED' });
    expect(await storedOf(enrolled)).toBeDefined();
    expect(ofImage(CUSTODY_DISPOSITIONS, id)).toEqual([]);
    expect(templatesOf(id).filter(({ value }) => value === null)).toEqual([]);
  });

  function eventOf(id: ImageId): Record<string, string> {
    return cloudEventHeaders({ type: CUSTODY_ERASURE_TYPE, source: '/test', subject: id });
  }

  describe('an erasure', () => {
    it('empties the store, says so as a disposition, tombstone and outcome; what was enrolled afterwards is active', async () => {
      const id = newId();
      const enrolled = [await submitImage(image(id), portrait), await submitImage(image(id), portrait)];
      const erased = await submitErasure(id);
      expect(erased).toMatchObject({ outcome: 'erased', authority: 'DPA 2018 s.47', reason: 'acquitted' });
      if (erased.outcome !== 'erased') return;
      for (const version of enrolled) expect(await storedOf(version)).toBeUndefined();

      const [disposition] = ofImage(CUSTODY_DISPOSITIONS, id);
      expect(disposition).toMatchObject(erased.disposition);
      expect(parseDisposition(disposition!.value!)).toMatchObject({
        imageId: id,
        kind: 'erased',
        sourceOffset: erased.source.offset,
        authority: 'DPA 2018 s.47',
      });
      await eventually(() => expect(templatesOf(id).at(-1)).toMatchObject({ value: null }));
      expect(templatesOf(id)).toHaveLength(3);

      await eventually(() => expect(dispositions.get(id)).toMatchObject({ kind: 'erased' }));
      const again = await submitImage(image(id), portrait);
      expect(again).toMatchObject({ outcome: 'enrolled' });
      expect(await storedOf(again)).toBeDefined();
      await eventually(() => expect(templatesOf(id).at(-1)!.value).not.toBeNull());
      expect(parsed(templatesOf(id).at(-1)!).source.sourceOffset).toBe(again.source.offset);
    });

    it('supersedes a record from before it that is delivered again, and nothing of that is kept', async () => {
      const id = newId();
      const enrolled = await submitImage(image(id), portrait);
      await submitErasure(id);
      await eventually(() => expect(dispositions.get(id)).toBeDefined());
      const templates = templatesOf(id).length;
      const outcome = await enrolment.handle(redelivered(enrolled, portrait));
      expect(outcome).toMatchObject({ outcome: 'superseded', by: 'erasure' });
      expect(await storedOf(enrolled)).toBeUndefined();
      expect(templatesOf(id)).toHaveLength(templates);
    });

    it('that is delivered again after a later one does not take the later one back', async () => {
      const id = newId();
      await submitImage(image(id), portrait);
      const first = await submitErasure(id);
      const between = await submitImage(image(id), portrait);
      const last = await submitErasure(id);
      await eventually(() => expect(dispositions.get(id)!.sourceOffset).toBe(last.source.offset));
      const assertion = await signer.sign({
        purpose: 'erasure',
        subject: 'dpo-1',
        role: 'data-protection',
        imageId: id,
        authority: 'a',
        reason: 'r',
      });
      await enrolment.handle({ ...redelivered(first, null), headers: erasureHeaders(id, '/test', assertion) });
      await eventually(() => expect(ofImage(CUSTODY_DISPOSITIONS, id)).toHaveLength(3));
      const decided = parseDisposition(ofImage(CUSTODY_DISPOSITIONS, id).at(-1)!.value!);
      expect(decided.sourceOffset).toBe(last.source.offset);
      expect(decided.sourceOffset).toBeGreaterThan(between.source.offset);
    });

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

  it('gives the same effect for a record that is delivered twice: the same object, an equal template', async () => {
    const id = newId();
    const first = await submitImage(image(id), portrait);
    await eventually(() => expect(templatesOf(id)).toHaveLength(1));
    const [template] = templatesOf(id);
    await enrolment.handle({
      topic: CUSTODY_IMAGES,
      ...first.source,
      key: Buffer.from(id),
      value: portrait,
      headers: custodyImageHeaders(image(id), '/test', 'image/jpeg'),
      timestampMs: template!.timestampMs,
    });
    await eventually(() => expect(templatesOf(id)).toHaveLength(2));
    expect(templatesOf(id)[1]!.value).toEqual(template!.value);
    expect(templatesOf(id)[1]!.headers['ce_sourceoffset']).toBe(template!.headers['ce_sourceoffset']);
    expect(await storedOf(first)).toBeDefined();
  });

  it('accounts for every record with exactly one outcome, in the metrics too', async () => {
    const outcomes = read.get(CUSTODY_OUTCOMES)!.map(({ value }) => parseOutcome(value));
    const counted = (await metrics.imagesTotal.get()).values.reduce((sum, { value }) => sum + value, 0);
    expect(counted).toBe(outcomes.length);
  });
});
