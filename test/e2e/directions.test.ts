/** Restrict, retire, hold and erase, as data-protection staff do it, and what searches show of it. */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { erasureHeaders } from '#contracts/custody-image.js';
import { parseOutcome } from '#contracts/outcome-record.js';
import { CUSTODY_IMAGES, CUSTODY_OUTCOMES } from '#contracts/topics.js';
import { imageId } from '#domain/ids.js';
import type { SearchAnswer } from '#domain/search-answer.js';
import type { SamplePhotographs } from '#face/sample-manifest.js';
import { KafkaClient } from '#kafka/kafka-client.js';
import { AssertionSigner } from '#platform/identity.js';
import { faceImage } from '#testkit/face-images-for-tests.js';
import { answerOf, call, refusalOf } from '#testkit/http-for-tests.js';
import { eventually, silentLog } from '#testkit/kafka-test-helpers.js';
import { samplePhotographsForTests } from '#testkit/model-pack-for-tests.js';
import { RunningSystem } from '#testkit/running-system.js';
import { operatorForm } from '#testkit/search-forms-for-tests.js';
import { readTopic } from '#testkit/topic-for-tests.js';

/** The bound of the local profile, and what a slow machine takes beyond it. */
const DESTROYED_WITHIN = { timeoutMs: 90_000, intervalMs: 500 };
const why = { reason: 'The request of the person was upheld', authority: 'DPA 2018 s.47' };

interface Given {
  readonly directionId: string;
  readonly images: readonly { readonly imageId: string; readonly searchable: boolean }[];
}
interface AskedErasure {
  readonly erasureId: string;
  readonly state: string;
  readonly images: readonly {
    readonly imageId: string;
    readonly outcome: string;
    readonly restrictionId: string | null;
  }[];
}

describe('what data-protection staff direct', () => {
  let system: RunningSystem;
  let kafka: KafkaClient;
  let sample: SamplePhotographs;
  let probe: Buffer;
  let officer: string;
  let first: string;
  let second: string;
  /** Enrolled; of the person on the probe. */
  let image: string;
  let subject: string;

  beforeAll(async () => {
    sample = await samplePhotographsForTests();
    const { enrolled, probe: probeFace } = sample.manifest;
    const face = enrolled.find(({ subjectId }) => subjectId === probeFace.subjectId)!;
    [image, subject] = [face.imageId, face.subjectId];
    probe = await faceImage(sample, probeFace);
    system = await RunningSystem.start(await RunningSystem.environment({ RATE_LIMIT: '10000' }));
    officer = await system.token('officer');
    first = await system.token('data-protection', 'dpo-1');
    second = await system.token('data-protection', 'dpo-2');
    kafka = new KafkaClient({ brokers: system.settings.KAFKA_BROKERS, clientId: 'test', log: silentLog });
  });

  afterAll(async () => {
    await kafka?.close();
    await system?.stopAndForget();
  });

  async function found(): Promise<string[]> {
    const url = `${system.queryUrl}/v1/searches/operator`;
    const answer = answerOf<SearchAnswer>(await call('POST', url, officer, operatorForm(probe)));
    expect(answer.complete).toBe(true);
    return answer.candidates.map((candidate) => candidate.imageId);
  }

  async function give(path: string, about: object): Promise<Given> {
    const given = await call('POST', `${system.queryUrl}/v1/${path}`, first, { ...about, ...why });
    expect(given.status).toBe(201);
    return answerOf<Given>(given);
  }

  async function lift(path: string, { directionId }: Pick<Given, 'directionId'>): Promise<void> {
    answerOf(await call('DELETE', `${system.queryUrl}/v1/${path}/${directionId}`, first, why));
  }

  const erase = async (about: object): Promise<AskedErasure> =>
    answerOf<AskedErasure>(await call('POST', `${system.queryUrl}/v1/erasures`, first, { ...about, ...why }));

  test.each([['restrictions'], ['retirements']])(
    '%s take an image out of searches until they are lifted',
    async (path) => {
      expect(await found()).toEqual([image]);
      const given = await give(path, { imageId: image });
      expect(given.images).toMatchObject([{ imageId: image, searchable: false }]);
      expect(await found()).toEqual([]);
      await lift(path, given);
      expect(await found()).toEqual([image]);
    },
  );

  test('a restriction on a person outlives a restart of every query process, and is lifted by query parameters', async () => {
    const { directionId } = await give('restrictions', { subjectId: subject });
    await system.restart('query', 'SIGKILL');
    expect(await found()).toEqual([]);
    const query = new URLSearchParams(why).toString();
    const url = `${system.queryUrl}/v1/restrictions/${directionId}`;
    answerOf(await call('DELETE', `${url}?${query}`, second));
    await eventually(async () => expect(await found()).toEqual([image]));
    expect(refusalOf(await call('GET', url, second))).toBe('404 DIRECTION_NOT_FOUND');
  });

  test('an image on evidence hold is found, and restricted instead of erased, over HTTP and over Kafka', async () => {
    const hold = await give('evidence-holds', { subjectId: subject });
    expect(await found()).toEqual([image]);
    const { images } = await erase({ imageId: image });
    expect(images).toMatchObject([{ outcome: 'restricted-instead', heldBy: [{ directionId: hold.directionId }] }]);
    await eventually(async () => expect(await found()).toEqual([]));

    const signer = await AssertionSigner.open(join(system.settings.DATA_DIR, 'keys', 'custody-suite.jwk.json'));
    const about = { imageId: image, ...why };
    const assertion = await signer.sign({ purpose: 'erasure', subject: 'dpo-9', role: 'data-protection', ...about });
    const headers = erasureHeaders(imageId(image), '/custody-suite', assertion);
    const source = await kafka.publisher().publish({ topic: CUSTODY_IMAGES, key: image, value: null, headers });
    const restrictionId = await eventually(async () => {
      const outcomes = (await readTopic(kafka, CUSTODY_OUTCOMES)).map(({ value }) => parseOutcome(value));
      const outcome = outcomes.find((one) => one.source.offset === source.offset && one.imageId === image);
      expect(outcome).toMatchObject({ outcome: 'restricted', heldBy: [{ directionId: hold.directionId }] });
      return (outcome as { restrictionId: string }).restrictionId;
    });

    await lift('evidence-holds', hold);
    expect(await found()).toEqual([]);
    await lift('restrictions', { directionId: images[0]!.restrictionId! });
    expect(await found()).toEqual([]);
    await lift('restrictions', { directionId: restrictionId });
    expect(await found()).toEqual([image]);
  });

  test('images of several people are erased when a second person approves it, with a receipt for each', async () => {
    const other = sample.manifest.enrolled.find(({ subjectId }) => subjectId !== subject)!.imageId;
    const asked = await erase({ imageIds: [image, other] });
    expect(asked.state).toBe('AWAITING_APPROVAL');
    expect(await found()).toEqual([image]);
    const url = `${system.queryUrl}/v1/erasures/${asked.erasureId}`;
    const words = { reason: 'Checked against the request' };
    expect(refusalOf(await call('POST', `${url}/approval`, first, words))).toBe('409 APPROVER_NOT_DISTINCT');
    expect(refusalOf(await call('POST', `${url}/approval`, officer, words))).toBe('403 ROLE_NOT_ALLOWED');
    expect((await call('POST', `${url}/approval`, second, words)).status).toBe(202);
    expect(await found()).toEqual([]);
    await eventually(async () => {
      const done = answerOf<AskedErasure>(await call('GET', url, first));
      expect(done.state).toBe('DONE');
      const receipt = {
        disposition: { offset: expect.any(Number) as number },
        tombstone: { offset: expect.any(Number) as number },
        imageStoreEmptiedAt: expect.any(String) as string,
      };
      expect(done.images).toMatchObject([image, other].map((id) => ({ imageId: id, outcome: 'erased', receipt })));
    }, DESTROYED_WITHIN);
  });

  test('the command line follows an erasure to its receipt', async () => {
    const third = sample.manifest.enrolled.findLast(({ subjectId }) => subjectId !== subject)!;
    const { stdout, code } = await system.custody(
      ...['erase', '--subject', third.subjectId, '--reason', why.reason, '--authority', why.authority],
    );
    expect([code, stdout]).toEqual([
      0,
      expect.stringMatching(
        /: erased\n {2}disposition +\d+\/\d+\n(.*\n)* {2}image-store +\d{4}-(.*\n)* {2}replica\/\S+ +\d{4}-/,
      ),
    ]);
  });
});
