/** The review of a retrospective search as its people make it, over HTTP: from the list to a suspect, and back again. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseSearchEvent, type SearchEvent } from '#contracts/search-record.js';
import { SEARCHES_EVENTS } from '#contracts/topics.js';
import type { SearchAnswer } from '#domain/search-answer.js';
import type { SampleFace } from '#face/sample-manifest.js';
import { KafkaClient } from '#kafka/kafka-client.js';
import { faceImage } from '#testkit/face-images-for-tests.js';
import { answerOf, call, refusalOf, type ProblemBody } from '#testkit/http-for-tests.js';
import { eventually, silentLog } from '#testkit/kafka-test-helpers.js';
import { samplePhotographsForTests } from '#testkit/model-pack-for-tests.js';
import { RunningSystem } from '#testkit/running-system.js';
import { retrospectiveForm } from '#testkit/search-forms-for-tests.js';
import { readTopic } from '#testkit/topic-for-tests.js';

interface Shown {
  readonly searchId: string;
  readonly state: string;
  readonly version: number;
  readonly answer: SearchAnswer | null;
}

const WORDS = 'The same scar over the left eyebrow and the same ear lobes.';
const possible = { outcome: 'possible-match', rank: 1, features: WORDS };

describe('the review of a retrospective search', () => {
  let system: RunningSystem;
  let kafka: KafkaClient;
  let probe: Buffer;
  let mate: SampleFace;
  let operator: string;
  let officer: string;

  beforeAll(async () => {
    const sample = await samplePhotographsForTests();
    const { probe: probeFace, enrolled } = sample.manifest;
    mate = enrolled.find((face) => face.subjectId === probeFace.subjectId)!;
    [probe, system] = await Promise.all([
      faceImage(sample, probeFace),
      RunningSystem.start(await RunningSystem.environment()),
    ]);
    [operator, officer] = await Promise.all([system.token('operator'), system.token('investigating-officer')]);
    kafka = new KafkaClient({ brokers: system.settings.KAFKA_BROKERS, clientId: 'test', log: silentLog });
  });
  afterAll(async () => {
    await kafka?.close();
    await system?.stopAndForget();
  });

  const url = (id: string, path = ''): string => `${system.queryUrl}/v1/searches/${id}${path}`;
  const one = async (id: string): Promise<Shown> => answerOf(await call('GET', url(id), operator));
  const events = async (id: string): Promise<SearchEvent[]> =>
    (await readTopic(kafka, SEARCHES_EVENTS))
      .map(({ value }) => parseSearchEvent(value!))
      .filter((event) => event.searchId === id);

  async function found(): Promise<string> {
    const accepted = await call('POST', url('retrospective'), operator, retrospectiveForm(probe));
    const { searchId } = answerOf<Shown>(accepted);
    await eventually(async () => expect((await one(searchId)).state).toBe('CANDIDATES'));
    return searchId;
  }

  /** On the version that the search has now. */
  async function decide(id: string, token: string, path: string, body: object = {}): Promise<Shown> {
    const { version } = await one(id);
    return answerOf(await call('POST', url(id, `/${path}`), token, { ...body, expectedVersion: version }));
  }

  async function refused(id: string, token: string, path: string, body: object = {}): Promise<string> {
    const { version } = await one(id);
    return refusalOf(await call('POST', url(id, `/${path}`), token, { ...body, expectedVersion: version }));
  }

  test('makes nobody a suspect without two people, the features compared and what else supports it', async () => {
    const id = await found();
    expect(await refused(id, operator, 'operator-decision', possible)).toBe('409 ILLEGAL_MOVE');
    const viewed = await call('POST', url(id, '/candidates/1/viewed'), operator);
    expect(answerOf<Shown>(viewed).state).toBe('OPERATOR_REVIEW');
    expect(viewed.headers.get('consistency-token')).toBeTruthy();
    expect(await refused(id, operator, 'operator-decision', { outcome: 'no-match' })).toBe(
      '409 CANDIDATES_NOT_ALL_VIEWED',
    );
    expect(await refused(id, operator, 'operator-decision', { ...possible, features: 'same' })).toBe(
      '400 FEATURES_REQUIRED',
    );
    expect((await decide(id, operator, 'operator-decision', possible)).state).toBe('OFFICER_REVIEW');
    const add = { outcome: 'add-suspect', corroboration: WORDS };
    expect(await refused(id, operator, 'officer-decision', add)).toBe('403 ROLE_NOT_ALLOWED');
    expect(await refused(id, officer, 'officer-decision', add)).toBe('409 CANDIDATES_NOT_ALL_VIEWED');
    answerOf(await call('POST', url(id, '/candidates/1/viewed'), officer));
    expect(await refused(id, officer, 'officer-decision', { outcome: 'add-suspect' })).toBe(
      '400 CORROBORATION_REQUIRED',
    );
    expect((await decide(id, officer, 'officer-decision', add)).state).toBe('SUSPECT_ADDED');
    expect((await decide(id, officer, 'close')).state).toBe('CLOSED');
    expect(await refused(id, operator, 'retry')).toBe('409 ILLEGAL_MOVE');
    expect((await events(id)).map(({ type }) => type)).toEqual([
      'RECEIVED',
      'SEARCH_STARTED',
      'CANDIDATES_FOUND',
      'CANDIDATE_VIEWED',
      'OPERATOR_DECIDED',
      'REVIEW_REQUESTED',
      'CANDIDATE_VIEWED',
      'OFFICER_DECIDED',
      'CLOSED',
    ]);
  });

  test('accepts one of two decisions on one version, and tells the other who was first', async () => {
    const id = await found();
    const { version } = answerOf<Shown>(await call('POST', url(id, '/candidates/1/viewed'), operator));
    const bodies = [possible, { outcome: 'inconclusive' }].map((body) => ({ ...body, expectedVersion: version }));
    const answers = await Promise.all(
      bodies.map((body) => call('POST', url(id, '/operator-decision'), operator, body)),
    );
    expect(answers.map(({ status }) => status).toSorted()).toEqual([200, 409]);
    const problem = JSON.parse(answers.find(({ status }) => status === 409)!.text) as ProblemBody;
    expect(problem).toMatchObject({
      code: 'VERSION_CONFLICT',
      details: { winner: { type: 'OPERATOR_DECIDED', by: 'test-operator', version: version + 1 } },
    });
  });

  test('does a decision once that is sent again with its Idempotency-Key', async () => {
    const id = await found();
    const view = (): ReturnType<typeof call> =>
      call('POST', url(id, '/candidates/2/viewed'), operator, {}, { 'idempotency-key': 'once' });
    const [first, again] = [answerOf<Shown>(await view()), answerOf<Shown>(await view())];
    expect(again.version).toBe(first.version);
  });

  test('opens the case again when the image of the suspect is restricted, and tells the officer', async () => {
    const id = await found();
    answerOf(await call('POST', url(id, '/candidates/1/viewed'), operator));
    await decide(id, operator, 'operator-decision', possible);
    answerOf(await call('POST', url(id, '/candidates/1/viewed'), officer));
    await decide(id, officer, 'officer-decision', { outcome: 'add-suspect', corroboration: WORDS });
    await decide(id, operator, 'close');
    const restriction = { imageId: mate.imageId, reason: 'A dispute about the record', authority: 'DPA 2018 s.47' };
    const protector = await system.token('data-protection');
    answerOf(await call('POST', `${system.queryUrl}/v1/restrictions`, protector, restriction));
    await eventually(async () => expect((await one(id)).state).toBe('OFFICER_REVIEW'));
    expect((await one(id)).answer!.candidates[0]).toEqual({ rank: 1, withdrawn: true });
    expect((await events(id)).at(-1)).toMatchObject({
      type: 'CANDIDATE_WITHDRAWN',
      reason: 'restricted',
      investigatingOfficer: 'test-investigating-officer',
    });
    const add = { outcome: 'add-suspect', corroboration: WORDS };
    expect(await refused(id, officer, 'officer-decision', add)).toBe('410 CANDIDATE_WITHDRAWN');
    expect((await decide(id, officer, 'officer-decision', { outcome: 'reject' })).state).toBe('REJECTED');
  });
});
