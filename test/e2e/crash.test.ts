/**
 * Kills in the middle of an enrolment: nothing is lost, nothing is made up, and whatever a service has to rebuild its
 * state from, a snapshot, the log or both, it answers the same to the byte.
 */
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { GalleryClient } from '../../apps/query/src/searches/gallery-client.js';
import { parseOutcome } from '#contracts/outcome-record.js';
import { decodeTemplate, parseTemplateRecord } from '#contracts/template-record.js';
import { CUSTODY_OUTCOMES, galleryTemplates } from '#contracts/topics.js';
import { compareCandidates, type GalleryCandidate, type SearchMode, type UsedMode } from '#domain/gallery.js';
import type { ModelPack } from '#face/model-pack.js';
import { KafkaClient } from '#kafka/kafka-client.js';
import { imageWithoutFace, writeFaceFolder } from '#testkit/face-images-for-tests.js';
import { metric } from '#testkit/http-for-tests.js';
import { eventually, silentLog } from '#testkit/kafka-test-helpers.js';
import { modelPackForTests, samplePhotographsForTests } from '#testkit/model-pack-for-tests.js';
import { RunningSystem, type CommandResult, type ServiceName } from '#testkit/running-system.js';
import { lastOfKey, readTopic } from '#testkit/topic-for-tests.js';

/** 22 faces in 7 versions each: 154 images, enough for an enrolment that lasts longer than two restarts. */
const VARIANTS = 7;
const CANDIDATES = 10;
/** How far a probe is from the template that it was made of; the cosine to it is about .9. */
const PROBE_NOISE = 0.022;

interface Held {
  readonly imageId: string;
  readonly subjectId: string;
  readonly vector: Float32Array;
}

describe('services that are killed in the middle of an enrolment', () => {
  let environment: Record<string, string>;
  let system: RunningSystem;
  let pack: ModelPack;
  let sent: readonly string[];
  let enrolment: CommandResult;
  /** Images that the index, then the ingest, had done when they were killed. */
  let doneAtKills: readonly number[];
  let held: readonly Held[];
  let probes: readonly Float32Array[];
  let answers: string;

  beforeAll(async () => {
    // Snapshots come when a test asks for them, by ending the service, and not in between.
    environment = await RunningSystem.environment({
      SAMPLE_GALLERY: 'off',
      LOG_LEVEL: 'info',
      SNAPSHOT_INTERVAL_SECONDS: '86400',
    });
    pack = await modelPackForTests();
    const folder = join(environment['DATA_DIR']!, 'photographs');
    const [good] = await Promise.all([
      samplePhotographsForTests().then((sample) => writeFaceFolder(sample, folder, VARIANTS)),
      RunningSystem.start(environment).then((started) => (system = started)),
    ]);
    await mkdir(join(folder, 'nobody'), { recursive: true });
    await writeFile(join(folder, 'nobody', 'no-face.jpg'), await imageWithoutFace());
    await writeFile(join(folder, 'nobody', 'text.jpg'), 'This is not a photograph, whatever its name says.');
    sent = [...good, 'no-face', 'text'];

    const running = system.custody('enrol', folder, '--face', 'central');
    const killAfter = async (service: ServiceName, url: string, name: string, images: number): Promise<number> => {
      const done = await eventually(async () => {
        const soFar = (await metric(url, name)) ?? 0;
        expect(soFar).toBeGreaterThan(images);
        return soFar;
      });
      await system.restart(service, 'SIGKILL');
      return done;
    };
    const ingested = 'custody_images_total{outcome="enrolled",reason=""}';
    doneAtKills = await Promise.all([
      killAfter('index', system.indexUrl, 'custody_enrol_to_searchable_seconds_count', sent.length / 8),
      killAfter('ingest', system.ingestUrl, ingested, sent.length / 4),
    ]);
    enrolment = await running;
  });

  afterAll(() => system?.stopAndForget());

  async function withGallery<T>(run: (client: GalleryClient, kafka: KafkaClient) => Promise<T>): Promise<T> {
    const kafka = new KafkaClient({ brokers: system.settings.KAFKA_BROKERS, clientId: 'test', log: silentLog });
    const fatal = (error: unknown): void => {
      throw error;
    };
    const client = new GalleryClient(
      kafka,
      kafka.publisher(),
      pack.modelId,
      'crash-test',
      () => undefined,
      silentLog,
      fatal,
    );
    try {
      await client.start();
      return await run(client, kafka);
    } finally {
      await client.close();
      await kafka.close();
    }
  }

  function askAll(mode: SearchMode): Promise<{ candidates: readonly GalleryCandidate[]; mode: UsedMode }[]> {
    return withGallery(async (client) => {
      const all = [];
      for (const probe of probes) {
        const {
          candidates,
          mode: used,
          missing,
        } = await client.search({
          probe,
          limit: CANDIDATES,
          mode,
          filter: undefined,
          withinMs: 10_000,
        });
        expect(missing).toEqual([]);
        all.push({ candidates, mode: used });
      }
      return all;
    });
  }

  const exactAnswers = async (): Promise<string> => JSON.stringify(await askAll('exact'));

  const deleteSnapshots = (): Promise<void> => rm(system.settings.SNAPSHOT_DIR, { recursive: true, force: true });

  function restoredTemplates(said: string): number[] {
    const lines = said.split('\n').filter((line) => line.includes('snapshot-restored'));
    return lines.map((line) => Number(/"templates":(\d+)/.exec(line)?.[1]));
  }

  test('were killed in its middle, both of them', () => {
    expect(system.said).toContain('supervisor: index ended (SIGKILL)');
    expect(system.said).toContain('supervisor: ingest ended (SIGKILL)');
    for (const done of doneAtKills) expect(done).toBeLessThan(sent.length * 0.9);
  });

  test('lose no image and make none up: sent = enrolled + refused, for each imageId', async () => {
    const { stdout, stderr, code } = enrolment;
    expect(code, stdout + stderr).toBe(0);
    expect(stdout).toContain(`sent ${sent.length} `);
    expect(stdout).toMatch(/^refused +1 IMAGE_FORMAT_UNSUPPORTED$/m);
    expect(stdout).not.toMatch(/^(failed|superseded)/m);
    const enrolledSaid = Number(/^enrolled +(\d+)$/m.exec(stdout)![1]);
    const refusedSaid = [...stdout.matchAll(/^refused +(\d+) /gm)].reduce((sum, match) => sum + Number(match[1]), 0);
    expect(enrolledSaid + refusedSaid).toBe(sent.length);
    expect(enrolledSaid).toBeGreaterThan(sent.length * 0.9);

    const topic = galleryTemplates(pack.modelId);
    const [outcomes, templates] = await withGallery(async (_, kafka) => [
      (await readTopic(kafka, CUSTODY_OUTCOMES)).map(({ value }) => parseOutcome(value)),
      lastOfKey(await readTopic(kafka, topic)),
    ]);
    const byImage = new Map<string, Set<string>>();
    for (const { imageId, outcome } of outcomes) {
      byImage.set(imageId, (byImage.get(imageId) ?? new Set()).add(outcome));
    }
    expect([...byImage.keys()].sort()).toEqual([...sent].sort());
    // One that was done twice, by the ingest that died and by the next, ended the same.
    for (const [id, ends] of byImage) expect(ends.size, id).toBe(1);
    const enrolled = [...byImage].filter(([, ends]) => ends.has('enrolled')).map(([id]) => id);
    expect(enrolled).toHaveLength(enrolledSaid);
    expect([...templates.keys()].sort()).toEqual(enrolled.sort());
    held = [...templates.values()].map(({ key, headers, value }) => ({
      imageId: key!.toString(),
      subjectId: parseTemplateRecord(key, headers).metadata.subjectId,
      vector: decodeTemplate(value!, pack.manifest.embedder.dimension),
    }));
    probes = held.map(({ vector }, seed) => nearby(vector, seed + 1));
  });

  test('answer exactly what a plain scan of the log in double precision does', async () => {
    const asked = await askAll('exact');
    asked.forEach(({ candidates, mode }, i) => {
      expect(mode).toBe('exact');
      const expected = plainScan(held, probes[i]!, CANDIDATES);
      expect(candidates.map(({ imageId }) => imageId)).toEqual(expected.map(({ imageId }) => imageId));
      candidates.forEach(({ score }, rank) => expect(Math.abs(score - expected[rank]!.score)).toBeLessThan(1e-12));
    });
    answers = JSON.stringify(asked);
  });

  test('agree with that in the first candidate in at least 99 % when they search approximately', async () => {
    const exact = JSON.parse(answers) as { candidates: GalleryCandidate[] }[];
    // The graph is built in the background; until then a scan answers and says so.
    const approximate = await eventually(async () => {
      const asked = await askAll('approximate');
      expect(new Set(asked.map(({ mode }) => mode))).toEqual(new Set(['approximate']));
      return asked;
    });
    const same = approximate.filter((one, i) => one.candidates[0]!.imageId === exact[i]!.candidates[0]!.imageId);
    expect(same.length / exact.length).toBeGreaterThanOrEqual(0.99);
  });

  test('answer the same to the byte after everything was stopped and the log replayed from its beginning', async () => {
    await system.stop();
    await deleteSnapshots();
    system = await RunningSystem.start(environment);
    expect(restoredTemplates(system.said)).toEqual([0]);
    expect(await exactAnswers()).toBe(answers);
  });

  test('write a snapshot at SIGTERM, restore it at the next start, and answer the same to the byte', async () => {
    const from = system.said.length;
    await system.restart('index', 'SIGTERM');
    const said = system.said.slice(from);
    expect(said).toMatch(/snapshot-written .*"reason":"shutdown"/);
    expect(restoredTemplates(said)).toEqual([held.length]);
    expect(await exactAnswers()).toBe(answers);
  });

  test('answer the same to the byte after a kill, from the snapshot and from the log alone', async () => {
    await system.restart('index', 'SIGKILL');
    expect(await exactAnswers()).toBe(answers);
    const from = system.said.length;
    await system.restart('index', 'SIGKILL', deleteSnapshots);
    expect(restoredTemplates(system.said.slice(from))).toEqual([0]);
    expect(await exactAnswers()).toBe(answers);
  });

  test('leave an enrolment that is run again nothing to do', async () => {
    const again = await system.custody('enrol', join(environment['DATA_DIR']!, 'photographs'), '--face', 'central');
    expect(again.code).toBe(0);
    expect(again.stdout).toContain(`${sent.length} of ${sent.length} images have their outcome from an earlier run`);
    expect(again.stdout).toContain('sent 0 ');
  });
});

/** Another template of as good as the same face, the same for the same seed. */
function nearby(vector: Float32Array, seed: number): Float32Array {
  let state = seed;
  const random = (): number => {
    // Park and Miller's minimal standard generator.
    state = (state * 48_271) % 2_147_483_647;
    return state / 2_147_483_647;
  };
  const moved = vector.map((value) => value + PROBE_NOISE * 2 * Math.sqrt(3) * (random() - 0.5));
  const norm = Math.hypot(...moved);
  return moved.map((value) => value / norm);
}

/** Best image of each subject, best subjects first. */
function plainScan(
  held: readonly Held[],
  probe: Float32Array,
  k: number,
): readonly { readonly imageId: string; readonly score: number }[] {
  const best = new Map<string, { imageId: string; score: number }>();
  for (const { imageId, subjectId, vector } of held) {
    let score = 0;
    for (let i = 0; i < vector.length; i++) score += vector[i]! * probe[i]!;
    const found = { imageId, score };
    const known = best.get(subjectId);
    if (known === undefined || compareCandidates(found, known) < 0) best.set(subjectId, found);
  }
  return [...best.values()].sort(compareCandidates).slice(0, k);
}
