/**
 * Who is found: the whole system on real faces, as an operator and an officer use it. The first image of everybody is
 * enrolled, the second image of those who have one is the probe.
 */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { GalleryClient } from '../../apps/query/src/searches/gallery-client.js';
import { chooseFace, type DetectedFace } from '#domain/face.js';
import type { SearchAnswer } from '#domain/search-answer.js';
import { FaceEngine } from '#face/face-engine.js';
import { KafkaClient } from '#kafka/kafka-client.js';
import { RunningSystem } from '#testkit/running-system.js';
import { operatorForm, retrospectiveForm } from '#testkit/search-forms-for-tests.js';
import { modelPackForTests } from '#testkit/model-pack-for-tests.js';
import { silentLog } from '#testkit/kafka-test-helpers.js';
import { haveFaces, imageIdOf, people, readProbe, writeFirstImages, type Person } from './faces.js';

const IN_FLIGHT = 4;
/** The other half of these people are erased, and their probes become those of people who are not in the gallery. */
const ERASED_EVERY = 2;

interface Shown {
  readonly searchId: string;
  readonly state: string;
  readonly version: number;
  readonly faces: readonly DetectedFace[] | null;
  readonly picture: { readonly width: number; readonly height: number } | null;
  readonly answer: SearchAnswer | null;
}

describe.skipIf(!haveFaces)('search accuracy on Labeled Faces in the Wild', { timeout: 1_200_000 }, () => {
  let system: RunningSystem;
  let everybody: Person[];
  let probes: Person[];

  beforeAll(async () => {
    everybody = await people();
    probes = everybody.filter(({ images }) => images.length > 1);
    system = await RunningSystem.start(
      await RunningSystem.environment({ SAMPLE_GALLERY: 'off', RATE_LIMIT: '100000' }),
    );
  }, 300_000);

  afterAll(() => system?.stopAndForget());

  test('every image that is sent has an outcome: sent = enrolled + refused', async () => {
    const file = join(system.settings.DATA_DIR, 'first-images.csv');
    await writeFirstImages(everybody, file);
    const { stdout, code } = await system.custody('enrol', file, '--face', 'central');
    expect(code).toBe(0);
    const sent = figure(stdout, /^sent (\d+)/m);
    const enrolled = figure(stdout, /^enrolled +(\d+)/m);
    const refused = [...stdout.matchAll(/^refused +(\d+)/gm)].reduce((sum, match) => sum + Number(match[1]), 0);
    report(`sent ${sent} = enrolled ${enrolled} + refused ${refused}`);
    expect(sent).toBe(everybody.length);
    expect(enrolled + refused).toBe(sent);
    expect(/^failed/m.test(stdout)).toBe(false);
  });

  test('retrospective search, exact: rank-1 at least .98 and rank-10 at least .985', async () => {
    const token = await system.token('operator');
    const ranks = await inParallel(probes, async (person) => {
      const url = `${system.queryUrl}/v1/searches`;
      let shown = await post<Shown>(`${url}/retrospective`, token, retrospectiveForm(await readProbe(person), {}));
      while (['QUEUED', 'RECEIVED', 'AWAITING_FACE', 'SEARCHING'].includes(shown.state)) {
        if (shown.state === 'AWAITING_FACE') {
          // No rule decides this; the operator means the one in the middle.
          const choice = { face: chooseFace(shown.faces!, shown.picture!, 'central'), expectedVersion: shown.version };
          await post(`${url}/${shown.searchId}/face`, token, choice);
        }
        await new Promise((resolve) => setTimeout(resolve, 50));
        // 404 while it is queued.
        shown = await get<Shown>(`${url}/${shown.searchId}`, token).catch(() => shown);
      }
      expect(shown).toMatchObject({ answer: { complete: true, mode: 'exact' } });
      return shown.answer!.candidates.find(({ subjectId }) => subjectId === person.subjectId)?.rank ?? Infinity;
    });
    const within = (rank: number): number => ranks.filter((found) => found <= rank).length / ranks.length;
    report(
      `retrospective, exact: rank-1 ${within(1).toFixed(4)}, rank-10 ${within(10).toFixed(4)}, ${ranks.length} probes`,
    );
    expect(within(1)).toBeGreaterThanOrEqual(0.98);
    expect(within(10)).toBeGreaterThanOrEqual(0.985);
  });

  test('approximate mode finds the same first candidate in at least 99 %', async () => {
    const engine = await FaceEngine.open(await modelPackForTests(), { concurrency: 2 });
    const kafka = new KafkaClient({ brokers: system.settings.KAFKA_BROKERS, clientId: 'test', log: silentLog });
    const client = new GalleryClient(
      kafka,
      kafka.publisher(),
      engine.modelId,
      'accuracy-test',
      () => undefined,
      silentLog,
      (error) => {
        throw error;
      },
    );
    await client.start();
    const modes: string[] = [];
    const same = await inParallel(probes, async (person) => {
      const { embedded } = await engine.process(await readProbe(person), 'central');
      const search = { probe: embedded.template, limit: 1, filter: undefined, withinMs: 10_000 };
      const exact = await client.search({ ...search, mode: 'exact' });
      const approximate = await client.search({ ...search, mode: 'approximate' });
      modes.push(approximate.mode);
      return exact.candidates[0]?.imageId === approximate.candidates[0]?.imageId;
    });
    await client.close();
    await kafka.close();
    await engine.close();
    const agreement = same.filter(Boolean).length / same.length;
    report(`approximate mode: the same first candidate in ${(agreement * 100).toFixed(2)} % of ${same.length}`);
    // The graph must have answered, not a scan in its place.
    expect(new Set(modes)).toEqual(new Set(['approximate']));
    expect(agreement).toBeGreaterThanOrEqual(0.99);
  });

  test('operator-initiated search at its threshold: hit rate, then false positives of people who are not enrolled', async () => {
    const token = await system.token('officer');
    const search = async (person: Person): Promise<SearchAnswer> =>
      post<SearchAnswer>(
        `${system.queryUrl}/v1/searches/operator`,
        token,
        operatorForm(await readProbe(person), { face: 'central' }),
      );
    const answers = await inParallel(probes, search);
    const hits = answers.filter(({ candidates }, i) => candidates[0]?.subjectId === probes[i]!.subjectId).length;
    const { threshold, gallery } = answers[0]!;
    const hitRate = hits / answers.length;
    report(
      `operator-initiated: hit rate ${hitRate.toFixed(4)} at threshold ${threshold.score}, gallery ${gallery.enrolled}`,
    );

    const absent = probes.filter((_, i) => i % ERASED_EVERY === 0);
    const dataProtection = await system.token('data-protection');
    for (const person of absent) {
      await post(`${system.queryUrl}/v1/erasures`, dataProtection, {
        imageId: imageIdOf(person.images[0]!),
        reason: 'Measurement: this person must not be in the gallery',
        authority: 'test',
      });
    }
    await untilEnrolled(system, everybody.length - absent.length);
    const falsePositives: string[] = [];
    const withoutMate = await inParallel(absent, search);
    withoutMate.forEach(({ candidates }, i) => {
      expect(candidates.some(({ subjectId }) => subjectId === absent[i]!.subjectId)).toBe(false);
      if (candidates.length > 0) {
        falsePositives.push(`${absent[i]!.subjectId} ~ ${candidates[0]!.subjectId} ${candidates[0]!.score.toFixed(3)}`);
      }
    });
    const fpir = falsePositives.length / withoutMate.length;
    report(
      `operator-initiated: FPIR ${fpir.toFixed(4)} (${falsePositives.length} of ${withoutMate.length}) at threshold ` +
        `${withoutMate[0]!.threshold.score}, gallery ${withoutMate[0]!.gallery.enrolled}`,
    );
    for (const line of falsePositives) report(`  false positive: ${line}`);
    expect(hitRate).toBeGreaterThan(0.9);
    expect(fpir).toBeLessThan(0.05);
  });
});

function report(line: string): void {
  process.stdout.write(`${line}\n`);
}

function figure(text: string, pattern: RegExp): number {
  return Number(pattern.exec(text)?.[1] ?? Number.NaN);
}

async function inParallel<T, R>(items: readonly T[], run: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let i = next++; i < items.length; i = next++) results[i] = await run(items[i]!);
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, worker));
  return results;
}

async function post<T>(url: string, token: string, body: FormData | object): Promise<T> {
  const form = body instanceof FormData;
  return answerOf<T>(
    await fetch(url, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, ...(!form && { 'content-type': 'application/json' }) },
      body: form ? body : JSON.stringify(body),
    }),
  );
}

async function get<T>(url: string, token: string): Promise<T> {
  return answerOf<T>(await fetch(url, { headers: { authorization: `Bearer ${token}` } }));
}

async function answerOf<T>(response: Response): Promise<T> {
  if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
  return (await response.json()) as T;
}

async function untilEnrolled(system: RunningSystem, wanted: number): Promise<void> {
  const token = await system.token('auditor');
  const deadline = Date.now() + 60_000;
  for (;;) {
    const { galleries } = await get<{ galleries: { enrolled: number }[] }>(`${system.queryUrl}/v1/galleries`, token);
    if (galleries[0]!.enrolled === wanted) return;
    if (Date.now() > deadline) throw new Error(`${galleries[0]!.enrolled} enrolled, not ${wanted}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
