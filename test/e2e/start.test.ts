/** `npm start` as a stranger meets it: the first candidates, the second start, and what is left when it ends. */
import { rm } from 'node:fs/promises';
import { stripVTControlCharacters } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { SearchAnswer } from '#domain/search-answer.js';
import type { SampleFace, SamplePhotographs } from '#face/sample-manifest.js';
import { eventually } from '#testkit/kafka-test-helpers.js';
import { answerOf, call, metric, refusalOf } from '#testkit/http-for-tests.js';
import { modelPackForTests, samplePhotographsForTests } from '#testkit/model-pack-for-tests.js';
import { RestartableBroker } from '#testkit/restartable-broker.js';
import { processesOf, RunningSystem } from '#testkit/running-system.js';
import { operatorForm, retrospectiveForm } from '#testkit/search-forms-for-tests.js';

/** A child that has been told to end may be a moment behind its parent. */
const AFTER_ORDERLY_END_MS = 3_000;
/** The broker is given 10 s for an orderly end when whoever started it is gone. */
const AFTER_KILL_MS = 20_000;

interface Shown {
  readonly searchId: string;
  readonly state: string;
  readonly answer: SearchAnswer | null;
}

describe('npm start', () => {
  let sample: SamplePhotographs;
  let probe: SampleFace;
  let modelId: string;
  let environment: Record<string, string>;
  let system: RunningSystem;
  let earlier: { readonly operator: SearchAnswer; readonly retrospective: Shown; readonly enrolled: number };

  beforeAll(async () => {
    sample = await samplePhotographsForTests();
    probe = sample.manifest.probe;
    ({ modelId } = await modelPackForTests());
    environment = await RunningSystem.environment();
    system = await RunningSystem.start(environment);
  });

  afterAll(async () => {
    await system?.stop();
    await rm(environment['DATA_DIR']!, { recursive: true, force: true });
  });

  const probeImage = (): Promise<Buffer> => sample.read(probe);

  async function operatorSearch(): Promise<SearchAnswer> {
    const form = operatorForm(await probeImage(), { face: String(probe.face) });
    const token = await system.token('officer');
    return answerOf<SearchAnswer>(await call('POST', `${system.queryUrl}/v1/searches/operator`, token, form));
  }

  async function enrolled(): Promise<number> {
    const token = await system.token('auditor');
    const listed = await call('GET', `${system.queryUrl}/v1/galleries`, token);
    return answerOf<{ galleries: { enrolled: number }[] }>(listed).galleries[0]!.enrolled;
  }

  test('ends its first start with a candidate table that has the right person at rank 1', () => {
    const said = stripVTControlCharacters(system.said);
    expect(said).toContain(
      `sample gallery: ${sample.manifest.enrolled.length} of ${sample.manifest.enrolled.length} faces enrolled`,
    );
    const first = said.split('\n').find((line) => /│ 1 +│/.test(line))!;
    expect(first.split('│').map((cell) => cell.trim())).toEqual([
      '',
      '1',
      expect.stringMatching(/^0\.\d{4}$/),
      'yes',
      probe.subjectId,
      sample.manifest.enrolled.find(({ subjectId }) => subjectId === probe.subjectId)!.imageId,
      'sample',
      '',
      '',
    ]);
  });

  test('says that the model is an evaluation pack, and where everything is', () => {
    const { said, settings } = system;
    expect(said).toContain('EVALUATION PACK, not for policing');
    for (const url of [system.queryUrl, system.ingestUrl, system.indexUrl, `${system.queryUrl}/docs`]) {
      expect(said).toContain(url);
    }
    expect(said).toContain(`127.0.0.1:${settings.KAFKA_PORT}`);
    expect(said).toContain(settings.DATA_DIR);
  });

  test('prints a token that an officer can search with', async () => {
    const token = system.said.split('\n').find((line) => /^ey[\w-]+\.[\w-]+\.[\w-]+$/.test(line.trim()))!;
    const form = operatorForm(await probeImage(), { face: String(probe.face) });
    const answer = answerOf<SearchAnswer>(await call('POST', `${system.queryUrl}/v1/searches/operator`, token, form));
    expect(answer.candidates[0]!.subjectId).toBe(probe.subjectId);
  });

  test.each(['ingest', 'index', 'query'] as const)('%s answers its health and its metrics', async (service) => {
    const url = { ingest: system.ingestUrl, index: system.indexUrl, query: system.queryUrl }[service];
    for (const path of ['/health/startup', '/health/ready', '/health/live', '/metrics']) {
      const { status, text } = await call('GET', url + path);
      expect(status, `${path}: ${text}`).toBe(200);
    }
    expect(await metric(url, 'nodejs_eventloop_lag_p99_seconds')).toBeGreaterThan(0);
  });

  test('has measured its first search and its first enrolments, stage by stage', async () => {
    const { queryUrl, ingestUrl, indexUrl } = system;
    const duration = 'custody_search_duration_seconds_count{kind="operator",mode="exact"}';
    expect(await metric(queryUrl, duration)).toBeGreaterThan(0);
    expect(await metric(queryUrl, 'custody_searches_total{kind="operator",outcome="candidates"}')).toBeGreaterThan(0);
    for (const stage of ['decode', 'detect', 'embed', 'gallery', 'merge']) {
      const name = `custody_search_stage_duration_seconds_count{kind="operator",stage="${stage}"}`;
      expect(await metric(queryUrl, name), stage).toBeGreaterThan(0);
    }
    const all = sample.manifest.enrolled.length;
    expect(await metric(ingestUrl, 'custody_images_total{outcome="enrolled",reason=""}')).toBe(all);
    expect(await metric(indexUrl, 'custody_enrol_to_searchable_seconds_count')).toBe(all);
    const token = await system.token('service');
    expect((await call('POST', `${indexUrl}/v1/snapshots`, token)).status).toBe(204);
    expect(await metric(indexUrl, 'custody_snapshot_duration_seconds_count{shard="0.0"}')).toBeGreaterThan(0);
    // Gauges are renewed every 5 s.
    await eventually(async () => {
      expect(await metric(indexUrl, 'custody_gallery_templates{shard="0.0",state="searchable"}')).toBe(all);
      expect(await metric(indexUrl, 'custody_snapshot_age_seconds{shard="0.0"}')).toBeGreaterThanOrEqual(0);
      expect(await metric(ingestUrl, 'custody_consumer_lag_records{topic="custody.images.v1"}')).toBe(0);
      const templates = `gallery.templates.${modelId}.v1`;
      expect(await metric(indexUrl, `custody_consumer_lag_records{topic="${templates}"}`)).toBe(0);
      expect(await metric(queryUrl, 'custody_consumer_lag_records{topic="searches.requests.v1"}')).toBe(0);
    });
  });

  test('serves its documentation without a token, and nothing else', async () => {
    expect((await call('GET', `${system.queryUrl}/docs`)).text).toContain('<html');
    const { openapi, paths } = answerOf<{ openapi: string; paths: object }>(
      await call('GET', `${system.queryUrl}/openapi.json`),
    );
    expect(openapi).toMatch(/^3\./);
    expect(Object.keys(paths)).toEqual(expect.arrayContaining(['/v1/searches/operator', '/v1/galleries']));
    expect(refusalOf(await call('GET', `${system.queryUrl}/v1/galleries`))).toBe('401 TOKEN_REQUIRED');
  });

  test('runs a retrospective search', async () => {
    const token = await system.token('operator');
    const form = retrospectiveForm(await probeImage(), { face: String(probe.face) });
    const { searchId } = answerOf<Shown>(
      await call('POST', `${system.queryUrl}/v1/searches/retrospective`, token, form),
    );
    const retrospective = await eventually(async () => {
      const shown = answerOf<Shown>(await call('GET', `${system.queryUrl}/v1/searches/${searchId}`, token));
      expect(shown.state).toBe('CANDIDATES');
      return shown;
    });
    expect(retrospective.answer!.candidates[0]!.subjectId).toBe(probe.subjectId);
    earlier = { operator: await operatorSearch(), retrospective, enrolled: await enrolled() };
  });

  test('starts a service again that was killed, and says so', async () => {
    const from = system.said.length;
    await system.restart('query', 'SIGKILL');
    expect(system.said.slice(from)).toMatch(/supervisor: query ended \(SIGKILL\); starting it again in [\d.]+ s/);
    expect((await operatorSearch()).candidates[0]!.subjectId).toBe(probe.subjectId);
  });

  test('leaves no process behind after Ctrl-C', async () => {
    expect(processesOf(environment['DATA_DIR']!).length).toBeGreaterThanOrEqual(5);
    expect(await system.stop('SIGINT')).toBe(0);
    await untilNothingRuns(environment, AFTER_ORDERLY_END_MS);
  });

  test('finds everything as it was at the second start, and answers the same', async () => {
    system = await RunningSystem.start(environment);
    expect(system.said).toContain(`sample gallery: ${sample.manifest.enrolled.length} faces enrolled earlier`);
    expect(await enrolled()).toBe(earlier.enrolled);
    const again = await operatorSearch();
    expect(JSON.stringify(again.candidates)).toBe(JSON.stringify(earlier.operator.candidates));
    expect(again.gallery.watermark).toEqual(earlier.operator.gallery.watermark);
    const { searchId } = earlier.retrospective;
    const token = await system.token('operator');
    const shown = answerOf<Shown>(await call('GET', `${system.queryUrl}/v1/searches/${searchId}`, token));
    expect(shown).toEqual(earlier.retrospective);
  });

  test('leaves no process behind when it is itself killed', async () => {
    await system.stop('SIGKILL');
    await untilNothingRuns(environment, AFTER_KILL_MS);
  });

  test('starts no broker when KAFKA_BROKERS names one, and leaves that one alone at SIGTERM', async () => {
    const broker = await RestartableBroker.start();
    const own = await RunningSystem.environment({ KAFKA_BROKERS: broker.brokers, SAMPLE_GALLERY: 'off' });
    try {
      const other = await RunningSystem.start(own);
      expect(other.said).not.toContain('starting Kafka');
      expect(processesOf(own['DATA_DIR']!).join('\n')).not.toContain('java');
      expect(await other.stop('SIGTERM')).toBe(0);
      await untilNothingRuns(own, AFTER_ORDERLY_END_MS);
      await broker.expectAnswer();
    } finally {
      await broker.dispose();
      await rm(own['DATA_DIR']!, { recursive: true, force: true });
    }
  });
});

function untilNothingRuns(environment: Readonly<Record<string, string>>, timeoutMs: number): Promise<void> {
  return eventually(() => expect(processesOf(environment['DATA_DIR']!)).toEqual([]), { timeoutMs });
}
