/** What is erased is gone: from answers at once, and from whatever a service rebuilds itself from. */
import { readdir, rm } from 'node:fs/promises';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { custodyImageHeaders, erasureHeaders } from '#contracts/custody-image.js';
import { parseOutcome } from '#contracts/outcome-record.js';
import { CUSTODY_IMAGES, CUSTODY_OUTCOMES, galleryTemplates } from '#contracts/topics.js';
import { imageId, subjectId } from '#domain/ids.js';
import type { ImageOutcome } from '#domain/image-outcome.js';
import type { SearchAnswer } from '#domain/search-answer.js';
import type { SampleFace, SamplePhotographs } from '#face/sample-manifest.js';
import { KafkaClient } from '#kafka/kafka-client.js';
import type { KafkaRecord } from '#kafka/kafka-record.js';
import { AssertionSigner } from '#platform/identity.js';
import { faceImage } from '#testkit/face-images-for-tests.js';
import { answerOf, call, metric, refusalOf } from '#testkit/http-for-tests.js';
import { eventually, silentLog } from '#testkit/kafka-test-helpers.js';
import { modelPackForTests, samplePhotographsForTests } from '#testkit/model-pack-for-tests.js';
import { RunningSystem } from '#testkit/running-system.js';
import { operatorForm } from '#testkit/search-forms-for-tests.js';
import { lastOfKey, readTopic } from '#testkit/topic-for-tests.js';

/** What is promised: unsearchable everywhere within 2 s. */
const UNSEARCHABLE_WITHIN_MS = 2_000;

describe('an image that is erased', () => {
  let system: RunningSystem;
  let kafka: KafkaClient;
  let sample: SamplePhotographs;
  /** Enrolled; its person is searched for with the probe, another photograph. */
  let erased: SampleFace;
  let probe: Buffer;
  let officer: string;
  let templates: string;
  /** Its template as ingest wrote it, kept by somebody who paused. */
  let lateTemplate: KafkaRecord;

  beforeAll(async () => {
    sample = await samplePhotographsForTests();
    const { enrolled, probe: probeFace } = sample.manifest;
    erased = enrolled.find((face) => face.subjectId === probeFace.subjectId)!;
    probe = await faceImage(sample, probeFace);
    templates = galleryTemplates((await modelPackForTests()).modelId);
    system = await RunningSystem.start(await RunningSystem.environment({ RATE_LIMIT: '10000' }));
    officer = await system.token('officer');
    kafka = new KafkaClient({ brokers: system.settings.KAFKA_BROKERS, clientId: 'test', log: silentLog });
  });

  afterAll(async () => {
    await kafka?.close();
    await system?.stopAndForget();
  });

  async function search(): Promise<SearchAnswer> {
    const url = `${system.queryUrl}/v1/searches/operator`;
    const answer = answerOf<SearchAnswer>(await call('POST', url, officer, operatorForm(probe)));
    expect(answer.complete).toBe(true);
    return answer;
  }

  const found = async (): Promise<string[]> => (await search()).candidates.map((candidate) => candidate.imageId);

  async function outcomesOf(id: string): Promise<ImageOutcome[]> {
    const outcomes = (await readTopic(kafka, CUSTODY_OUTCOMES)).map(({ value }) => parseOutcome(value));
    return outcomes.filter((outcome) => outcome.imageId === id);
  }

  async function lastTemplate(id: string): Promise<KafkaRecord | undefined> {
    return lastOfKey(await readTopic(kafka, templates)).get(id);
  }

  /** Files of the image store that hold this image. */
  async function stored(id: string): Promise<string[]> {
    const digest = createHash('sha256').update(id).digest('hex');
    const names = await readdir(system.settings.IMAGE_STORE_DIR, { recursive: true });
    return names.filter((name) => name.includes(digest) && name.endsWith('.sealed'));
  }

  test('was found and stored before', async () => {
    expect(await found()).toEqual([erased.imageId]);
    expect(await stored(erased.imageId)).toHaveLength(1);
    lateTemplate = (await lastTemplate(erased.imageId))!;
    expect(lateTemplate.value).not.toBeNull();
    // A snapshot that holds it, so that what a restart restores is worth looking at.
    const token = await system.token('service');
    expect((await call('POST', `${system.indexUrl}/v1/snapshots`, token)).status).toBe(204);
  });

  test('stays when the null that asks for it is not authorised, and the sender is told', async () => {
    const publisher = kafka.publisher();
    const headers = erasureHeaders(imageId(erased.imageId), '/custody-suite', '');
    const { assertion: _, ...without } = headers;
    await publisher.publish({ topic: CUSTODY_IMAGES, key: erased.imageId, value: null, headers: without });
    const signer = await AssertionSigner.open(join(system.settings.DATA_DIR, 'keys', 'custody-suite.jwk.json'));
    const other = await signer.sign({
      purpose: 'erasure',
      subject: 'dpo-1',
      role: 'data-protection',
      imageId: 'another-image',
      authority: 'DPA 2018 s.47',
      reason: 'The request of the person was upheld',
    });
    const ofOther = erasureHeaders(imageId(erased.imageId), '/custody-suite', other);
    await publisher.publish({ topic: CUSTODY_IMAGES, key: erased.imageId, value: null, headers: ofOther });
    await eventually(async () => {
      const said = (await outcomesOf(erased.imageId)).map((one) => ('code' in one ? one.code : one.outcome));
      expect(said).toEqual(['enrolled', 'ERASURE_NOT_AUTHORISED', 'ERASURE_NOT_AUTHORISED']);
    });
    expect(await found()).toEqual([erased.imageId]);
    expect(await stored(erased.imageId)).toHaveLength(1);
  });

  test('may be erased by data protection only', async () => {
    const request = { imageId: erased.imageId, reason: 'The request of the person was upheld', authority: 'DPA s.47' };
    expect(refusalOf(await call('POST', `${system.queryUrl}/v1/erasures`, officer, request))).toBe(
      '403 ROLE_NOT_ALLOWED',
    );
  });

  test('is gone from answers within two seconds, and from the image store', async () => {
    const url = `${system.queryUrl}/v1/erasures`;
    const token = await system.token('data-protection');
    const request = { imageId: erased.imageId, reason: 'The request of the person was upheld', authority: 'DPA s.47' };
    const accepted = await call('POST', url, token, request);
    const acceptedAtMs = performance.now();
    expect(accepted.status).toBe(202);
    await eventually(async () => expect(await found()).toEqual([]), { timeoutMs: UNSEARCHABLE_WITHIN_MS });
    expect(performance.now() - acceptedAtMs).toBeLessThan(UNSEARCHABLE_WITHIN_MS);
    await eventually(async () => {
      const { source } = answerOf<{ images: readonly { source: object }[] }>(accepted).images[0]!;
      expect((await outcomesOf(erased.imageId)).at(-1)).toMatchObject({ outcome: 'erased', source });
      expect((await lastTemplate(erased.imageId))!.value).toBeNull();
      expect(await stored(erased.imageId)).toEqual([]);
    });
    expect((await search()).gallery.enrolled).toBe(sample.manifest.enrolled.length - 1);
  });

  test('is still gone after index and query were killed, from the snapshot that held it', async () => {
    await system.restart('index', 'SIGKILL');
    await system.restart('query', 'SIGKILL');
    expect(await found()).toEqual([]);
  });

  test('is still gone after the snapshots were deleted and the log replayed', async () => {
    await system.restart('index', 'SIGKILL', () => rm(system.settings.SNAPSHOT_DIR, { recursive: true, force: true }));
    const answer = await search();
    expect(answer.candidates).toEqual([]);
    expect(answer.gallery.enrolled).toBe(sample.manifest.enrolled.length - 1);
  });

  test('is still gone when its template arrives late, and the index puts the tombstone back', async () => {
    const repairs = 'custody_gallery_repairs_total{kind="tombstone"}';
    const before = (await metric(system.indexUrl, repairs)) ?? 0;
    const { key, value, headers } = lateTemplate;
    const late = await kafka.publisher().publish({ topic: templates, key, value, headers });
    await eventually(async () => {
      const last = (await lastTemplate(erased.imageId))!;
      expect(last.offset).toBeGreaterThan(late.offset);
      expect(last.value).toBeNull();
    });
    expect(await metric(system.indexUrl, repairs)).toBe(before + 1);
    const answer = await search();
    expect(answer.candidates).toEqual([]);
    expect(answer.gallery.watermark[String(late.partition)]).toBeGreaterThan(late.offset);
  });

  test('is searchable when it is enrolled again, and stays so after a replay', async () => {
    const image = { imageId: imageId(erased.imageId), subjectId: subjectId(erased.subjectId), face: erased.face };
    await kafka.publisher().publish({
      topic: CUSTODY_IMAGES,
      key: erased.imageId,
      value: await sample.read(erased),
      headers: custodyImageHeaders(image, '/custody-suite', 'image/jpeg'),
    });
    await eventually(async () => expect(await found()).toEqual([erased.imageId]));
    expect(await stored(erased.imageId)).toHaveLength(1);
    await system.restart('index', 'SIGKILL', () => rm(system.settings.SNAPSHOT_DIR, { recursive: true, force: true }));
    expect(await found()).toEqual([erased.imageId]);
  });
});
