/** Images as other systems send them, over HTTP and over Kafka: what is enrolled, and what is refused under which code. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { custodyImageHeaders } from '#contracts/custody-image.js';
import { parseOutcome } from '#contracts/outcome-record.js';
import { CUSTODY_IMAGES, CUSTODY_OUTCOMES } from '#contracts/topics.js';
import { imageId, subjectId } from '#domain/ids.js';
import type { SearchAnswer } from '#domain/search-answer.js';
import type { SamplePhotographs } from '#face/sample-manifest.js';
import { KafkaClient } from '#kafka/kafka-client.js';
import { faceImage, unusableImages } from '#testkit/face-images-for-tests.js';
import { answerOf, call, refusalOf } from '#testkit/http-for-tests.js';
import { eventually, silentLog } from '#testkit/kafka-test-helpers.js';
import { samplePhotographsForTests } from '#testkit/model-pack-for-tests.js';
import { RunningSystem } from '#testkit/running-system.js';
import { operatorForm } from '#testkit/search-forms-for-tests.js';
import { readTopic } from '#testkit/topic-for-tests.js';

describe('enrolment', () => {
  let system: RunningSystem;
  let kafka: KafkaClient;
  let sample: SamplePhotographs;
  let probe: Buffer;
  let officer: string;
  let service: string;

  beforeAll(async () => {
    sample = await samplePhotographsForTests();
    [probe, system] = await Promise.all([
      faceImage(sample, sample.manifest.probe),
      RunningSystem.start(await RunningSystem.environment({ SAMPLE_GALLERY: 'off' })),
    ]);
    [officer, service] = await Promise.all([system.token('officer'), system.token('service')]);
    kafka = new KafkaClient({ brokers: system.settings.KAFKA_BROKERS, clientId: 'test', log: silentLog });
  });

  afterAll(async () => {
    await kafka?.close();
    await system?.stopAndForget();
  });

  const operatorUrl = (): string => `${system.queryUrl}/v1/searches/operator`;

  const unusable = async (): Promise<Readonly<Record<string, Buffer>>> =>
    unusableImages(probe, await sample.read(sample.manifest.probe));

  test('over HTTP is accepted with its place in the log, and found by the next search', async () => {
    const face = sample.manifest.enrolled[0]!;
    const image = await faceImage(sample, face, 3);
    const url = `${system.ingestUrl}/v1/images/http-0001?subjectId=http-person&force=sample`;
    expect(refusalOf(await call('PUT', url, officer, image))).toBe('403 ROLE_NOT_ALLOWED');
    const accepted = await call('PUT', url, service, image);
    expect(accepted.status).toBe(202);
    const { source } = answerOf<{ source: object }>(accepted);
    await eventually(async () => {
      const outcomes = (await readTopic(kafka, CUSTODY_OUTCOMES)).map(({ value }) => parseOutcome(value));
      expect(outcomes.find((one) => one.imageId === 'http-0001')).toMatchObject({ outcome: 'enrolled', source });
    });
    await eventually(async () => {
      const form = operatorForm(image);
      const { candidates } = answerOf<SearchAnswer>(await call('POST', operatorUrl(), officer, form));
      expect(candidates[0]).toMatchObject({ subjectId: 'http-person', imageId: 'http-0001' });
    });
  });

  test('over HTTP refuses at once what can be seen without decoding', async () => {
    const { IMAGE_EMPTY, IMAGE_FORMAT_UNSUPPORTED } = await unusable();
    const url = `${system.ingestUrl}/v1/images/http-0002?subjectId=http-person`;
    expect(refusalOf(await call('PUT', url, service, IMAGE_EMPTY))).toBe('422 IMAGE_EMPTY');
    expect(refusalOf(await call('PUT', url, service, IMAGE_FORMAT_UNSUPPORTED))).toBe('415 IMAGE_FORMAT_UNSUPPORTED');
    const nobody = `${system.ingestUrl}/v1/images/http-0002`;
    expect(refusalOf(await call('PUT', nobody, service, probe))).toMatch(/^400 /);
  });

  test('over Kafka refuses each image that cannot be used under its own code, and goes on with the next', async () => {
    const bad = await unusable();
    const publisher = kafka.publisher();
    const send = async (name: string, value: Buffer): Promise<unknown> => {
      const image = { imageId: imageId(name), subjectId: subjectId('kafka-person') };
      const headers = custodyImageHeaders(image, '/custody-suite', 'image/jpeg');
      return publisher.publish({ topic: CUSTODY_IMAGES, key: name, value, headers });
    };
    for (const [code, bytes] of Object.entries(bad)) await send(`bad-${code}`, bytes);
    await send('good', probe);
    const expected = new Map([...Object.keys(bad).map((code) => [`bad-${code}`, code] as const), ['good', 'enrolled']]);
    await eventually(async () => {
      const outcomes = (await readTopic(kafka, CUSTODY_OUTCOMES)).map(({ value }) => parseOutcome(value));
      const seen = outcomes.filter((one) => expected.has(one.imageId));
      expect(new Map(seen.map((one) => [one.imageId, 'code' in one ? one.code : one.outcome]))).toEqual(expected);
      const several = seen.find((one) => one.imageId === 'bad-MULTIPLE_FACES');
      expect(several).toMatchObject({ faces: expect.arrayContaining([expect.objectContaining({ index: 1 })]) });
    });
  });
});
