/**
 * Everything is lost: Kafka, the image store, the snapshots, the views. What is left are a backup, a newer one of the
 * decisions, the keys, and the append-only copy of the audit's seals. `npm run test:recovery`.
 *
 * RECOVERY_TEMPLATES=10000 puts so many made-up templates and objects beside the sample's, and prints what the backup and
 * the restore take with them.
 */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { cp, mkdtemp, open, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { encodeTemplate, templateHeaders } from '#contracts/template-record.js';
import { CUSTODY_DISPOSITIONS, CUSTODY_OUTCOMES, galleryTemplates, SEARCHES_EVENTS } from '#contracts/topics.js';
import type { ImageProgress } from '#domain/erasure.js';
import type { ImageId, Offset, SubjectId } from '#domain/ids.js';
import type { SearchAnswer } from '#domain/search-answer.js';
import type { SampleFace, SamplePhotographs } from '#face/sample-manifest.js';
import { pause } from '#kafka/backoff.js';
import { freePort } from '#kafka/free-port.js';
import { KafkaClient } from '#kafka/kafka-client.js';
import { resolveKafkaJars } from '#kafka/local-broker-jars.js';
import { LocalBroker } from '#kafka/local-broker.js';
import { cacheFolder } from '#platform/cache-folder.js';
import { custodyImageName } from '#platform/image-store.js';
import { openImageStore } from '#platform/open-image-store.js';
import { faceImage } from '#testkit/face-images-for-tests.js';
import { answerOf, call, metric, type HttpResult } from '#testkit/http-for-tests.js';
import { eventually, silentLog } from '#testkit/kafka-test-helpers.js';
import { modelPackForTests, samplePhotographsForTests } from '#testkit/model-pack-for-tests.js';
import { RunningSystem, type CommandResult } from '#testkit/running-system.js';
import { operatorForm, retrospectiveForm } from '#testkit/search-forms-for-tests.js';
import { readTopic } from '#testkit/topic-for-tests.js';
import { BackupKeys, openBackup, writeManifest, type BackupManifest } from '../../apps/cli/src/backup-manifest.js';

const MADE_UP = Number(process.env['RECOVERY_TEMPLATES'] ?? '0');
/** Of a custody photograph, sealed. */
const OBJECT_BYTES = 100_000;
/** What is younger, `audit verify` takes for something that is just being written. */
const IN_FLIGHT_MS = 61_000;
const WHY = { reason: 'The request of the person was upheld', authority: 'DPA 2018 s.47' };

interface ShownErasure {
  readonly state: string;
  readonly images: readonly Pick<ImageProgress, 'receipt' | 'destroyed'>[];
}

describe('a system that has lost everything but its backups', () => {
  let home: string;
  let key: string;
  let backup: string;
  let decisions: string;
  let sample: SamplePhotographs;
  let probe: Buffer;
  let lost: RunningSystem;
  let broker: LocalBroker;
  let environment: Record<string, string> | undefined;
  let system: RunningSystem;
  /** Erased before the backup; after it; after it too, when ingest did not come to it any more. */
  let erased: readonly SampleFace[];
  /** Before the backup. */
  let restricted: SampleFace;
  /** Of the second and the third of {@link erased}. */
  let erasureIds: readonly string[];
  let before: SearchAnswer;
  let searchId: string;
  let eventsBefore: number;
  let outcomesBefore: number;
  let lostAtMs: number;
  const secondsOf = new Map<string, number>();

  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), 'recovery-'));
    [key, backup, decisions] = [join(home, 'backup.key'), join(home, 'backup'), join(home, 'decisions')];
    await writeFile(key, `${randomBytes(32).toString('base64')}\n`);
    sample = await samplePhotographsForTests();
    const { enrolled, probe: probeFace } = sample.manifest;
    probe = await faceImage(sample, probeFace);
    lost = await RunningSystem.start(await RunningSystem.environment({ RATE_LIMIT: '10000' }));
    const found: SampleFace[] = [];
    for (const face of enrolled.filter(({ subjectId }) => subjectId !== probeFace.subjectId)) {
      if (found.length < 4 && (await finds(lost, face))) found.push(face);
    }
    erased = found.slice(0, 3);
    restricted = found[3]!;
  });
  afterAll(async () => {
    await system?.stop();
    await broker?.stop();
    if (environment !== undefined) await rm(environment['DATA_DIR']!, { recursive: true, force: true });
    await lost?.stopAndForget();
    await rm(home, { recursive: true, force: true });
  });

  async function timed<T>(what: string, run: () => Promise<T>): Promise<T> {
    const startedAtMs = performance.now();
    const result = await run();
    secondsOf.set(what, (performance.now() - startedAtMs) / 1000);
    return result;
  }

  async function ask(at: RunningSystem, image = probe): Promise<HttpResult> {
    return call('POST', `${at.queryUrl}/v1/searches/operator`, await at.token('officer'), operatorForm(image));
  }
  const search = async (at: RunningSystem): Promise<SearchAnswer> => answerOf(await ask(at));

  /** Cut out of its photograph, a few have no face that is found. */
  async function finds(at: RunningSystem, face: SampleFace): Promise<boolean> {
    const result = await ask(at, await faceImage(sample, face));
    if (result.status === 422) return false;
    return answerOf<SearchAnswer>(result).candidates.some(({ subjectId }) => subjectId === face.subjectId);
  }

  async function erase(at: RunningSystem, face: SampleFace): Promise<void> {
    const { code, stderr } = await at.custody(
      'erase',
      face.imageId,
      '--reason',
      WHY.reason,
      '--authority',
      WHY.authority,
    );
    expect(code, stderr).toBe(0);
  }

  /** As data-protection staff do. @returns its id */
  async function decideErasure(at: RunningSystem, face: SampleFace): Promise<string> {
    const dpo = await at.token('data-protection');
    const asked = await call('POST', `${at.queryUrl}/v1/erasures`, dpo, { imageIds: [face.imageId], ...WHY });
    return answerOf<{ erasureId: string }>(asked).erasureId;
  }

  async function erasureOf(at: RunningSystem, erasureId: string): Promise<ShownErasure> {
    return answerOf(await call('GET', `${at.queryUrl}/v1/erasures/${erasureId}`, await at.token('data-protection')));
  }

  /** But for the one who is erased once more after the restore. */
  async function outcomesIn(kafka: KafkaClient): Promise<number> {
    const outcomes = await readTopic(kafka, CUSTODY_OUTCOMES);
    return outcomes.filter(({ key }) => key?.toString() !== erased[2]!.imageId).length;
  }

  /** With nothing but Kafka running. */
  function custody(...args: string[]): Promise<CommandResult> {
    const env = { ...process.env, ...environment };
    return new Promise((resolve) => {
      execFile(process.execPath, ['dist/apps/cli/src/main.js', ...args], { env }, (error, stdout, stderr) => {
        resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
      });
    });
  }
  const restore = (...args: string[]): Promise<CommandResult> =>
    custody('restore', backup, '--key', key, '--by', 'ops-1', ...args);

  test('was copied while it ran, and one that is erased afterwards only among the decisions', async () => {
    await makeUp(lost);
    const kafka = new KafkaClient({ brokers: lost.settings.KAFKA_BROKERS, clientId: 'test', log: silentLog });
    await kafka.publisher().publish({ topic: CUSTODY_DISPOSITIONS, key: 'nobody', value: '{', headers: {} });
    await erase(lost, erased[0]!);
    const dpo = await lost.token('data-protection');
    answerOf(await call('POST', `${lost.queryUrl}/v1/restrictions`, dpo, { imageId: restricted.imageId, ...WHY }));
    const operator = await lost.token('operator');
    // One candidate: all who are on the list of an open search are restricted instead of erased.
    const form = retrospectiveForm(probe, { limit: '1' });
    const accepted = await call('POST', `${lost.queryUrl}/v1/searches/retrospective`, operator, form);
    searchId = answerOf<{ searchId: string }>(accepted).searchId;
    await eventually(async () => {
      const shown = await call('GET', `${lost.queryUrl}/v1/searches/${searchId}`, operator);
      expect(answerOf<{ state: string }>(shown).state).toBe('CANDIDATES');
    });
    before = await search(lost);
    expect(before.candidates).toHaveLength(1);
    const made = await timed('backup', () => lost.custody('backup', backup, '--key', key, '--by', 'ops-1'));
    expect(made.code, made.stderr).toBe(0);
    expect((await lost.custody('backup', backup, '--key', key)).stderr).toContain('BACKUP_EXISTS');
    eventsBefore = (await readTopic(kafka, SEARCHES_EVENTS)).length;
    outcomesBefore = await outcomesIn(kafka);
    await kafka.close();
    const handled = await decideErasure(lost, erased[1]!);
    // It has its receipt from ingest, and the logs have their markers; compaction takes half a minute more.
    await eventually(async () => {
      const [image] = (await erasureOf(lost, handled)).images;
      expect(image!.receipt.tombstone).not.toBeNull();
      expect(Object.values(image!.destroyed)).toContain(null);
    });
    const ingest = lost.pidOf('ingest');
    process.kill(ingest, 'SIGSTOP');
    const unhandled = await decideErasure(lost, erased[2]!);
    const newer = await lost.custody('backup', decisions, '--key', key, '--decisions');
    expect(newer.code, newer.stderr).toBe(0);
    erasureIds = [handled, unhandled];
    const { oldestUnhandledAt } = JSON.parse(await readFile(join(decisions, 'backup.json'), 'utf8')) as BackupManifest;
    expect(oldestUnhandledAt).not.toBeNull();
    for (const id of erasureIds) expect((await erasureOf(lost, id)).state).toBe('CARRYING_OUT');
    process.kill(ingest, 'SIGCONT');
    await eventually(async () => expect(await metric(lost.queryUrl, 'custody_audit_unsealed_records')).toBe(0), {
      timeoutMs: 30_000,
    });
  });

  test('shows nobody’s data to whoever has the backup and not its key', async () => {
    const ids = sample.manifest.enrolled.flatMap(({ imageId, subjectId }) => [imageId, subjectId]);
    for (const name of await readdir(backup)) {
      const bytes = await readFile(join(backup, name));
      for (const id of ids) expect(bytes.includes(id), `${id} in ${name}`).toBe(false);
    }
  });

  test('is not restored without the newest decisions, with another key, or from a backup that was changed', async () => {
    const dataFolder = await mkdtemp(join(tmpdir(), 'custody-'));
    // What is kept elsewhere.
    for (const name of ['keys', 'audit-checkpoints']) {
      await cp(join(lost.settings.DATA_DIR, name), join(dataFolder, name), { recursive: true });
    }
    await lost.kill();
    lostAtMs = Date.now();
    await rm(lost.settings.DATA_DIR, { recursive: true, force: true });
    const jarsFolder = await resolveKafkaJars(cacheFolder(), () => undefined);
    broker = await LocalBroker.start({ dataFolder: join(dataFolder, 'kafka'), port: await freePort(), jarsFolder });
    const ports = await RunningSystem.environment({ SAMPLE_GALLERY: 'off', RATE_LIMIT: '10000' });
    await rm(ports['DATA_DIR']!, { recursive: true });
    environment = { ...ports, DATA_DIR: dataFolder, KAFKA_BROKERS: broker.brokers };
    expect((await restore()).stderr).toContain('DECISIONS_REQUIRED');
    const otherKey = join(home, 'other.key');
    await writeFile(otherKey, randomBytes(32).toString('base64'));
    expect((await custody('restore', backup, '--key', otherKey, '--by', 'ops-1')).stderr).toContain('BACKUP_KEY_OTHER');
    expect((await restore('--decisions', backup)).stderr).toContain('DECISIONS_NOT_NEWER');
    // Of a clock that was fast: what it has is older than the backup.
    const older = join(home, 'older');
    await cp(decisions, older, { recursive: true });
    const opened = (await openBackup(older, await BackupKeys.read(key)))!;
    const streams = opened.manifest.streams.map((stream) => ({ ...stream, ends: { ...stream.ends, 0: 0 } }));
    await writeManifest({ ...opened, manifest: { ...opened.manifest, streams } });
    expect((await restore('--decisions', older)).stderr).toContain('DECISIONS_NOT_NEWER');
    const manifest = join(backup, 'backup.json');
    const good = await readFile(manifest, 'utf8');
    await writeFile(manifest, good.replace(/"expiresAt": "\d/, '"expiresAt": "9'));
    expect((await restore('--decisions', decisions)).stderr).toContain('BACKUP_DAMAGED');
    await writeFile(manifest, good);
  });

  test('is restored, and goes on where it was interrupted', async () => {
    // A byte of the audit's last segment, so that nearly everything was written when it is found.
    const last = join(
      backup,
      (await readdir(backup))
        .filter((name) => name.endsWith('.sealed'))
        .toSorted()
        .at(-1)!,
    );
    const at = Math.floor((await stat(last)).size / 2);
    const flip = async (): Promise<void> => {
      const file = await open(last, 'r+');
      const { buffer } = await file.read(Buffer.alloc(1), 0, 1, at);
      await file.write(Buffer.from([buffer[0]! ^ 1]), 0, 1, at);
      await file.close();
    };
    await flip();
    expect((await restore('--decisions', decisions)).stderr).toContain('BACKUP_DAMAGED');
    await flip();
    const done = await timed('restore', () => restore('--decisions', decisions));
    console.info(done.stdout);
    expect(done.code, done.stderr).toBe(0);
    expect(done.stdout).toContain('3 images are erased');
    expect(done.stdout).toContain(', 2 left out as erased');
    expect(done.stdout).toContain('WARNING: 1 records of custody.dispositions.v1 cannot be read');
    expect((await restore('--decisions', decisions)).stderr).toContain('RESTORE_NOT_EMPTY');
    const checked = await custody('topics', 'check', '--json');
    const differing = (JSON.parse(checked.stdout) as { differing: { setting: string }[] }).differing;
    expect(differing.filter(({ setting }) => setting !== 'topic')).toEqual([]);
  });

  test('finds the same person with the same score, and keeps its events and outcomes', async () => {
    system = await timed('start of the services', () => RunningSystem.start(environment!));
    const after = await search(system);
    expect(after.complete).toBe(true);
    expect(after.candidates).toEqual(before.candidates);
    expect(after.gallery.enrolled).toBe(sample.manifest.enrolled.length - 4 + MADE_UP);
    const shown = await call('GET', `${system.queryUrl}/v1/searches/${searchId}`, await system.token('operator'));
    expect(answerOf<{ state: string }>(shown).state).toBe('CANDIDATES');
    const kafka = new KafkaClient({ brokers: system.settings.KAFKA_BROKERS, clientId: 'test', log: silentLog });
    expect((await readTopic(kafka, SEARCHES_EVENTS)).length).toBeGreaterThanOrEqual(eventsBefore);
    expect(await outcomesIn(kafka)).toBe(outcomesBefore);
    await kafka.close();
    const url = `${system.queryUrl}/v1/searches/${searchId}/candidates/1/image`;
    expect((await call('GET', url, await system.token('operator'))).status).toBe(200);
  });

  test('keeps who was erased before the backup and after it erased, and who was restricted restricted', async () => {
    for (const face of [...erased, restricted]) expect(await finds(system, face), face.imageId).toBe(false);
  });

  test('takes a person who was erased in again when custody sends another photograph', async () => {
    const face = erased[1]!;
    const image = await faceImage(sample, face);
    const url = `${system.ingestUrl}/v1/images/${face.imageId}?subjectId=${face.subjectId}`;
    answerOf(await call('PUT', url, await system.token('service'), image));
    await eventually(async () => expect(await finds(system, face)).toBe(true), { timeoutMs: 30_000 });
  });

  test('destroys to the end who was erased and not yet destroyed, and gives the receipts', async () => {
    for (const id of erasureIds) {
      await eventually(async () => expect((await erasureOf(system, id)).state).toBe('DONE'), {
        timeoutMs: 120_000,
        intervalMs: 1_000,
      });
    }
    const open = await call('GET', `${system.queryUrl}/v1/erasures`, await system.token('data-protection'));
    expect(answerOf<{ notDestroyed: readonly unknown[] }>(open).notDestroyed).toEqual([]);
  });

  test('has an audit that goes on from what was signed, and that names what it lost', async () => {
    await eventually(async () => expect(await metric(system.queryUrl, 'custody_audit_unsealed_records')).toBe(0), {
      timeoutMs: 30_000,
    });
    await pause(Math.max(0, lostAtMs + IN_FLIGHT_MS - Date.now()));
    const file = join(home, 'audit.jsonl');
    expect((await system.custody('audit', 'export', '--out', file)).code).toBe(0);
    const { AUDIT_SEAL_VERIFIER_KEYS_FILE: keys, AUDIT_CHECKPOINT_DIR: held } = system.settings;
    const verified = await system.custody('audit', 'verify', file, '--key', keys, '--checkpoint', held);
    console.info(verified.stdout);
    expect(verified.stdout).toContain('the log begins so');
    const changed = verified.stdout.split('\n').filter((line) => line.startsWith('CHANGED'));
    // The erasure after the backup, whose entries were in Kafka alone.
    expect(changed.length).toBeGreaterThan(0);
    for (const line of changed) expect(line).toContain('its entry is gone');
    for (const [what, seconds] of secondsOf) console.info(`${what}: ${seconds.toFixed(1)} s`);
  });

  /** Templates as ingest writes them, and their objects, which are random: they are copied, and never looked at. */
  async function makeUp(at: RunningSystem): Promise<void> {
    if (MADE_UP === 0) return;
    const { modelId, manifest } = await modelPackForTests();
    const images = await openImageStore(at.settings);
    const kafka = new KafkaClient({ brokers: at.settings.KAFKA_BROKERS, clientId: 'test', log: silentLog });
    const publisher = kafka.publisher();
    const object = randomBytes(OBJECT_BYTES);
    for (let i = 0; i < MADE_UP; i++) {
      const [imageId, subjectId] = [`made-up-${i}` as ImageId, `person-${i}` as SubjectId];
      const vector = Float32Array.from({ length: manifest.embedder.dimension }, () => Math.random() - 0.5);
      const norm = Math.hypot(...vector);
      const template = {
        modelId,
        metadata: { imageId, subjectId },
        source: { sourceOffset: 0 as Offset, acceptedAtMs: Date.now() },
      };
      const published = publisher.publish({
        topic: galleryTemplates(modelId),
        key: imageId,
        value: encodeTemplate(vector.map((x) => x / norm)),
        headers: templateHeaders(template, '/test'),
      });
      await images.put(custodyImageName(imageId, 0 as Offset), object);
      await published;
    }
    await kafka.close();
    await eventually(async () => {
      expect((await search(at)).gallery.enrolled).toBe(sample.manifest.enrolled.length + MADE_UP);
    });
  }
});
