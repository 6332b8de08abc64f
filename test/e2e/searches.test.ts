/** Both kinds of search as officers, operators and other systems make them: what is refused, found, and put on record. */
import { createHash, randomUUID } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { auditLeaf, type AuditEntry } from '#contracts/audit-record.js';
import { parseSearchEvent, searchRequestHeaders, type SearchEvent } from '#contracts/search-record.js';
import {
  AUDIT_ENTRIES,
  AUDIT_LOG,
  CUSTODY_IMAGES,
  desiredTopics,
  SEARCHES_EVENTS,
  SEARCHES_REQUESTS,
} from '#contracts/topics.js';
import type { SearchId } from '#domain/ids.js';
import type { SearchAnswer } from '#domain/search-answer.js';
import type { SampleFace, SamplePhotographs } from '#face/sample-manifest.js';
import { KafkaClient } from '#kafka/kafka-client.js';
import type { KafkaRecord } from '#kafka/kafka-record.js';
import { AssertionSigner } from '#platform/identity.js';
import { faceImage, imageWithoutFace, unusableImages } from '#testkit/face-images-for-tests.js';
import { answerOf, call, refusalOf, type ProblemBody } from '#testkit/http-for-tests.js';
import { eventually, silentLog } from '#testkit/kafka-test-helpers.js';
import { modelPackForTests, samplePhotographsForTests } from '#testkit/model-pack-for-tests.js';
import { RunningSystem } from '#testkit/running-system.js';
import { operatorForm, retrospectiveForm } from '#testkit/search-forms-for-tests.js';
import { readTopic } from '#testkit/topic-for-tests.js';

interface Shown {
  readonly searchId: string;
  readonly state: string;
  readonly version: number;
  readonly faces: readonly { readonly index: number }[] | null;
  readonly answer: SearchAnswer | null;
}

const REQUEST = {
  crimeReference: 'CR/2026/0002',
  offence: 'robbery',
  source: 'cctv',
  justification: 'Still from the camera of the bank at the time of the robbery',
  investigatingOfficer: 'pc-2000',
} as const;

describe('searches', () => {
  let system: RunningSystem;
  let kafka: KafkaClient;
  let sample: SamplePhotographs;
  /** Not enrolled; `mate` is another image of the same person, and is. */
  let probeFace: SampleFace;
  let mate: SampleFace;
  let probe: Buffer;
  let group: Buffer;
  let officer: string;
  let operator: string;

  beforeAll(async () => {
    sample = await samplePhotographsForTests();
    probeFace = sample.manifest.probe;
    mate = sample.manifest.enrolled.find((face) => face.subjectId === probeFace.subjectId)!;
    [probe, group, system] = await Promise.all([
      faceImage(sample, probeFace),
      sample.read(probeFace),
      RunningSystem.start(await RunningSystem.environment()),
    ]);
    [officer, operator] = await Promise.all([system.token('officer'), system.token('operator')]);
    kafka = new KafkaClient({ brokers: system.settings.KAFKA_BROKERS, clientId: 'test', log: silentLog });
  });

  afterAll(async () => {
    await kafka?.close();
    await system?.stopAndForget();
  });

  const operatorUrl = (): string => `${system.queryUrl}/v1/searches/operator`;
  const retrospectiveUrl = (): string => `${system.queryUrl}/v1/searches/retrospective`;
  const searchUrl = (id: string): string => `${system.queryUrl}/v1/searches/${id}`;

  const unusable = (): Promise<Readonly<Record<string, Buffer>>> => unusableImages(probe, group);

  async function untilDone(searchId: string, token = operator): Promise<Shown> {
    return eventually(async () => {
      const shown = answerOf<Shown>(await call('GET', searchUrl(searchId), token));
      expect(['QUEUED', 'RECEIVED', 'SEARCHING']).not.toContain(shown.state);
      return shown;
    });
  }

  async function events(searchId: string): Promise<SearchEvent[]> {
    const records = await readTopic(kafka, SEARCHES_EVENTS);
    return records.map(({ value }) => parseSearchEvent(value!)).filter((event) => event.searchId === searchId);
  }

  describe('operator-initiated', () => {
    test.each([
      ['GROUNDS_REQUIRED', { grounds: '' }],
      ['GROUNDS_UNKNOWN', { grounds: 'curiosity' }],
      ['JUSTIFICATION_REQUIRED', { justification: '' }],
      ['JUSTIFICATION_TOO_SHORT', { justification: 'drunk' }],
      ['JUSTIFICATION_PLACEHOLDER', { justification: 'Enter your justification here' }],
      ['DEVICE_REQUIRED', { deviceId: '' }],
      ['IDENTITY_NOT_STATED_UNCONFIRMED', { identityUnconfirmed: '' }],
      ['IDENTITY_NOT_STATED_UNCONFIRMED', { identityUnconfirmed: 'false' }],
    ])('are refused with %s for %j', async (code, fields) => {
      expect(refusalOf(await call('POST', operatorUrl(), officer, operatorForm(probe, fields)))).toBe(`400 ${code}`);
    });

    test('are for officers: 403 for another role, 401 without a token or with a forged one', async () => {
      const form = operatorForm(probe);
      expect(refusalOf(await call('POST', operatorUrl(), operator, form))).toBe('403 ROLE_NOT_ALLOWED');
      expect(refusalOf(await call('POST', operatorUrl(), undefined, form))).toBe('401 TOKEN_REQUIRED');
      const [head, , signature] = officer.split('.');
      const claims = { sub: 'test-officer', roles: ['officer', 'data-protection'], exp: Date.now() };
      const forged = [head, Buffer.from(JSON.stringify(claims)).toString('base64url'), signature].join('.');
      expect(refusalOf(await call('POST', operatorUrl(), forged, form))).toBe('401 TOKEN_INVALID');
    });

    test('say of each image that cannot be used why, and the next one is searched', async () => {
      const codes: string[] = [];
      for (const image of Object.values(await unusable())) {
        codes.push(refusalOf(await call('POST', operatorUrl(), officer, operatorForm(image))));
      }
      expect(codes).toEqual([
        '422 NO_FACE',
        '422 MULTIPLE_FACES',
        '422 IMAGE_EMPTY',
        '422 IMAGE_UNREADABLE',
        '415 IMAGE_FORMAT_UNSUPPORTED',
      ]);
      const answer = answerOf<SearchAnswer>(await call('POST', operatorUrl(), officer, operatorForm(probe)));
      expect(answer.candidates[0]).toMatchObject({ rank: 1, aboveThreshold: true, subjectId: probeFace.subjectId });
    });

    test('say where the faces are when there are several, and take the one that is chosen', async () => {
      const refused = await call('POST', operatorUrl(), officer, operatorForm(group));
      const { details } = JSON.parse(refused.text) as ProblemBody;
      const faces = details!['faces'] as { index: number; box: SampleFace['box'] }[];
      expect(faces.map(({ index }) => index)).toEqual(faces.map((_, i) => i));
      const { box } = faces[probeFace.face]!;
      for (const side of ['left', 'top', 'right', 'bottom'] as const) {
        expect(Math.abs(box[side] - probeFace.box[side])).toBeLessThan(3);
      }
      const form = operatorForm(group, { face: String(probeFace.face) });
      const answer = answerOf<SearchAnswer>(await call('POST', operatorUrl(), officer, form));
      expect(answer.candidates[0]!.imageId).toBe(mate.imageId);
      expect(answer.probe.facesFound).toBe(faces.length);
    });

    test('show nobody below the threshold', async () => {
      const answer = answerOf<SearchAnswer>(await call('POST', operatorUrl(), officer, operatorForm(probe)));
      expect(answer).toMatchObject({ kind: 'operator', complete: true, gallery: { partitionsAnswered: 24 } });
      expect(answer.gallery.enrolled).toBeGreaterThanOrEqual(sample.manifest.enrolled.length);
      for (const { score } of answer.candidates) expect(score).toBeGreaterThanOrEqual(answer.threshold.score);
    });

    test('are shown later to the officer who made them and to no other', async () => {
      const { searchId } = answerOf<SearchAnswer>(await call('POST', operatorUrl(), officer, operatorForm(probe)));
      const own = await eventually(async () => answerOf<Shown>(await call('GET', searchUrl(searchId), officer)));
      expect(own.answer!.candidates[0]!.subjectId).toBe(probeFace.subjectId);
      const other = await system.token('officer', 'another-officer');
      expect(refusalOf(await call('GET', searchUrl(searchId), other))).toBe('403 NOT_YOUR_SEARCH');
      expect(refusalOf(await call('GET', searchUrl(searchId), operator))).toBe('403 NOT_YOUR_SEARCH');
      expect(refusalOf(await call('GET', searchUrl(randomUUID()), officer))).toBe('404 SEARCH_NOT_FOUND');
    });

    test('leave nothing of the probe: in no log, and on no disk', async () => {
      const alone = await faceImage(sample, sample.manifest.enrolled[4]!, 5);
      answerOf(await call('POST', operatorUrl(), officer, operatorForm(alone)));
      const { modelId } = await modelPackForTests();
      const middleOf = (image: Buffer): Buffer => image.subarray(image.length >> 1, (image.length >> 1) + 32);
      const holding = (image: Buffer): Set<string> =>
        new Set(logs.filter(({ value }) => value?.includes(middleOf(image))).map(({ topic }) => topic));
      const logs: KafkaRecord[] = [];
      for (const { name } of desiredTopics({ modelId, profile: 'local', replication: 1 })) {
        logs.push(...(await readTopic(kafka, name)));
      }
      expect(holding(alone)).toEqual(new Set());
      // The same look finds a photograph that was enrolled.
      expect(holding(group)).toEqual(new Set([CUSTODY_IMAGES]));
      for (const { topic, headers } of logs) expect(JSON.stringify(headers).length, topic).toBeLessThan(4096);
      const retrospective = (await readTopic(kafka, SEARCHES_REQUESTS)).map(({ key }) => `${key!.toString()}.sealed`);
      const probes = await readdir(join(system.settings.IMAGE_STORE_DIR, 'probes')).catch(() => []);
      for (const name of probes) expect(retrospective).toContain(name);
    });
  });

  describe('retrospective', () => {
    test('over HTTP are accepted with a Location, and end with a ranked list and each one’s aboveThreshold', async () => {
      const accepted = await call('POST', retrospectiveUrl(), operator, retrospectiveForm(probe));
      expect(accepted.status).toBe(202);
      const { searchId, state } = answerOf<Shown>(accepted);
      expect(accepted.headers.get('location')).toBe(`/v1/searches/${searchId}`);
      expect(['QUEUED', 'RECEIVED', 'SEARCHING', 'CANDIDATES']).toContain(state);
      const { state: end, answer } = await untilDone(searchId);
      expect(end).toBe('CANDIDATES');
      expect(answer).toMatchObject({ kind: 'retrospective', mode: 'exact', complete: true });
      const { candidates, threshold } = answer!;
      expect(candidates[0]).toMatchObject({ rank: 1, aboveThreshold: true, imageId: mate.imageId });
      expect(candidates.length).toBeGreaterThanOrEqual(10);
      expect(candidates.map(({ rank }) => rank)).toEqual(candidates.map((_, i) => i + 1));
      expect(candidates.map(({ score }) => score)).toEqual(candidates.map(({ score }) => score).sort((a, b) => b - a));
      expect(candidates.map((one) => one.aboveThreshold)).toEqual(
        candidates.map((one) => one.score >= threshold.score),
      );
      expect(new Set(candidates.map((one) => one.subjectId)).size).toBe(candidates.length);
      expect((await events(searchId)).map(({ type }) => type)).toEqual([
        'RECEIVED',
        'SEARCH_STARTED',
        'CANDIDATES_FOUND',
      ]);
    });

    test('are for operators, who do not investigate the case themselves', async () => {
      const form = retrospectiveForm(probe);
      expect(refusalOf(await call('POST', retrospectiveUrl(), officer, form))).toBe('403 ROLE_NOT_ALLOWED');
      const own = retrospectiveForm(probe, { investigatingOfficer: 'test-operator' });
      expect(refusalOf(await call('POST', retrospectiveUrl(), operator, own))).toBe('400 REVIEWERS_NOT_DISTINCT');
    });

    test('wait for the operator to say which face is meant, and go on with it', async () => {
      const { searchId } = answerOf<Shown>(await call('POST', retrospectiveUrl(), operator, retrospectiveForm(group)));
      const waiting = await untilDone(searchId);
      expect(waiting.state).toBe('AWAITING_FACE');
      expect(waiting.faces!.length).toBeGreaterThan(1);
      const choose = { face: probeFace.face, expectedVersion: waiting.version };
      const stale = { ...choose, expectedVersion: waiting.version - 1 };
      expect(refusalOf(await call('POST', `${searchUrl(searchId)}/face`, operator, stale))).toBe(
        '409 VERSION_CONFLICT',
      );
      answerOf(await call('POST', `${searchUrl(searchId)}/face`, operator, choose));
      const { state, answer, version } = await untilDone(searchId);
      expect(state).toBe('CANDIDATES');
      expect(answer!.candidates[0]!.imageId).toBe(mate.imageId);
      const again = { ...choose, expectedVersion: version };
      expect(refusalOf(await call('POST', `${searchUrl(searchId)}/face`, operator, again))).toBe('409 ILLEGAL_MOVE');
    });

    test('without a face end as FAILED with the reason', async () => {
      const form = retrospectiveForm(await imageWithoutFace());
      const { searchId } = answerOf<Shown>(await call('POST', retrospectiveUrl(), operator, form));
      const shown = await untilDone(searchId);
      expect(shown).toMatchObject({ state: 'FAILED', failure: { code: 'NO_FACE' } });
    });

    describe('over Kafka', () => {
      async function request(
        signed: { readonly searchId: string; readonly probe: Buffer; readonly keyFile?: string },
        id = signed.searchId as SearchId,
      ): Promise<void> {
        const file = signed.keyFile ?? join(system.settings.DATA_DIR, 'keys', 'custody-suite.jwk.json');
        const assertion = await (
          await AssertionSigner.open(file)
        ).sign({
          purpose: 'retrospective-search',
          subject: 'op-4711',
          role: 'operator',
          searchId: signed.searchId,
          probeSha256: createHash('sha256').update(signed.probe).digest('hex'),
        });
        await kafka.publisher().publish({
          topic: SEARCHES_REQUESTS,
          key: id,
          value: probe,
          headers: searchRequestHeaders(id, REQUEST, 'image/jpeg', assertion, '/case-system'),
        });
      }

      async function refusedEvent(id: string): Promise<SearchEvent> {
        return eventually(async () => {
          const found = await events(id);
          expect(found).toHaveLength(1);
          return found[0]!;
        });
      }

      test('run for a system that signs for this search and this probe', async () => {
        const searchId = randomUUID();
        await request({ searchId, probe });
        await eventually(async () => expect((await events(searchId)).at(-1)?.type).toBe('CANDIDATES_FOUND'));
        const { answer } = await untilDone(searchId);
        expect(answer!.candidates[0]!.imageId).toBe(mate.imageId);
        const received = (await events(searchId))[0]!;
        expect(received).toMatchObject({
          type: 'RECEIVED',
          by: 'op-4711',
          request: { crimeReference: 'CR/2026/0002' },
        });
      });

      test('are refused with an event when the assertion is about another search or another probe', async () => {
        const otherSearch = randomUUID();
        await request({ searchId: randomUUID(), probe }, otherSearch as SearchId);
        const otherProbe = randomUUID();
        await request({ searchId: otherProbe, probe: group });
        for (const id of [otherSearch, otherProbe]) {
          expect(await refusedEvent(id)).toMatchObject({ type: 'REQUEST_REFUSED', code: 'ASSERTION_INVALID' });
          const shown = answerOf<Shown>(await call('GET', searchUrl(id), operator));
          expect(shown).toMatchObject({ state: 'REFUSED', answer: null, failure: { code: 'ASSERTION_INVALID' } });
        }
      });
    });
  });

  describe('on record', () => {
    async function audit(): Promise<{ entries: Map<string, AuditEntry>; order: AuditEntry[] }> {
      const stored = await readTopic(kafka, AUDIT_ENTRIES);
      const entries = new Map(
        stored.map(({ value }) => [auditLeaf(value!).toString('hex'), JSON.parse(value!.toString()) as AuditEntry]),
      );
      const leaves = (await readTopic(kafka, AUDIT_LOG)).map(({ value }) => value!.toString('hex'));
      // Every entry has its leaf and every leaf its entry.
      expect([...leaves].sort()).toEqual([...entries.keys()].sort());
      return { entries, order: leaves.map((leaf) => entries.get(leaf)!) };
    }

    test('each search is in the audit before it runs and again before it is answered', async () => {
      const byHttp = answerOf<SearchAnswer>(await call('POST', operatorUrl(), officer, operatorForm(probe)));
      const submitted = await call('POST', retrospectiveUrl(), operator, retrospectiveForm(probe));
      const retrospective = await untilDone(answerOf<Shown>(submitted).searchId);
      const { order } = await audit();
      const about = (id: string): AuditEntry[] =>
        order.filter((entry) => entry.searchId === id && !entry.action.startsWith('search-'));
      expect(about(byHttp.searchId).map(({ action }) => action)).toEqual([
        'operator-search',
        'operator-search-answered',
      ]);
      const [before, after] = about(byHttp.searchId);
      expect(before).toMatchObject({
        operation: 'consultation',
        actor: 'test-officer',
        role: 'officer',
        purpose: 'missing',
        probeSha256: createHash('sha256').update(probe).digest('hex'),
      });
      expect(before!.subjectIds).toBeUndefined();
      expect(after).toMatchObject({
        operation: 'disclosure',
        subjectIds: byHttp.candidates.map((candidate) => candidate.subjectId),
        recipients: ['test-officer'],
      });
      expect(about(retrospective.searchId).map(({ action }) => action)).toEqual([
        'retrospective-search-requested',
        'retrospective-search-received',
        'retrospective-search-answered',
      ]);
    });

    test('a search whose probe could not be used is in the audit too, without an answer', async () => {
      const unused = await imageWithoutFace();
      const sha256 = createHash('sha256').update(unused).digest('hex');
      const { order: earlier } = await audit();
      await call('POST', operatorUrl(), officer, operatorForm(unused));
      const { order } = await audit();
      const added = order.slice(earlier.length);
      expect(added.map(({ action, probeSha256 }) => [action, probeSha256])).toEqual([['operator-search', sha256]]);
    });

    test('nothing of a probe or a template is in an entry', async () => {
      const { order } = await audit();
      expect(order.length).toBeGreaterThan(10);
      for (const entry of order) {
        const text = JSON.stringify({ ...entry, salt: '', probeSha256: '' });
        // Neither long encodings nor rows of figures: ids, words and times only.
        expect(text).not.toMatch(/[A-Za-z0-9+/]{65,}/);
        expect(text).not.toMatch(/(-?\d+\.\d+[,\]]){4}/);
        expect(Object.keys(entry)).not.toEqual(expect.arrayContaining(['template', 'probe', 'image']));
      }
    });
  });

  test('the gallery says what it is: an evaluation model, and who answers for which part', async () => {
    const { galleries } = answerOf<{
      galleries: { model: { evaluationOnly: boolean }; complete: boolean; replicas: { coverage: object[] }[] }[];
    }>(await call('GET', `${system.queryUrl}/v1/galleries`, await system.token('auditor')));
    expect(galleries).toHaveLength(1);
    expect(galleries[0]).toMatchObject({ model: { evaluationOnly: true }, complete: true, partitionsMissing: [] });
    expect(galleries[0]!.replicas.flatMap(({ coverage }) => coverage)).toHaveLength(24);
  });
});
