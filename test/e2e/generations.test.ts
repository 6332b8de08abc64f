/** A force changes its model while its officers search: no search is refused, and none mixes two models. */
import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { GALLERY_GAPS, galleryTemplates } from '#contracts/topics.js';
import type { ModelId } from '#domain/ids.js';
import type { SearchAnswer } from '#domain/search-answer.js';
import type { ThresholdProfile, ThresholdSet } from '#domain/threshold.js';
import { FacePool } from '#face/face-pool.js';
import type { SampleFace, SamplePhotographs } from '#face/sample-manifest.js';
import { KafkaClient } from '#kafka/kafka-client.js';
import { faceImage } from '#testkit/face-images-for-tests.js';
import { answerOf, call, refusalOf, type HttpResult } from '#testkit/http-for-tests.js';
import { eventually, silentLog } from '#testkit/kafka-test-helpers.js';
import {
  modelPackFolderForTests,
  modelPackForTests,
  samplePhotographsForTests,
} from '#testkit/model-pack-for-tests.js';
import { processesOf, RunningSystem } from '#testkit/running-system.js';
import { operatorForm, retrospectiveForm } from '#testkit/search-forms-for-tests.js';
import { secondModelPackForTests } from '#testkit/second-model-pack.js';
import { lastOfKey, readTopic } from '#testkit/topic-for-tests.js';

/** Of the sample's people, beside the sample itself: enough that a backfill takes a while. */
const MORE_IMAGES = 60;
/** Low enough that the mate is among the candidates with either model. */
const SCORE = 0.1;
/** What is left of a score by storing the photograph as a JPEG once more. */
const SCORE_TOLERANCE = 0.02;
/** On a machine that others use as well. */
const BUILT_WITHIN_MS = 240_000;
const TEST_TIMEOUT_MS = 600_000;
/** Between an officer's searches. */
const PAUSE_MS = 100;

interface Seen {
  readonly status: number;
  readonly text: string;
}

interface Listed {
  readonly modelId: string;
  readonly inForce: boolean;
  readonly enrolled: number;
  readonly progress: { readonly recordsToGo: number; readonly lacking: number } | null;
}

/** Searches one after the other until it is told to stop, and keeps every answer. */
class Officer {
  readonly seen: Seen[] = [];
  private stopped = false;
  private readonly done: Promise<void>;

  constructor(private readonly search: () => Promise<HttpResult>) {
    this.done = this.run();
  }

  private async run(): Promise<void> {
    while (!this.stopped) {
      const { status, text } = await this.search().catch((error: unknown) => ({ status: 0, text: String(error) }));
      this.seen.push({ status, text });
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }

  async stop(): Promise<void> {
    this.stopped = true;
    await this.done;
  }

  get answers(): readonly SearchAnswer[] {
    return this.seen.map(({ text }) => JSON.parse(text) as SearchAnswer);
  }
}

describe('a second model', { timeout: TEST_TIMEOUT_MS }, () => {
  let home: string;
  let system: RunningSystem;
  let kafka: KafkaClient;
  let sample: SamplePhotographs;
  let first: ModelId;
  let second: ModelId;
  let secondFolder: string;
  let mate: SampleFace;
  let probe: Buffer;
  let tokens: Record<'officer' | 'operator' | 'auditor' | 'approver' | 'other' | 'service' | 'protection', string>;
  /** By model, the cosine of the probe and of the mate's photograph. */
  const expected = new Map<string, number>();
  const officers: Officer[] = [];

  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), 'generations-'));
    secondFolder = join(home, 'pack');
    sample = await samplePhotographsForTests();
    first = (await modelPackForTests()).modelId;
    second = (await secondModelPackForTests(secondFolder)).modelId;
    const { enrolled, probe: probeFace } = sample.manifest;
    mate = enrolled.find(({ subjectId }) => subjectId === probeFace.subjectId)!;
    probe = await faceImage(sample, probeFace);
    await measure();
    const environment = await RunningSystem.environment({ RATE_LIMIT: '100000', SERVICE_RATE_LIMIT: '100000' });
    system = await RunningSystem.start(environment);
    tokens = {
      officer: await system.token('officer'),
      operator: await system.token('operator'),
      auditor: await system.token('auditor'),
      approver: await system.token('threshold-approver', 'approver-1'),
      other: await system.token('threshold-approver', 'approver-2'),
      service: await system.token('service'),
      protection: await system.token('data-protection'),
    };
    kafka = new KafkaClient({ brokers: system.settings.KAFKA_BROKERS, clientId: 'test', log: silentLog });
    for (let i = 0; i < MORE_IMAGES; i++) {
      const face = enrolled[i % enrolled.length]!;
      if (face.subjectId === mate.subjectId) continue;
      await enrol(`more-${i}`, face, 1 + Math.floor(i / enrolled.length));
    }
    await eventually(async () => expect((await templatesOf(first)).size).toBeGreaterThan(60), { timeoutMs: 120_000 });
  });

  afterAll(async () => {
    await Promise.all(officers.map((officer) => officer.stop()));
    await kafka?.close();
    await system?.stopAndForget();
    await rm(home, { recursive: true, force: true });
  });

  /** As a person would who has both packs and no system. */
  async function measure(): Promise<void> {
    const photograph = await sample.read(mate);
    for (const packFolder of [await modelPackFolderForTests(), secondFolder]) {
      const faces = await FacePool.open({ packFolder, processes: 1 });
      const { embedded } = await faces.process(photograph, mate.face);
      const { embedded: probed } = await faces.process(probe, undefined);
      expected.set(faces.modelId, cosine(embedded.template, probed.template));
      await faces.close();
    }
  }

  async function enrol(imageId: string, face: SampleFace, variant: number): Promise<void> {
    const query = new URLSearchParams({ subjectId: face.subjectId, face: 'largest' });
    const url = `${system.ingestUrl}/v1/images/${imageId}?${query.toString()}`;
    const accepted = await call('PUT', url, tokens.service, await faceImage(sample, face, variant));
    if (accepted.status !== 202) throw new Error(`${accepted.status} ${accepted.text}`);
  }

  /** The images whose last record is a template. */
  async function templatesOf(model: ModelId): Promise<Set<string>> {
    const last = lastOfKey(await readTopic(kafka, galleryTemplates(model)));
    return new Set([...last].filter(([, { value }]) => value !== null).map(([key]) => key));
  }

  const search = (): Promise<HttpResult> =>
    call('POST', `${system.queryUrl}/v1/searches/operator`, tokens.officer, operatorForm(probe));

  const listed = async (): Promise<readonly Listed[]> =>
    answerOf<{ galleries: readonly Listed[] }>(await call('GET', `${system.queryUrl}/v1/galleries`, tokens.auditor))
      .galleries;

  const switchTo = (to: string, fields: object = {}, headers: Record<string, string> = {}): Promise<HttpResult> =>
    call(
      'POST',
      `${system.queryUrl}/v1/gallery-switches`,
      tokens.approver,
      { to, reason: 'The new model was evaluated.', ...fields },
      headers,
    );

  /** Of whichever model the answer says: its mate, with that model's score, and every part of the gallery. */
  function expectOfOneModel(answer: SearchAnswer): void {
    const { modelId } = answer.gallery;
    expect(answer.complete).toBe(true);
    const candidate = answer.candidates.find(({ subjectId }) => subjectId === mate.subjectId);
    expect(Math.abs((candidate?.score ?? -1) - expected.get(modelId)!), modelId).toBeLessThan(SCORE_TOLERANCE);
    expect(answer.candidates[0]!.subjectId).toBe(mate.subjectId);
  }

  /** The models of the answers from here on, in their order. */
  const modelsSince = (officer: Officer, from: number): readonly string[] =>
    officer.answers.slice(from).map(({ gallery }) => gallery.modelId);

  function builderPid(): number | undefined {
    const lines = execFileSync('ps', ['axeww', '-o', 'pid,args'], { encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 });
    const line = lines
      .split('\n')
      .find((one) => one.includes('generation-main.js') && one.includes(system.settings.DATA_DIR));
    return line === undefined ? undefined : Number.parseInt(line.trim(), 10);
  }

  async function approveThresholds(profilesOf: (set: ThresholdSet) => readonly ThresholdProfile[]): Promise<void> {
    const url = `${system.queryUrl}/v1/thresholds`;
    const { versions } = answerOf<{ versions: readonly { state: string; thresholds: ThresholdSet }[] }>(
      await call('GET', url, tokens.auditor),
    );
    const inForce = versions.find(({ state }) => state === 'in-force')!.thresholds;
    const { evaluation } = inForce;
    const body = { reason: 'Measured for both models.', evaluation, profiles: profilesOf(inForce) };
    const { version } = answerOf<{ version: number }>(await call('POST', url, tokens.approver, body));
    answerOf(await call('POST', `${url}/${version}/approval`, tokens.other, { reason: 'Looked at and agreed.' }));
  }

  const rescored = (profiles: readonly ThresholdProfile[], modelId: ModelId): ThresholdProfile[] =>
    profiles
      .filter((profile) => profile.modelId === first)
      .map(({ kind, bands }) => ({ kind, modelId, bands: bands.map((band) => ({ ...band, score: SCORE })) }));

  test('tells the two models apart by their scores', () => {
    expect(Math.abs(expected.get(first)! - expected.get(second)!)).toBeGreaterThan(2 * SCORE_TOLERANCE);
  });

  test('is built beside, under searches, through a kill of its builder, with what is enrolled and erased meanwhile', async () => {
    await approveThresholds(({ profiles }) => rescored(profiles, first));
    for (let i = 0; i < 2; i++) officers.push(new Officer(search));
    const building = system.custody('gallery', 'generation', 'build', secondFolder);
    await eventually(async () => expect((await templatesOf(second)).size).toBeGreaterThan(5), {
      timeoutMs: BUILT_WITHIN_MS,
    });
    process.kill(builderPid()!, 'SIGKILL');
    await enrol('enrolled-meanwhile', mate, 3);
    const erasure = { imageId: 'more-1', reason: 'The person was acquitted.', authority: 'DPA 2018 s.47' };
    answerOf(await call('POST', `${system.queryUrl}/v1/erasures`, tokens.protection, erasure));
    const built = await building;
    expect(built.code, `${built.stdout}${built.stderr}${system.said.slice(-4000)}`).toBe(0);
    await eventually(
      async () => {
        const galleries = await listed();
        expect(galleries.map(({ modelId, inForce }) => ({ modelId, inForce }))).toEqual([
          { modelId: first, inForce: true },
          { modelId: second, inForce: false },
        ]);
        expect(galleries[1]!.progress?.recordsToGo).toBe(0);
        expect(galleries[1]!.enrolled + galleries[1]!.progress!.lacking).toBe(galleries[0]!.enrolled);
      },
      { timeoutMs: BUILT_WITHIN_MS, intervalMs: 500 },
    );
    const [ofFirst, ofSecond] = [await templatesOf(first), await templatesOf(second)];
    for (const images of [ofFirst, ofSecond]) {
      expect(images).toContain('enrolled-meanwhile');
      expect(images).not.toContain('more-1');
    }
    const gaps = lastOfKey(await readTopic(kafka, GALLERY_GAPS));
    const lacking = [...gaps].filter(([, { value }]) => value !== null).map(([key]) => key.split('/')[1]!);
    expect([...ofSecond, ...lacking].toSorted()).toEqual([...ofFirst].toSorted());
  });

  test('is not switched to while nothing says by which scores it is judged, or by whoever may not', async () => {
    expect(refusalOf(await switchTo(second, { acceptMissing: 1000 }))).toBe('500 THRESHOLD_MISSING');
    expect(refusalOf(await switchTo('0123456789abcdef'))).toBe('404 GALLERY_NOT_FOUND');
    expect(refusalOf(await switchTo(first))).toBe('409 GALLERY_IN_FORCE');
    const url = `${system.queryUrl}/v1/gallery-switches`;
    const body = { to: second, reason: 'The new model was evaluated.' };
    expect(refusalOf(await call('POST', url, tokens.officer, body))).toBe('403 ROLE_NOT_ALLOWED');
    expect((await listed())[0]).toMatchObject({ modelId: first, inForce: true });
  });

  test('is in force after one command, and the former one after another; every answer is of one of them', async () => {
    await approveThresholds(({ profiles }) => [...rescored(profiles, first), ...rescored(profiles, second)]);
    const key = { 'idempotency-key': randomUUID() };
    const switched = await switchTo(second, { acceptMissing: 1000 }, key);
    expect(switched.status, switched.text).toBe(201);
    const after = officers.map(({ seen }) => seen.length + 1);
    // The same request again is the same decision.
    expect((await switchTo(second, { acceptMissing: 1000 }, key)).text).toBe(switched.text);
    expectOfOneModel(answerOf<SearchAnswer>(await search()));
    await eventually(() => {
      for (const [i, officer] of officers.entries()) expect(modelsSince(officer, after[i]!).length).toBeGreaterThan(5);
    });
    for (const [i, officer] of officers.entries())
      expect(new Set(modelsSince(officer, after[i]!))).toEqual(new Set([second]));

    const back = await system.custody('gallery', 'generation', 'switch', first, '--reason', 'Back to the one before.');
    expect(back.code, back.stderr).toBe(0);
    const afterBack = officers.map(({ seen }) => seen.length + 1);
    await eventually(() => {
      for (const [i, officer] of officers.entries())
        expect(modelsSince(officer, afterBack[i]!).length).toBeGreaterThan(5);
    });
    for (const officer of officers) {
      const models = officer.answers.map(({ gallery }) => gallery.modelId);
      const changes = models.filter((model, i) => i > 0 && model !== models[i - 1]);
      expect(changes).toEqual([second, first]);
    }
  });

  test('refused none of the searches that ran all the while, and mixed no two models in an answer', async () => {
    await Promise.all(officers.map((officer) => officer.stop()));
    const seen = officers.flatMap((officer) => officer.seen);
    expect(seen.length).toBeGreaterThan(50);
    expect(seen.filter(({ status }) => status !== 200).map(({ text }) => text)).toEqual([]);
    // Before the thresholds were low enough, only the first model's own.
    for (const officer of officers) for (const answer of officer.answers) expectOfOneModel(answer);
  });

  test('serves a retrospective search of whichever is in force when it runs', async () => {
    const switched = await switchTo(second, { acceptMissing: 1000 });
    expect(switched.status, switched.text).toBe(201);
    const url = `${system.queryUrl}/v1/searches/retrospective`;
    const { searchId } = answerOf<{ searchId: string }>(
      await call('POST', url, tokens.operator, retrospectiveForm(probe)),
    );
    const shown = await eventually(async () => {
      const found = answerOf<{ state: string; answer: SearchAnswer | null }>(
        await call('GET', `${system.queryUrl}/v1/searches/${searchId}`, tokens.operator),
      );
      expect(found.state).toBe('CANDIDATES');
      return found;
    });
    expect(shown.answer!.gallery.modelId).toBe(second);
    expectOfOneModel(shown.answer!);
  });

  test('takes the place of the first one, of which nothing is left in the end', async () => {
    const why = ['--reason', 'The new model is the only one from now on.'];
    const inForce = await system.custody('gallery', 'generation', 'retire', second, ...why);
    expect(`${inForce.code} ${inForce.stderr}`).toContain('GALLERY_IN_FORCE');
    const stepOne = await system.custody('gallery', 'generation', 'retire', first, ...why);
    expect(stepOne.stdout, stepOne.stderr).toContain('step 1 of 2');
    expect(refusalOf(await switchTo(first))).toBe('409 GALLERY_RETIRED_BEFORE');
    // Searches go on until the restart, which is whenever it suits.
    expectOfOneModel(answerOf<SearchAnswer>(await search()));
    await system.stop();
    expect(processesOf(system.settings.DATA_DIR)).toEqual([]);
    system = await RunningSystem.start(system.environment);
    const answer = answerOf<SearchAnswer>(await search());
    expect(answer.gallery.modelId).toBe(second);
    expectOfOneModel(answer);
    const stepTwo = await system.custody('gallery', 'generation', 'retire', first, ...why);
    expect(stepTwo.stdout, `${stepTwo.stderr}${system.said.slice(-3000)}`).toContain('is destroyed');
    expect(await kafka.topicAdmin().generations()).toEqual([second]);
    await enrol('enrolled-afterwards', mate, 5);
    await eventually(async () => expect(await templatesOf(second)).toContain('enrolled-afterwards'));
    expect((await listed()).map(({ modelId }) => modelId)).toEqual([second]);
  });
});

function cosine(a: Float32Array, b: Float32Array): number {
  return a.reduce((sum, value, i) => sum + value * b[i]!, 0);
}
