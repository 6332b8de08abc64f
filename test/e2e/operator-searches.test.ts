/** What becomes of searches after they were answered: nothing of a probe, and everything that was done. */
import { randomUUID } from 'node:crypto';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseSearchEvent, type SearchEvent } from '#contracts/search-record.js';
import {
  CUSTODY_IMAGES,
  desiredTopics,
  GALLERY_QUERIES,
  galleryTemplates,
  SEARCHES_EVENTS,
  SEARCHES_REQUESTS,
} from '#contracts/topics.js';
import type { ModelId } from '#domain/ids.js';
import type { SearchAnswer } from '#domain/search-answer.js';
import type { SampleFace, SamplePhotographs } from '#face/sample-manifest.js';
import { KafkaClient } from '#kafka/kafka-client.js';
import { filesHolding } from '#testkit/byte-search.js';
import { faceImage } from '#testkit/face-images-for-tests.js';
import { answerOf, call, metric, refusalOf, type HttpResult } from '#testkit/http-for-tests.js';
import { eventually, silentLog } from '#testkit/kafka-test-helpers.js';
import { modelPackForTests, samplePhotographsForTests } from '#testkit/model-pack-for-tests.js';
import { RunningSystem } from '#testkit/running-system.js';
import { operatorForm, retrospectiveForm } from '#testkit/search-forms-for-tests.js';
import { readTopic } from '#testkit/topic-for-tests.js';

type Answer = SearchAnswer & { readonly version: number; readonly statement: string };

interface Shown {
  readonly searchId: string;
  readonly state: string;
  readonly version: number;
  readonly answer: SearchAnswer | null;
  readonly outcome: { readonly rank: number | null; readonly notes: string } | null;
}

interface Page {
  readonly searches: readonly { readonly searchId: string; readonly kind: string; readonly outcome: string | null }[];
}

/** The local broker looks for what is past its time every 5 s; a loaded machine is given as long again, twice. */
const CLEANED_WITHIN_MS = 15_000;

describe('searches that were answered', () => {
  let system: RunningSystem;
  let kafka: KafkaClient;
  let sample: SamplePhotographs;
  let modelId: ModelId;
  let mate: SampleFace;
  let probe: Buffer;
  let officer: string;
  let operator: string;

  beforeAll(async () => {
    sample = await samplePhotographsForTests();
    ({ modelId } = await modelPackForTests());
    const probeFace = sample.manifest.probe;
    mate = sample.manifest.enrolled.find((face) => face.subjectId === probeFace.subjectId)!;
    const environment = await RunningSystem.environment();
    // Whatever a process would put aside lies in the folder that is searched.
    const temporary = join(environment['DATA_DIR']!, 'tmp');
    await mkdir(temporary);
    [probe, system] = await Promise.all([
      faceImage(sample, probeFace),
      RunningSystem.start({ ...environment, TMPDIR: temporary }),
    ]);
    [officer, operator] = await Promise.all([system.token('officer'), system.token('operator')]);
    kafka = new KafkaClient({ brokers: system.settings.KAFKA_BROKERS, clientId: 'test', log: silentLog });
  });

  afterAll(async () => {
    await kafka?.close();
    await system?.stopAndForget();
  });

  const url = (path: string): string => `${system.queryUrl}/v1/searches${path}`;
  const search = (
    token = officer,
    fields: Readonly<Record<string, string>> = {},
    headers: Readonly<Record<string, string>> = {},
  ): Promise<HttpResult> => call('POST', url('/operator'), token, operatorForm(probe, fields), headers);

  /** On this replica as it was when the POST was answered. */
  async function shownAfter({ headers }: HttpResult, id: string, token = officer): Promise<Shown> {
    const consistency = { 'consistency-token': headers.get('consistency-token')! };
    return answerOf<Shown>(await call('GET', url(`/${id}`), token, undefined, consistency));
  }

  async function listed(token: string, query: string): Promise<Page['searches']> {
    return answerOf<Page>(await call('GET', url(`?${query}`), token)).searches;
  }

  async function eventsOf(searchId: string): Promise<SearchEvent[]> {
    const records = await readTopic(kafka, SEARCHES_EVENTS);
    return records.map(({ value }) => parseSearchEvent(value!)).filter((event) => event.searchId === searchId);
  }

  async function untilDone(searchId: string): Promise<Shown> {
    return eventually(async () => {
      const shown = answerOf<Shown>(await call('GET', url(`/${searchId}`), operator));
      expect(['QUEUED', 'RECEIVED', 'SEARCHING']).not.toContain(shown.state);
      return shown;
    });
  }

  /** Topics whose files hold the bytes, and files elsewhere. */
  async function placesOf(bytes: Buffer): Promise<Set<string>> {
    const files = await filesHolding(system.settings.DATA_DIR, bytes);
    return new Set(files.map((file) => /^kafka\/logs\/(.+)-\d+\/[^/]+$/.exec(file)?.[1] ?? file));
  }

  describe('nothing of an officer’s probe is kept', () => {
    let unknown: Buffer;
    let template: Buffer;

    test('while it runs its template is in the log of queries, and its picture nowhere', async () => {
      unknown = await faceImage(sample, sample.manifest.enrolled[4]!, 5);
      answerOf(await call('POST', url('/operator'), officer, operatorForm(unknown)));
      const queries = await readTopic(kafka, GALLERY_QUERIES);
      template = queries.findLast(({ value }) => value !== null && value.length > 0)!.value!;
      expect(await placesOf(template)).toEqual(new Set([GALLERY_QUERIES]));
      expect(await placesOf(unknown)).toEqual(new Set());
    });

    test('the same look finds what is kept: an enrolled image, its template, and a probe of an investigation', async () => {
      const enrolled = (await readTopic(kafka, CUSTODY_IMAGES)).find(({ key }) => key!.toString() === mate.imageId)!;
      expect(await placesOf(enrolled.value!)).toContain(CUSTODY_IMAGES);
      const templates = galleryTemplates(modelId);
      const stored = (await readTopic(kafka, templates)).find(({ key }) => key!.toString() === mate.imageId)!;
      expect(await placesOf(stored.value!)).toContain(templates);
      const still = await faceImage(sample, sample.manifest.enrolled[2]!, 3);
      answerOf(await call('POST', url('/retrospective'), operator, retrospectiveForm(still)));
      expect(await placesOf(still)).toEqual(new Set([SEARCHES_REQUESTS]));
    });

    test('and would find it in a text, wherever it begins', async () => {
      const folder = join(system.settings.DATA_DIR, 'control');
      await mkdir(folder);
      for (const encoding of ['base64', 'base64url', 'hex'] as const) {
        for (const before of ['', 'x', 'xy']) {
          const text = Buffer.concat([Buffer.from(before), template]).toString(encoding);
          await writeFile(join(folder, 'text.json'), JSON.stringify({ text }));
          expect(await filesHolding(folder, template), encoding).toEqual(['text.json']);
        }
      }
      await rm(folder, { recursive: true });
    });

    test('after the log’s own retention there is nothing left: not raw, not in base64, in no file', async () => {
      const topics = desiredTopics({ modelId, profile: system.settings.TOPIC_PROFILE, replication: 1 });
      const retentionMs = Number(topics.find(({ name }) => name === GALLERY_QUERIES)!.config['retention.ms']);
      expect(retentionMs).toBeGreaterThan(0);
      await eventually(
        async () => {
          expect(await placesOf(template)).toEqual(new Set());
        },
        { timeoutMs: retentionMs + CLEANED_WITHIN_MS, intervalMs: 5_000 },
      );
      expect(await placesOf(unknown)).toEqual(new Set());
      expect(await readTopic(kafka, GALLERY_QUERIES)).toEqual([]);
      // What was found before by the same look is still found.
      const enrolled = (await readTopic(kafka, CUSTODY_IMAGES)).find(({ key }) => key!.toString() === mate.imageId)!;
      expect(await placesOf(enrolled.value!)).toContain(CUSTODY_IMAGES);
    });
  });

  describe('are read by who has just written', () => {
    test('at once, with the token of the answer', async () => {
      const answered = await search();
      const { searchId, version } = answerOf<Answer>(answered);
      expect(version).toBe(1);
      expect(await shownAfter(answered, searchId)).toMatchObject({ state: 'ANSWERED', version: 1, outcome: null });
    });

    test('or with 503, when this replica has not come that far', async () => {
      const { searchId } = answerOf<Answer>(await search());
      const token = Buffer.from(JSON.stringify({ searchId, version: 9 })).toString('base64url');
      const ahead = await call('GET', url(`/${searchId}`), officer, undefined, { 'consistency-token': token });
      expect(refusalOf(ahead)).toBe('503 VIEW_BEHIND');
      const bad = await call('GET', url(''), officer, undefined, { 'consistency-token': 'x' });
      expect(refusalOf(bad)).toBe('400 BAD_CONSISTENCY_TOKEN');
    });
  });

  describe('are not made twice', () => {
    test('an officer who asks again under the same key is given the first answer, from the record', async () => {
      const key = { 'idempotency-key': randomUUID() };
      const first = answerOf<Answer>(await search(officer, {}, key));
      const second = answerOf<Answer>(await search(officer, {}, key));
      expect(second).toEqual(first);
      expect(await eventsOf(first.searchId)).toHaveLength(1);
      const other = answerOf<Answer>(await search(await system.token('officer', 'officer-2'), {}, key));
      expect(other.searchId).not.toBe(first.searchId);
    });

    test('also when both come at once', async () => {
      const key = { 'idempotency-key': randomUUID() };
      const both = await Promise.all([search(officer, {}, key), search(officer, {}, key)]);
      const [first, second] = both.map((result) => answerOf<Answer>(result));
      expect(second).toEqual(first);
      expect((await shownAfter(both[0], first!.searchId)).answer!.completedAt).toBe(first!.completedAt);
    });

    test('and another request under the same key is refused', async () => {
      const key = { 'idempotency-key': randomUUID() };
      answerOf(await search(officer, {}, key));
      expect(refusalOf(await search(officer, { grounds: 'unconscious' }, key))).toBe('422 IDEMPOTENCY_KEY_REUSED');
      expect(refusalOf(await search(officer, {}, { 'idempotency-key': 'é'.repeat(200) }))).toBe(
        '400 BAD_IDEMPOTENCY_KEY',
      );
    });

    test('nor is a retrospective search', async () => {
      const key = { 'idempotency-key': randomUUID() };
      const post = (image: Buffer, fields = {}): Promise<HttpResult> =>
        call('POST', url('/retrospective'), operator, retrospectiveForm(image, fields), key);
      const first = await post(probe);
      const again = await post(probe);
      expect(again.headers.get('location')).toBe(first.headers.get('location'));
      expect(refusalOf(await post(await faceImage(sample, mate)))).toBe('422 IDEMPOTENCY_KEY_REUSED');
      expect(refusalOf(await post(probe, { offence: 'robbery' }))).toBe('422 IDEMPOTENCY_KEY_REUSED');
      const { searchId } = answerOf<Shown>(first);
      await untilDone(searchId);
      const types = (await eventsOf(searchId)).map(({ type }) => type);
      expect(types.filter((type) => type === 'RECEIVED')).toHaveLength(1);
    });
  });

  describe('of officers are missing an outcome until it is recorded', () => {
    test('listed for the officer and for auditors, and counted', async () => {
      const answered = await search();
      const { searchId } = answerOf<Answer>(answered);
      await shownAfter(answered, searchId);
      const auditor = await system.token('auditor');
      const ids = async (token: string): Promise<string[]> =>
        (await listed(token, 'kind=operator&outcome=missing&limit=200')).map((one) => one.searchId);
      expect(await ids(officer)).toContain(searchId);
      expect(await ids(auditor)).toContain(searchId);
      expect(await ids(await system.token('officer', 'nobody'))).toEqual([]);
      const missing = (await ids(auditor)).length;
      await eventually(async () => {
        expect(await metric(system.queryUrl, 'custody_operator_searches_without_outcome')).toBe(missing);
      });
      const body = { outcome: 'confirmed', rank: 1, notes: 'Her sister came to the station and named her.' };
      const recorded = await call('POST', url(`/${searchId}/outcome`), officer, body);
      expect(answerOf<Shown>(recorded)).toMatchObject({ state: 'OUTCOME_RECORDED', version: 2, outcome: { rank: 1 } });
      expect(await shownAfter(recorded, searchId)).toMatchObject({ version: 2, outcome: { notes: body.notes } });
      expect(await ids(officer)).not.toContain(searchId);
      const again = await call('POST', url(`/${searchId}/outcome`), officer, { outcome: 'none', notes: 'Not her.' });
      expect(refusalOf(again)).toBe('409 OUTCOME_ALREADY_RECORDED');
      await eventually(async () => {
        expect(await metric(system.queryUrl, 'custody_operator_searches_without_outcome')).toBe(missing - 1);
      });
    });

    test('which says how, and names a candidate who was shown', async () => {
      const answered = await search();
      const { searchId } = answerOf<Answer>(answered);
      const record = async (body: object): Promise<string> =>
        refusalOf(
          await call('POST', url(`/${searchId}/outcome`), officer, body, {
            'consistency-token': answered.headers.get('consistency-token')!,
          }),
        );
      expect(await record({ outcome: 'confirmed', rank: 1 })).toBe('400 NOTES_REQUIRED');
      expect(await record({ outcome: 'confirmed', rank: 99, notes: 'Named by her sister.' })).toBe(
        '404 CANDIDATE_NOT_FOUND',
      );
      expect(await record({ outcome: 'perhaps' })).toBe('400 BAD_REQUEST');
    });
  });

  describe('are shown with their pictures to who has to compare them', () => {
    test('and to no other; no cache keeps them', async () => {
      const form = retrospectiveForm(probe, { investigatingOfficer: 'pc-2000' });
      const { searchId } = answerOf<Shown>(await call('POST', url('/retrospective'), operator, form));
      const { answer } = await untilDone(searchId);
      const named = await system.token('investigating-officer', 'pc-2000');
      const get = (path: string, token: string): Promise<Response> =>
        fetch(url(`/${searchId}${path}`), { headers: { authorization: `Bearer ${token}` } });
      for (const token of [operator, named]) {
        const response = await get('/probe', token);
        expect(response.headers.get('content-type')).toBe('image/jpeg');
        expect(response.headers.get('cache-control')).toBe('no-store');
        expect(Buffer.from(await response.arrayBuffer()).equals(probe)).toBe(true);
        const candidate = await get(`/candidates/${answer!.candidates[0]!.rank}/image`, token);
        expect(candidate.headers.get('content-type')).toBe('image/jpeg');
        expect(candidate.headers.get('cache-control')).toBe('no-store');
        expect(Buffer.from(await candidate.arrayBuffer()).subarray(0, 3)).toEqual(Buffer.from([0xff, 0xd8, 0xff]));
      }
      const another = await system.token('investigating-officer', 'pc-3000');
      expect((await get('/probe', another)).status).toBe(403);
      expect((await get('/candidates/1/image', another)).status).toBe(403);
      expect((await get('/candidates/51/image', operator)).status).toBe(404);
      expect((await get('/candidates/first/image', operator)).status).toBe(400);
      // Where they are named is where they find it.
      expect((await listed(named, 'kind=retrospective')).map((one) => one.searchId)).toEqual([searchId]);
      expect(await listed(another, '')).toEqual([]);
    });
  });

  test('are kept until who may end that states that proceedings have', async () => {
    const { searchId } = answerOf<Shown>(await call('POST', url('/retrospective'), operator, retrospectiveForm(probe)));
    await untilDone(searchId);
    const keeper = await system.token('data-protection');
    const order = { authority: 'MoPI review', reason: 'Acquitted, no appeal' };
    const end = async (body: object, token = keeper): Promise<string> =>
      refusalOf(await call('POST', url(`/${searchId}/retention-end`), token, body));
    expect(await end(order)).toBe('400 PROCEEDINGS_NOT_STATED_ENDED');
    expect(await end({ ...order, proceedingsEnded: true }, operator)).toBe('403 ROLE_NOT_ALLOWED');
    expect(await end({ ...order, proceedingsEnded: true })).toBe('409 SEARCH_NOT_CLOSED');
  });
});
