/** What people decide about searching as such, and how much of it there is: over HTTP, with a real queue behind it. */
import { createHash, randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { request } from 'node:http';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openCheckpoint } from '#audit/checkpoint.js';
import { parseVerifierKey } from '#audit/signed-note.js';
import type { DpiaEvidence } from '#contracts/dpia-evidence.js';
import { parseSearchEvent, searchRequestHeaders, type SearchEvent } from '#contracts/search-record.js';
import { GALLERY_QUERIES, SEARCHES_EVENTS, SEARCHES_REQUESTS } from '#contracts/topics.js';
import type { ModelOverride, ThresholdVersion } from '#domain/governance.js';
import type { SearchId } from '#domain/ids.js';
import type { SearchAnswer } from '#domain/search-answer.js';
import type { UsageRow } from '#domain/usage-report.js';
import { KafkaClient } from '#kafka/kafka-client.js';
import type { SamplePhotographs } from '#face/sample-manifest.js';
import { AssertionSigner } from '#platform/identity.js';
import { faceImage } from '#testkit/face-images-for-tests.js';
import { answerOf, call, metric, refusalOf, type HttpResult } from '#testkit/http-for-tests.js';
import { eventually, silentLog } from '#testkit/kafka-test-helpers.js';
import { samplePhotographsForTests } from '#testkit/model-pack-for-tests.js';
import { RunningSystem } from '#testkit/running-system.js';
import { operatorForm, retrospectiveForm } from '#testkit/search-forms-for-tests.js';
import { readTopic } from '#testkit/topic-for-tests.js';

const RATE_LIMIT = 12;
const CONCURRENCY_LIMIT = 4;
/** Each sent by one of so many operators that none has more than its share of a minute. */
const QUEUED_REQUESTS = 200;
const OPERATORS = 20;
const REQUEST = {
  crimeReference: 'CR/2026/0003',
  offence: 'robbery',
  source: 'cctv',
  justification: 'Still from the camera of the bank at the time of the robbery',
  investigatingOfficer: 'pc-2000',
} as const;
const WORDS = { reason: 'The evaluation is being looked into', authority: 'Chief Constable' };

interface Suspension {
  readonly kind: string;
  readonly suspended: boolean;
  readonly lifting: { readonly by: string } | null;
}

describe('governance', () => {
  let system: RunningSystem;
  let kafka: KafkaClient;
  let sample: SamplePhotographs;
  let probe: Buffer;
  let signer: AssertionSigner;
  let alice: string;
  let bob: string;
  let operator: string;

  beforeAll(async () => {
    sample = await samplePhotographsForTests();
    [probe, system] = await Promise.all([
      faceImage(sample, sample.manifest.probe),
      RunningSystem.start(
        await RunningSystem.environment({
          DEPLOYMENT: 'production',
          RATE_LIMIT: String(RATE_LIMIT),
          CONCURRENCY_LIMIT: String(CONCURRENCY_LIMIT),
        }),
      ),
    ]);
    [alice, bob, operator] = await Promise.all([
      system.token('threshold-approver', 'alice'),
      system.token('threshold-approver', 'bob'),
      system.token('operator'),
    ]);
    signer = await AssertionSigner.open(join(system.settings.DATA_DIR, 'keys', 'custody-suite.jwk.json'));
    kafka = new KafkaClient({ brokers: system.settings.KAFKA_BROKERS, clientId: 'test', log: silentLog });
  });

  afterAll(async () => {
    await kafka?.close();
    await system?.stopAndForget();
  });

  const url = (path: string): string => `${system.queryUrl}/v1/${path}`;
  const newOfficer = (): Promise<string> => system.token('officer', `officer-${randomUUID().slice(0, 8)}`);
  const searchAs = (officer: string): Promise<HttpResult> =>
    call('POST', url('searches/operator'), officer, operatorForm(probe));

  async function galleries(token: string): Promise<readonly { readonly modelId: string }[]> {
    const answered = await call('GET', url('galleries'), token);
    return answerOf<{ galleries: { modelId: string }[] }>(answered).galleries;
  }

  async function sendRequest(person: string): Promise<SearchId> {
    const searchId = randomUUID() as SearchId;
    const assertion = await signer.sign({
      purpose: 'retrospective-search',
      subject: person,
      role: 'operator',
      searchId,
      probeSha256: createHash('sha256').update(probe).digest('hex'),
    });
    await kafka.publisher().publish({
      topic: SEARCHES_REQUESTS,
      key: searchId,
      value: probe,
      headers: searchRequestHeaders(searchId, REQUEST, 'image/jpeg', assertion, '/case-system'),
    });
    return searchId;
  }

  async function events(): Promise<SearchEvent[]> {
    const records = await readTopic(kafka, SEARCHES_EVENTS);
    return records.flatMap(({ value }) => (value === null ? [] : [parseSearchEvent(value)]));
  }

  test('in production nothing is searched with a model for evaluation, until two people override that', async () => {
    const officer = await newOfficer();
    expect(refusalOf(await searchAs(officer))).toBe('403 MODEL_NOT_APPROVED');
    const submitted = await call('POST', url('searches/retrospective'), operator, retrospectiveForm(probe));
    expect(refusalOf(submitted)).toBe('403 MODEL_NOT_APPROVED');
    const [before] = await galleries(officer);
    const refused = { allowed: false, code: 'MODEL_NOT_APPROVED', threshold: null };
    expect(before).toMatchObject({ override: null, searches: { operator: refused, retrospective: refused } });

    const override = { ...WORDS, modelId: before!.modelId };
    const proposed = answerOf<ModelOverride>(await call('POST', url('model-overrides'), alice, override));
    const approval = url(`model-overrides/${proposed.overrideId}/approval`);
    const reason = { reason: WORDS.reason };
    expect(refusalOf(await call('POST', approval, alice, reason))).toBe('409 APPROVER_NOT_DISTINCT');
    expect(refusalOf(await searchAs(officer))).toBe('403 MODEL_NOT_APPROVED');
    expect(answerOf<ModelOverride>(await call('POST', approval, bob, reason))).toMatchObject({ state: 'in-force' });
    const shown = { decisionId: proposed.overrideId, by: ['alice', 'bob'], reason: WORDS.reason };
    expect(answerOf<SearchAnswer>(await searchAs(officer)).threshold.override).toMatchObject(shown);
    expect(await galleries(officer)).toMatchObject([{ override: shown, searches: { operator: { allowed: true } } }]);
  });

  test('a suspended kind is refused over HTTP and from the queue, the other goes on, and two people lift it', async () => {
    const suspended = await call('PUT', url('suspensions/retrospective'), alice, WORDS);
    expect(answerOf<Suspension>(suspended)).toMatchObject({ suspended: true, by: 'alice', ...WORDS });
    const submitted = await call('POST', url('searches/retrospective'), operator, retrospectiveForm(probe));
    expect(refusalOf(submitted)).toBe('403 SEARCH_SUSPENDED');
    const queued = await sendRequest('op-1');
    await eventually(async () => {
      const answers = (await events()).filter(({ searchId }) => searchId === queued);
      expect(answers).toMatchObject([{ type: 'REQUEST_REFUSED', code: 'SEARCH_SUSPENDED' }]);
    });
    const officer = await newOfficer();
    expect((await searchAs(officer)).status).toBe(200);
    expect(await galleries(officer)).toMatchObject([
      {
        thresholdVersion: 2,
        searches: { operator: { allowed: true }, retrospective: { allowed: false, code: 'SEARCH_SUSPENDED' } },
      },
    ]);
    expect(await metric(system.queryUrl, 'custody_searches_suspended{kind="retrospective"}')).toBe(1);

    const wish = await call('DELETE', url('suspensions/retrospective'), alice, WORDS);
    expect(answerOf<Suspension>(wish)).toMatchObject({ suspended: true, lifting: { by: 'alice' } });
    expect(refusalOf(await call('DELETE', url('suspensions/retrospective'), alice, WORDS))).toBe(
      '409 APPROVER_NOT_DISTINCT',
    );
    const inQuery = new URLSearchParams(WORDS).toString();
    const lifted = await call('DELETE', url(`suspensions/retrospective?${inQuery}`), bob);
    expect(answerOf<Suspension>(lifted)).toMatchObject({ suspended: false });
    const list = answerOf<{ suspensions: Suspension[] }>(await call('GET', url('suspensions'), officer));
    expect(list.suspensions.map(({ kind, suspended: on }) => [kind, on])).toEqual([
      ['operator', false],
      ['retrospective', false],
    ]);
    const again = await call('POST', url('searches/retrospective'), operator, retrospectiveForm(probe));
    expect(again.status).toBe(202);
  });

  test.each([
    ['officer', 'PUT', 'suspensions/operator', WORDS, '403 ROLE_NOT_ALLOWED'],
    ['threshold-approver', 'PUT', 'suspensions/live', WORDS, '400 SEARCH_KIND_UNKNOWN'],
    ['threshold-approver', 'PUT', 'suspensions/operator', { reason: 'short' }, '400 BAD_REQUEST'],
    ['threshold-approver', 'DELETE', 'suspensions/operator', WORDS, '409 NOT_SUSPENDED'],
    ['data-protection', 'POST', 'thresholds', WORDS, '403 ROLE_NOT_ALLOWED'],
    ['threshold-approver', 'POST', 'thresholds/99/approval', { reason: WORDS.reason }, '404 THRESHOLDS_NOT_FOUND'],
    ['threshold-approver', 'POST', 'thresholds/x/approval', { reason: WORDS.reason }, '404 THRESHOLDS_NOT_FOUND'],
    ['threshold-approver', 'DELETE', 'model-overrides/none', { reason: WORDS.reason }, '404 OVERRIDE_NOT_FOUND'],
  ] as const)('a %s who sends %s %s with %j is refused with %s', async (role, method, path, body, refusal) => {
    expect(refusalOf(await call(method, url(path), await system.token(role), body))).toBe(refusal);
  });

  test('a change of thresholds takes two people, and answers name the version that judged them', async () => {
    const officer = await newOfficer();
    const before = answerOf<SearchAnswer>(await searchAs(officer));
    expect(before.threshold).toMatchObject({ version: 2, evaluated: true });
    expect(before.candidates.length).toBeGreaterThan(0);
    const { versions } = answerOf<{ versions: ThresholdVersion[] }>(await call('GET', url('thresholds'), officer));
    const [deployed] = versions;
    expect(deployed).toMatchObject({ version: 2, state: 'in-force' });
    const { evaluation, profiles } = deployed!.thresholds;
    // So high that nobody is a possible match.
    const highest = profiles.map((profile) => ({
      ...profile,
      bands: profile.bands.map((band) => ({ ...band, score: 1 })),
    }));
    const set = { reason: 'A new evaluation of the model', evaluation, profiles: highest };
    const without = {
      ...set,
      profiles: highest.map((p) => ({ ...p, bands: p.bands.map((b) => ({ ...b, fnir: null })) })),
    };
    expect(refusalOf(await call('POST', url('thresholds'), alice, without))).toBe('400 THRESHOLDS_INVALID');
    const proposed = await call('POST', url('thresholds'), alice, set);
    expect(proposed.status).toBe(201);
    expect(answerOf<ThresholdVersion>(proposed)).toMatchObject({ version: 3, state: 'proposed' });
    const approval = proposed.headers.get('location')!;
    const reason = { reason: 'Checked against the evaluation report' };
    expect(refusalOf(await call('POST', system.queryUrl + approval, alice, reason))).toBe('409 APPROVER_NOT_DISTINCT');
    expect(answerOf<SearchAnswer>(await searchAs(officer)).threshold.version).toBe(2);
    const approved = await call('POST', system.queryUrl + approval, bob, reason);
    expect(answerOf<ThresholdVersion>(approved)).toMatchObject({ state: 'in-force', approved: { by: 'bob' } });
    const after = answerOf<SearchAnswer>(await searchAs(officer));
    expect(after).toMatchObject({ threshold: { version: 3, score: 1 }, candidates: [] });
    const judged = 'custody_searches_by_threshold_total{kind="operator",threshold_version="3",result="none"}';
    expect(await metric(system.queryUrl, judged)).toBe(1);
  });

  test('a person who has had the minute’s share is told when the next search is free, and others go on', async () => {
    const officer = await newOfficer();
    for (let i = 0; i < RATE_LIMIT; i++) expect((await searchAs(officer)).status).toBe(200);
    const refused = await searchAs(officer);
    expect(refusalOf(refused)).toBe('429 RATE_LIMITED');
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
    expect((await searchAs(await newOfficer())).status).toBe(200);
  });

  test('a person who sends many at once has a few running, and every one of them is answered or refused', async () => {
    const officer = await newOfficer();
    const results = await Promise.all(Array.from({ length: RATE_LIMIT }, () => searchAs(officer)));
    const statuses = results.map((result) => (result.status === 200 ? '200' : refusalOf(result)));
    expect(new Set(statuses)).toEqual(new Set(['200', '429 CONCURRENCY_LIMITED']));
    expect(statuses.filter((status) => status === '200').length).toBeGreaterThanOrEqual(CONCURRENCY_LIMIT);
  });

  test('a picture that is still being sent has one of its person’s places, and gives it back when it is not', async () => {
    const officer = await newOfficer();
    const refused = Promise.withResolvers<number | undefined>();
    const sending = Array.from({ length: CONCURRENCY_LIMIT + 1 }, () => {
      const sent = request(url('searches/operator'), { method: 'POST' });
      sent.setHeader('authorization', `Bearer ${officer}`);
      sent.setHeader('content-type', 'multipart/form-data; boundary=x');
      sent.setHeader('content-length', 8_000_000);
      sent.on('error', () => undefined);
      sent.on('response', ({ statusCode }) => refused.resolve(statusCode));
      sent.write('--x\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\n\r\n');
      return sent;
    });
    expect(await refused.promise).toBe(429);
    expect(refusalOf(await searchAs(officer))).toBe('429 CONCURRENCY_LIMITED');
    for (const sent of sending) sent.destroy();
    await eventually(async () => expect((await searchAs(officer)).status).toBe(200));
  });

  test('officers are answered while hundreds of retrospective requests wait, and no request is lost', async () => {
    const sent = new Set<string>();
    for (let i = 0; i < QUEUED_REQUESTS; i++) sent.add(await sendRequest(`op-${i % OPERATORS}`));
    const done = async (): Promise<SearchEvent[]> =>
      (await events()).filter(({ searchId, type }) => sent.has(searchId) && type === 'CANDIDATES_FOUND');
    // The queue is being worked off, and far from empty.
    await eventually(async () => expect((await done()).length).toBeGreaterThan(0));
    const officer = await newOfficer();
    const tookMs: number[] = [];
    for (let i = 0; i < RATE_LIMIT; i++) {
      const startedAt = performance.now();
      expect((await searchAs(officer)).status).toBe(200);
      tookMs.push(performance.now() - startedAt);
    }
    const waiting = QUEUED_REQUESTS - (await done()).length;
    process.stdout.write(
      `${RATE_LIMIT} officers' searches answered while ${waiting} of ${QUEUED_REQUESTS} requests waited; ` +
        `the slowest took ${Math.max(...tookMs).toFixed(0)} ms\n`,
    );
    expect(waiting).toBeGreaterThan(0);
    await eventually(async () => expect((await done()).length).toBe(QUEUED_REQUESTS), {
      timeoutMs: 200_000,
      intervalMs: 1_000,
    });
  });

  test('the report of use counts what ran, for whoever may publish it', async () => {
    const { stdout } = await system.custody('report', 'usage', '--json', '--suppress-below', '0');
    const { rows } = JSON.parse(stdout) as { rows: readonly UsageRow[] };
    const total = (kind: string): number =>
      rows.filter((row) => row.kind === kind).reduce((sum, { searches }) => sum + searches!, 0);
    const answered = 'custody_searches_total{kind="operator",outcome=';
    const found = (await metric(system.queryUrl, `${answered}"candidates"}`)) ?? 0;
    const notFound = (await metric(system.queryUrl, `${answered}"not-found"}`)) ?? 0;
    expect(total('operator')).toBe(found + notFound);
    expect(total('retrospective')).toBe(QUEUED_REQUESTS + 1);
    const csv = await system.custody('report', 'usage', '--csv');
    expect(csv.stdout.split('\r\n')[0]).toMatch(/^month,kind,ground,searches,hits,wrong leads,/);
    expect(refusalOf(await call('GET', url('reports/usage'), operator))).toBe('403 ROLE_NOT_ALLOWED');
  });

  test('the evidence for an impact assessment says what was decided, what is in force, and how much it is used', async () => {
    const out = join(system.settings.DATA_DIR, 'dpia');
    const { code, stderr } = await system.custody('report', 'dpia', '--out', out, '--suppress-below', '0');
    expect([code, stderr]).toEqual([0, '']);
    const file = (name: string): Promise<string> => readFile(join(out, name), 'utf8');
    const evidence = JSON.parse(await file('evidence.json')) as DpiaEvidence;
    expect(evidence).toMatchObject({
      model: { evaluationOnly: true },
      gallery: { complete: true },
      thresholds: { versionInForce: 3, versions: [{ version: 3, state: 'in-force' }, { version: 2 }] },
      suspensions: [],
      overrides: [{ state: 'in-force', proposed: { by: 'alice' }, approved: { by: 'bob' } }],
      settings: { DEPLOYMENT: 'production', RATE_LIMIT },
    });
    expect(evidence.gallery.enrolled).toBeGreaterThan(0);
    expect(evidence.decisions.map(({ type, by }) => `${type} ${by}`)).toEqual([
      'THRESHOLDS_DEPLOYED /custody-face-search/query',
      'OVERRIDE_PROPOSED alice',
      'OVERRIDE_APPROVED bob',
      'SEARCH_SUSPENDED alice',
      'SUSPENSION_LIFTED alice',
      'SUSPENSION_LIFTED bob',
      'THRESHOLDS_PROPOSED alice',
      'THRESHOLDS_APPROVED bob',
    ]);
    const usage = JSON.parse((await system.custody('report', 'usage', '--json', '--suppress-below', '0')).stdout);
    expect(evidence.use.rows).toEqual((usage as DpiaEvidence['use']).rows);
    expect(evidence.topics.flatMap(({ differing }) => differing)).toEqual([]);
    expect(evidence.topics.find(({ name }) => name === GALLERY_QUERIES)?.config['retention.ms']).toBe('60000');
    expect(evidence.roles.find(({ role }) => role === 'service')?.calls).toContain('POST /v1/disposals');

    // Its checkpoint is one of this log, by the keys that are beside it.
    const keys = [parseVerifierKey((await file('audit-seal.vkey')).trim())!];
    const { size } = openCheckpoint(await file('audit-checkpoint.note'), keys)!;
    const auditor = await system.token('auditor');
    const note = await call('GET', url(`audit/checkpoint?size=${size}`), auditor);
    expect(note.text).toBe(await file('audit-checkpoint.note'));
    expect(evidence.audit).toMatchObject({ sealed: size, unsealed: evidence.audit.entries - size });
    await eventually(async () => {
      const found = await call('GET', url('audit?action=dpia-evidence'), auditor);
      expect(answerOf<{ entries: object[] }>(found).entries).toMatchObject([
        { entry: { operation: 'consultation', role: 'data-protection', purpose: 'DPA 2018 s.64' } },
      ]);
    });
    expect(await file('evidence.md')).toContain('SEARCH_SUSPENDED');
    expect((await call('GET', url('reports/dpia'), auditor)).status).toBe(200);
    expect(refusalOf(await call('GET', url('reports/dpia'), operator))).toBe('403 ROLE_NOT_ALLOWED');
    // What was handed out before is not written over.
    expect((await system.custody('report', 'dpia', '--out', out)).code).toBe(1);
  });

  test('one person ends an override, and from then on nothing is searched again', async () => {
    const { overrides } = answerOf<{ overrides: ModelOverride[] }>(await call('GET', url('model-overrides'), operator));
    const path = `model-overrides/${overrides[0]!.overrideId}`;
    answerOf(await call('DELETE', url(path), bob, { reason: WORDS.reason }));
    expect(refusalOf(await searchAs(await newOfficer()))).toBe('403 MODEL_NOT_APPROVED');
    expect(refusalOf(await call('DELETE', url(path), bob, { reason: WORDS.reason }))).toBe('409 OVERRIDE_ENDED_BEFORE');
  });
});
