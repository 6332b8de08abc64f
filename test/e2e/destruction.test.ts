/**
 * After the receipt nothing of an erased image is left: not on any disk of ours, nor in the memory of any process of ours,
 * as it was sent, as it was stored, as a template, as the engines code it, or as text. With two replicas of the gallery,
 * on a real broker and a real face.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { cp, readdir, rm, writeFile } from 'node:fs/promises';
import { createHash, randomUUID } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { custodyImageHeaders } from '#contracts/custody-image.js';
import { galleryQueryHeaders, parseGalleryReply, type GalleryReply } from '#contracts/gallery-query.js';
import { decodeTemplate, encodeTemplate } from '#contracts/template-record.js';
import {
  AUDIT_ENTRIES,
  CUSTODY_IMAGES,
  GALLERY_QUERIES,
  GALLERY_REPLIES,
  galleryTemplates,
  REPLY_PARTITIONS,
} from '#contracts/topics.js';
import { imageId, subjectId, type ModelId } from '#domain/ids.js';
import { stripJpeg } from '#face/jpeg-strip.js';
import type { SampleFace, SamplePhotographs } from '#face/sample-manifest.js';
import { freePort } from '#kafka/free-port.js';
import { KafkaClient } from '#kafka/kafka-client.js';
import type { LogReader } from '#kafka/log-reader.js';
import { overwritingFreed } from '#platform/freed-memory.js';
import { ByteTraces, type Trace } from '#testkit/byte-traces.js';
import { faceImage } from '#testkit/face-images-for-tests.js';
import { answerOf, call, metric } from '#testkit/http-for-tests.js';
import { eventually, silentLog } from '#testkit/kafka-test-helpers.js';
import { modelPackForTests, samplePhotographsForTests } from '#testkit/model-pack-for-tests.js';
import { processesOf, RunningSystem } from '#testkit/running-system.js';
import { lastOfKey, readTopic } from '#testkit/topic-for-tests.js';

/** What is promised. */
const UNSEARCHABLE_MS = 2_000;
const DESTROYED_MS = 60_000;
/** After a restart or a repair. */
const COLLECTED_MS = 45_000;
const INDEX_MAIN = fileURLToPath(new URL('../../dist/apps/index/src/main.js', import.meta.url));
const why = { reason: 'The request of the person was upheld', authority: 'DPA 2018 s.47' };

const SEARCHABLE = 'custody_gallery_templates{shard="0.0",state="searchable"}';
const PENDING = 'custody_gallery_pending_templates{shard="0.0"}';

interface ShownErasure {
  readonly erasureId: string;
  readonly state: string;
  readonly images: readonly { readonly destroyed: Record<string, string | null> }[];
}

describe('an erased image', { timeout: 600_000 }, () => {
  let system: RunningSystem;
  let kafka: KafkaClient;
  let modelId: ModelId;
  let dimension: number;
  let sample: SamplePhotographs;
  let face: SampleFace;
  let second: { readonly child: ChildProcess; readonly url: string; readonly snapshots: string };
  let traces: ByteTraces;
  let template: Float32Array;
  /** The template's closest neighbour, which shares no run of bytes with it. */
  let probe: Float32Array;
  let sent: Buffer;
  /** All forms as text, which nothing of ours writes. */
  let base64: string;
  /** Its template as ingest wrote it, kept by somebody who paused. */
  let late: { readonly key: Buffer | null; readonly value: Buffer; readonly headers: Readonly<Record<string, string>> };
  const replies: GalleryReply[] = [];
  let reader: LogReader;
  const image = `erased-${randomUUID()}`;
  /** A snapshot that holds it, outside of everything. */
  const kept = join(tmpdir(), `snapshots-kept-${image}`);

  beforeAll(async () => {
    const pack = await modelPackForTests();
    ({ modelId } = pack);
    ({ dimension } = pack.manifest.embedder);
    sample = await samplePhotographsForTests();
    face = sample.manifest.enrolled[0]!;
    system = await RunningSystem.start(
      await RunningSystem.environment({ RATE_LIMIT: '10000', SNAPSHOT_INTERVAL_SECONDS: '86400' }),
    );
    kafka = new KafkaClient({ brokers: system.settings.KAFKA_BROKERS, clientId: 'test', log: silentLog });
    second = await startSecondReplica();
    reader = kafka.logReader({
      topic: GALLERY_REPLIES,
      partitions: Array.from({ length: REPLY_PARTITIONS }, (_, partition) => partition),
      from: 'end',
      onBatch: ({ records }) => {
        replies.push(...records.map(({ value }) => parseGalleryReply(value)));
        return Promise.resolve();
      },
      onFatal: () => undefined,
    });
    await reader.start();
  });

  afterAll(async () => {
    second?.child.kill('SIGKILL');
    await kafka?.close();
    await rm(kept, { recursive: true, force: true });
    await system?.stopAndForget();
  });

  /** The graph is built when a shard has been quiet for a moment, and what is not in it is in no file of it. */
  async function isInGraph(url: string, searchableBefore: number): Promise<void> {
    await eventually(
      async () => {
        expect(await metric(url, SEARCHABLE)).toBeGreaterThan(searchableBefore);
        expect(await metric(url, PENDING)).toBe(0);
      },
      { timeoutMs: 60_000, intervalMs: 500 },
    );
  }

  async function startSecondReplica(): Promise<typeof second> {
    const port = await freePort();
    const snapshots = join(system.settings.DATA_DIR, 'snapshots-of-second');
    const child = spawn(process.execPath, [INDEX_MAIN], {
      env: {
        ...overwritingFreed(process.env),
        ...system.environment,
        KAFKA_BROKERS: system.settings.KAFKA_BROKERS.join(','),
        MODEL_PACK_DIR: (await modelPackForTests()).folder,
        INDEX_PORT: String(port),
        SNAPSHOT_DIR: snapshots,
        REPLICA_ID: 'second',
      },
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    const url = `http://127.0.0.1:${port}`;
    await eventually(async () => expect((await call('GET', `${url}/health/ready`)).status).toBe(200), {
      timeoutMs: 60_000,
      intervalMs: 200,
    });
    return { child, url, snapshots };
  }

  /** By replica, whether it returns the image for its own template. */
  async function returnedBy(): Promise<ReadonlyMap<string, boolean>> {
    const queryId = randomUUID();
    const query = { queryId, modelId, k: 1, mode: 'exact' as const, deadlineMs: Date.now() + 5_000, replyPartition: 0 };
    await kafka.publisher().publish({
      topic: GALLERY_QUERIES,
      key: null,
      value: encodeTemplate(probe),
      headers: galleryQueryHeaders(query, '/test'),
    });
    return eventually(
      () => {
        const own = replies.filter((reply) => reply.queryId === queryId);
        expect(own).toHaveLength(2);
        return new Map(
          own.map(({ replicaId, candidates }) => [replicaId, candidates.some(({ imageId }) => imageId === image)]),
        );
      },
      { intervalMs: 5 },
    );
  }

  async function writeSnapshots(): Promise<void> {
    const token = await system.token('service');
    for (const url of [system.indexUrl, second.url]) {
      expect((await call('POST', `${url}/v1/snapshots`, token)).status).toBe(204);
    }
  }

  /** In files, and in the memory of every process but the broker's. */
  async function everywhere(): Promise<{ ours: readonly Trace[]; broker: readonly Trace[] }> {
    const { DATA_DIR } = system.settings;
    const ours = [...(await traces.inFiles(DATA_DIR))];
    const broker: Trace[] = [];
    for (const line of processesOf(DATA_DIR)) {
      const [pid, ...args] = line.split(' ');
      const isBroker = args[0] === 'java';
      const name = isBroker
        ? 'broker'
        : `${pid} ${args.find((arg) => arg.endsWith('.js'))?.split('dist/')[1] ?? args[0]}`;
      (isBroker ? broker : ours).push(...(await traces.inMemoryOf(Number(pid), name)));
    }
    return { ours, broker };
  }

  const stored = async (): Promise<string[]> => {
    const digest = createHash('sha256').update(image).digest('hex');
    const names = await readdir(system.settings.IMAGE_STORE_DIR, { recursive: true });
    return names.filter((name) => name.includes(digest));
  };

  async function publishImage(): Promise<void> {
    const about = { imageId: imageId(image), subjectId: subjectId(`person-${image}`) };
    const headers = custodyImageHeaders(about, '/custody-suite', 'image/jpeg');
    await kafka.publisher().publish({ topic: CUSTODY_IMAGES, key: image, value: sent, headers });
  }

  async function enrol(): Promise<void> {
    sent = await sharp(await faceImage(sample, face, 3))
      .jpeg({ quality: 93 })
      .withExif({ IFD0: { Artist: `custody camera ${randomUUID()} `.repeat(8) } })
      .toBuffer();
    const token = await system.token('service');
    const response = await fetch(`${system.ingestUrl}/v1/images/${image}?subjectId=person-${image}`, {
      method: 'PUT',
      headers: {
        authorization: `Bearer ${token}`,
        'content-type': 'image/jpeg',
      },
      body: new Uint8Array(sent),
    });
    expect([response.status, await response.text()]).toMatchObject([202, expect.anything()]);
    const last = await eventually(async () => {
      const record = lastOfKey(await readTopic(kafka, galleryTemplates(modelId))).get(image);
      expect(record?.value).toBeInstanceOf(Buffer);
      return record!;
    });
    template = decodeTemplate(last.value!, dimension);
    const near = template.map((value, i) => value + (i % 2 === 0 ? 0.001 : -0.001));
    const norm = Math.hypot(...near);
    probe = near.map((value) => value / norm);
    const others: Buffer[] = [];
    for (const other of sample.manifest.enrolled.slice(1, 4)) {
      const bytes = await sharp(await faceImage(sample, other, 3))
        .jpeg({ quality: 93 })
        .toBuffer();
      others.push(bytes, stripJpeg(bytes)!);
    }
    const forms = {
      'JPEG as sent': sent,
      'JPEG as stored': stripJpeg(sent)!,
      'template f32': encodeTemplate(template),
      'template int8': int8Codes(template),
      'template f64': Buffer.from(Float64Array.from(template).buffer),
    };
    traces = new ByteTraces(forms, others);
    base64 = Object.values(forms)
      .map((bytes) => bytes.toString('base64'))
      .join('\n');
    const { key, value, headers } = last;
    late = { key, value: Buffer.from(value!), headers };
  }

  function textOf(found: readonly Trace[]): readonly string[] {
    return found.map(({ where, form, pieces }) => `${where}: ${form}, ${pieces} pieces`);
  }

  async function shown(erasureId: string): Promise<ShownErasure> {
    const token = await system.token('data-protection');
    return answerOf<ShownErasure>(await call('GET', `${system.queryUrl}/v1/erasures/${erasureId}`, token));
  }

  /** What a process has freed and not overwritten goes with the next collection, some seconds after the erasure. */
  async function expectNowhere(): Promise<void> {
    await eventually(async () => expect(textOf((await everywhere()).ours)).toEqual([]), {
      timeoutMs: COLLECTED_MS,
      intervalMs: 1_000,
    });
    expect(await stored()).toEqual([]);
  }

  test('is found before, in each form, by what searches for it', async () => {
    const before = await Promise.all([system.indexUrl, second.url].map((url) => metric(url, SEARCHABLE)));
    await enrol();
    await eventually(async () => expect([...(await returnedBy()).values()]).toEqual([true, true]));
    for (const [i, url] of [system.indexUrl, second.url].entries()) await isInGraph(url, before[i]!);
    await writeSnapshots();
    await cp(second.snapshots, kept, { recursive: true });
    const planted = join(system.settings.DATA_DIR, 'planted.txt');
    await writeFile(planted, base64);
    const { ours } = await everywhere().finally(() => rm(planted));
    const forms = new Set(ours.map(({ form }) => form));
    const text = ['JPEG as sent base64', 'template f32 base64', 'template int8 base64'];
    expect([...forms]).toEqual(expect.arrayContaining(['JPEG as sent', 'template f32', 'template int8', ...text]));
    const places = textOf(ours).join('\n');
    for (const place of [
      /kafka.logs.custody\.images.*JPEG/,
      /kafka.logs.gallery\.templates.*template f32/,
      /snapshots.shard-0-of-1.*vectors\.f32: template f32/,
      /snapshots-of-second.*hnsw\.bin: template f32/,
      // What ingest and its processes held of the picture may be overwritten by now: freed memory is.
      /index.*template int8/,
    ]) {
      expect(places).toMatch(place);
    }
    expect(await stored()).toHaveLength(1);
  });

  test('is returned by no replica within 2 s, and is nowhere when the receipt says so, within 60 s', async () => {
    const token = await system.token('data-protection');
    const askedAtMs = performance.now();
    const url = `${system.queryUrl}/v1/erasures`;
    const { erasureId } = answerOf<ShownErasure>(await call('POST', url, token, { imageId: image, ...why }));
    await eventually(async () => expect([...(await returnedBy()).values()]).toEqual([false, false]), {
      timeoutMs: UNSEARCHABLE_MS,
      intervalMs: 10,
    });
    const unsearchableMs = performance.now() - askedAtMs;
    const open = answerOf<{ notDestroyed: readonly { imageId: string }[] }>(await call('GET', url, token));
    expect(open.notDestroyed.map(({ imageId }) => imageId)).toEqual([image]);
    expect((await shown(erasureId)).state).toBe('CARRYING_OUT');
    const done = await eventually(
      async () => {
        const now = await shown(erasureId);
        expect(now.state).toBe('DONE');
        return now;
      },
      { timeoutMs: DESTROYED_MS, intervalMs: 500 },
    );
    const destroyedMs = performance.now() - askedAtMs;
    console.log(
      `unsearchable on both replicas after ${Math.round(unsearchableMs)} ms, destroyed after ${Math.round(destroyedMs)} ms`,
    );
    const instant = expect.stringMatching(/^\d{4}-/) as string;
    const replicas = [...(await returnedBy()).keys()].map((id) => `replica/${modelId}/0-of-1/${id.split('/')[0]}`);
    expect(replicas).toHaveLength(2);
    expect(done.images[0]!.destroyed).toEqual(
      Object.fromEntries(
        ['image-store', 'images-log', `templates-log/${modelId}`, ...replicas, 'register'].map((store) => [
          store,
          instant,
        ]),
      ),
    );
    const { broker } = await everywhere();
    console.log(`in the broker's own memory: ${textOf(broker).join('; ') || 'nothing'}`);
    await expectNowhere();
    const actions = (await readTopic(kafka, AUDIT_ENTRIES))
      .map(({ value }) => JSON.parse(String(value)) as { action: string; imageIds?: string[] })
      .filter(({ imageIds }) => imageIds?.includes(image) === true)
      .map(({ action }) => action);
    expect(actions).toContain('erasure-destroyed');
  });

  test('is still gone when an old snapshot is put back, and nowhere once that is repaired', async () => {
    second.child.kill('SIGKILL');
    await rm(second.snapshots, { recursive: true });
    await cp(kept, second.snapshots, { recursive: true });
    expect((await traces.inFiles(second.snapshots)).length).toBeGreaterThan(0);
    second = await startSecondReplica();
    expect([...(await returnedBy()).values()]).toEqual([false, false]);
    await eventually(async () => expect(await traces.inFiles(second.snapshots)).toEqual([]), { timeoutMs: 30_000 });
    await rm(kept, { recursive: true });
    await expectNowhere();
  });

  test('is still gone when the log is replayed from its beginning', async () => {
    const { SNAPSHOT_DIR } = system.settings;
    await system.restart('index', 'SIGKILL', () => rm(SNAPSHOT_DIR, { recursive: true, force: true }));
    await eventually(async () => expect([...(await returnedBy()).values()]).toEqual([false, false]));
    await expectNowhere();
  });

  test('is still gone when a process that slept wakes and publishes its template, and nowhere once that is repaired', async () => {
    await kafka.publisher().publish({ ...late, topic: galleryTemplates(modelId) });
    await eventually(async () => {
      expect(lastOfKey(await readTopic(kafka, galleryTemplates(modelId))).get(image)?.value).toBeNull();
    });
    expect([...(await returnedBy()).values()]).toEqual([false, false]);
    const url = `${system.queryUrl}/v1/erasures`;
    const token = await system.token('data-protection');
    const notDestroyed = async (): Promise<number> =>
      answerOf<{ notDestroyed: readonly object[] }>(await call('GET', url, token)).notDestroyed.length;
    await eventually(async () => expect(await notDestroyed()).toBe(1));
    await eventually(async () => expect(await notDestroyed()).toBe(0), { timeoutMs: DESTROYED_MS, intervalMs: 500 });
    await expectNowhere();
  });

  test('is still gone when ingest slept through its erasure, with the image on its way', async () => {
    const pid = system.pidOf('ingest');
    process.kill(pid, 'SIGSTOP');
    let erasureId: string;
    try {
      await publishImage();
      const token = await system.token('data-protection');
      const request = { imageId: image, ...why };
      ({ erasureId } = answerOf<ShownErasure>(await call('POST', `${system.queryUrl}/v1/erasures`, token, request)));
      await new Promise((resolve) => setTimeout(resolve, 3_000));
      expect((await shown(erasureId)).state).toBe('CARRYING_OUT');
    } finally {
      process.kill(pid, 'SIGCONT');
    }
    await eventually(async () => expect((await shown(erasureId)).state).toBe('DONE'), {
      timeoutMs: DESTROYED_MS,
      intervalMs: 500,
    });
    expect([...(await returnedBy()).values()]).toEqual([false, false]);
    await expectNowhere();
  });
});

/** As the exact engine codes it: a scale in float32, so that the greatest component is 127. */
function int8Codes(vector: Float32Array): Buffer {
  const step = Math.fround(vector.reduce((most, value) => Math.max(most, Math.abs(value)), 0) / 127);
  return Buffer.from(Int8Array.from(vector, (value) => Math.max(-127, Math.min(127, Math.round(value / step)))).buffer);
}
