/**
 * What a sustained enrolment costs those who search: an index process on its own broker, templates published at a steady
 * rate, searches over Kafka as the query service asks them. Windows without and with the enrolment take turns in one
 * process, so that both see the machine in the same mood; each begins when what the one before has left is done.
 */
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { mkdtemp, rm } from 'node:fs/promises';
import { GalleryClient } from '../../apps/query/src/searches/gallery-client.js';
import { localModelPackFolder } from '../../apps/cli/src/local-assets.js';
import { encodeTemplate, templateHeaders } from '#contracts/template-record.js';
import { galleryTemplates } from '#contracts/topics.js';
import type { SearchMode } from '#domain/gallery.js';
import { imageId, offset, subjectId } from '#domain/ids.js';
import { faceLikeVector, seededRandom, variantOf } from '#gallery/vectors-for-tests.js';
import { freePort } from '#kafka/free-port.js';
import type { Publisher } from '#kafka/publisher.js';
import { metric } from '#testkit/http-for-tests.js';
import { silentLog } from '#testkit/kafka-test-helpers.js';
import { openGalleryScene, type GalleryScene } from '../crash/crash-scene.js';
import { IndexProcess } from '../crash/index-process.js';
import { figure, median, quantile, timed, type BenchResult } from './measure.js';
import { loopSamples, watching } from './reference/event-loop-watch.js';

const GALLERY = 50_000;
/** Some six times what two cores of ingest give. */
const ENROL_PER_SECOND = 200;
const ENROL_TICK_MS = 50;
/** By then the shard builds its graph while it takes templates in, and does so as long as the enrolment lasts. */
const ENROL_WARM_UP_MS = 13_000;
const WINDOW_MS = 15_000;
const ROUNDS = 5;
const SEARCH_INTERVAL_MS = 20;
const WARM_UP_SEARCHES = 100;
const CANDIDATES = 6;
/** Records that are published before the first is waited for. */
const PUBLISHED_AT_ONCE = 2_000;
/** Templates differ from these; making each from nothing would take longer than enrolling it. */
const FACES = 2_000;
const GRAPH_WITHIN_MS = 1_800_000;
const SAY_INTERVAL_MS = 10_000;
const MODES: readonly SearchMode[] = ['auto', 'approximate'];
const RATIO_MAX = 3;
const EVENT_LOOP_MS_MAX = 20;
/** The watch writes what it saw a second later at most, or later where it could not look as often as it wished. */
const WATCH_WRITTEN_MS = 3_000;
const PENDING = 'custody_gallery_pending_templates{shard="0.0"}';

/** Milliseconds, by mode. */
type Latencies = Readonly<Record<SearchMode, number[]>>;

/** Of the index's main thread, a window after the other: see ./reference/event-loop-watch.ts. */
interface LoopP99 {
  readonly lateMs: number[];
  readonly workMs: number[];
}

export async function benchEnrolling(): Promise<BenchResult> {
  const folder = await mkdtemp(join(tmpdir(), 'enrolling-'));
  const watchFile = join(folder, 'event-loop');
  const scene = await openGalleryScene(await localModelPackFolder(), {
    LOG_LEVEL: 'info',
    ...watching(watchFile),
    // Writing the gallery to disk is another matter, and not what an enrolment costs.
    SNAPSHOT_INTERVAL_SECONDS: '86400',
  });
  const index = new IndexProcess(
    {
      name: 'bench',
      shards: 1,
      shard: 0,
      workers: 1,
      port: await freePort(),
      snapshotFolder: join(scene.folder, 'snapshots'),
    },
    scene.environment,
    () => undefined,
    (said) => say(`the index has ended:\n${said}`),
  );
  try {
    return await measure(scene, index, watchFile);
  } finally {
    await index.stop();
    await scene.close();
    await rm(folder, { recursive: true });
  }
}

async function measure(scene: GalleryScene, index: IndexProcess, watchFile: string): Promise<BenchResult> {
  const enrolment = new SteadyEnrolment(scene);
  await enrolment.enrol(GALLERY);
  say(`${GALLERY} templates are published`);
  index.start(new Map());
  await index.until('ready');
  const client = new GalleryClient(
    scene.kafka,
    scene.kafka.publisher(),
    scene.model.modelId,
    'bench',
    () => undefined,
    silentLog,
    (error) => {
      throw error;
    },
  );
  await client.start();
  try {
    const search = async (mode: SearchMode): Promise<void> => {
      const query = { probe: enrolment.probe(), limit: CANDIDATES, mode, filter: undefined, withinMs: 10_000 };
      const { missing } = await client.search(query);
      if (missing.length > 0) throw new Error(`${missing.length} partitions have not answered`);
    };
    const url = `http://127.0.0.1:${index.place.port}`;
    await untilGraphIsBuilt(url);
    for (let i = 0; i < WARM_UP_SEARCHES; i++) for (const mode of MODES) await search(mode);

    const idle: Latencies[] = [];
    const enrolling: Latencies[] = [];
    const idleLoop: LoopP99 = { lateMs: [], workMs: [] };
    const enrollingLoop: LoopP99 = { lateMs: [], workMs: [] };
    for (let round = 0; round < ROUNDS; round++) {
      await untilGraphIsBuilt(url);
      idle.push(await searchFor(WINDOW_MS, search, watchFile, idleLoop));
      enrolment.start();
      await pause(ENROL_WARM_UP_MS);
      enrolling.push(await searchFor(WINDOW_MS, search, watchFile, enrollingLoop));
      await enrolment.stop();
      say(`round ${round + 1} of ${ROUNDS} is done`);
    }
    return resultOf(idle, enrolling, idleLoop, enrollingLoop);
  } finally {
    await client.close();
  }
}

function resultOf(
  idle: readonly Latencies[],
  enrolling: readonly Latencies[],
  idleLoop: LoopP99,
  enrollingLoop: LoopP99,
): BenchResult {
  // Round by round: whatever else the machine does in one of them is not what an enrolment costs.
  const p99Ratio = (mode: SearchMode): number =>
    median(idle.map((window, round) => quantile(enrolling[round]![mode], 0.99) / quantile(window[mode], 0.99)));
  const figures = MODES.flatMap((mode) =>
    [0.5, 0.99].flatMap((p) =>
      ([['idle', idle] as const, ['enrolling', enrolling] as const] as const).map(([name, windows]) => {
        const rounds = windows.map((window) => quantile(window[mode], p));
        const value = quantile(
          windows.flatMap((window) => window[mode]),
          p,
        );
        return { ...figure(`search over Kafka, ${mode}, ${name}, p${p * 100}`, 'ms', rounds), value };
      }),
    ),
  );
  const loopMs = median(enrollingLoop.lateMs);
  return {
    figures: [
      figure(`enrolment beside ${GALLERY} templates`, 'templates/s', [ENROL_PER_SECOND]),
      ...figures,
      figure("the index's event loop is late, idle, p99", 'ms', idleLoop.lateMs),
      figure("the index's event loop is late, enrolling, p99", 'ms', enrollingLoop.lateMs),
      figure('of that its own work, idle, p99', 'ms CPU', idleLoop.workMs),
      figure('of that its own work, enrolling, p99', 'ms CPU', enrollingLoop.workMs),
    ],
    ratios: [
      ...MODES.map((mode) => {
        const value = p99Ratio(mode);
        return {
          name: `${mode} search p99, enrolling / idle`,
          value,
          goal: `<= ${RATIO_MAX}`,
          holds: value <= RATIO_MAX,
        };
      }),
      {
        name: `event loop p99, enrolling / ${EVENT_LOOP_MS_MAX} ms`,
        value: loopMs / EVENT_LOOP_MS_MAX,
        goal: '< 1',
        holds: loopMs < EVENT_LOOP_MS_MAX,
      },
    ],
  };
}

/** @param loop takes the event loop's p99 over the window */
async function searchFor(
  ms: number,
  search: (mode: SearchMode) => Promise<void>,
  watchFile: string,
  loop: LoopP99,
): Promise<Latencies> {
  const startedAtMs = Date.now();
  const latencies: Latencies = { auto: [], approximate: [], exact: [] };
  const endMs = performance.now() + ms;
  for (let i = 0; performance.now() < endMs; i++) {
    const mode = MODES[i % MODES.length]!;
    const tookMs = await timed(() => search(mode));
    latencies[mode].push(tookMs);
    await pause(Math.max(0, SEARCH_INTERVAL_MS - tookMs));
  }
  const endedAtMs = Date.now();
  await pause(WATCH_WRITTEN_MS);
  const { lateMs, workMs } = await loopSamples(watchFile, startedAtMs, endedAtMs);
  loop.lateMs.push(quantile(lateMs, 0.99));
  loop.workMs.push(quantile(workMs, 0.99));
  return latencies;
}

/** The gauge is set every five seconds; zero twice means that it is not one from before the last template. */
async function untilGraphIsBuilt(url: string): Promise<void> {
  const deadlineMs = Date.now() + GRAPH_WITHIN_MS;
  let saidAtMs = Date.now();
  for (let zeros = 0; zeros < 3; await pause(3_000)) {
    const pending = await metric(url, PENDING);
    zeros = pending === 0 ? zeros + 1 : 0;
    if (Date.now() > deadlineMs) throw new Error(`the graph is not built: ${pending} templates are pending`);
    if (zeros === 0 && Date.now() - saidAtMs > SAY_INTERVAL_MS) {
      saidAtMs = Date.now();
      say(`${pending} templates are not in the graph yet`);
    }
  }
}

/** New images, one after another, of faces that are made beforehand. */
class SteadyEnrolment {
  private readonly random = seededRandom(5);
  private readonly faces: Float32Array[];
  private readonly publisher: Publisher;
  private readonly underWay = new Set<Promise<unknown>>();
  private failure: Error | undefined;
  private timer: NodeJS.Timeout | undefined;
  private owed = 0;
  private images = 0;

  constructor(private readonly scene: GalleryScene) {
    this.publisher = scene.kafka.publisher();
    this.faces = Array.from({ length: FACES }, () => faceLikeVector(this.random, scene.model.dimension));
  }

  async enrol(count: number): Promise<void> {
    for (let i = 0; i < count; i++) {
      this.publish();
      if (this.underWay.size >= PUBLISHED_AT_ONCE) await Promise.all(this.underWay);
    }
    await this.stop();
  }

  start(): void {
    this.timer = setInterval(() => {
      this.owed += (ENROL_PER_SECOND * ENROL_TICK_MS) / 1000;
      for (; this.owed >= 1; this.owed--) this.publish();
    }, ENROL_TICK_MS);
  }

  async stop(): Promise<void> {
    clearInterval(this.timer);
    await Promise.all(this.underWay);
    if (this.failure !== undefined) throw this.failure;
  }

  /** Near one of the faces. */
  probe(): Float32Array {
    return variantOf(this.face(), this.random, 0.4);
  }

  private face(): Float32Array {
    return this.faces[Math.floor(this.random() * FACES)]!;
  }

  private publish(): void {
    const number = this.images++;
    const id = imageId(`image-${number}`);
    const published = this.publisher
      .publish({
        topic: galleryTemplates(this.scene.model.modelId),
        key: id,
        value: encodeTemplate(variantOf(this.face(), this.random, 1.5)),
        headers: templateHeaders(
          {
            modelId: this.scene.model.modelId,
            metadata: { imageId: id, subjectId: subjectId(`subject-${number}`), force: 'force' },
            source: { sourceOffset: offset(number), acceptedAtMs: Date.now() },
          },
          '/custody-face-search/ingest',
        ),
      })
      .catch((error: Error) => {
        this.failure ??= error;
      })
      .finally(() => this.underWay.delete(published));
    this.underWay.add(published);
  }
}

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
