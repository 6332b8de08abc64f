/**
 * `npm start`: everything on this machine. A real Kafka unless one is given, the topics, the three services as processes
 * of their own, the sample gallery and a first search; then it stays until it is told to end.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { desiredTopics } from '#contracts/topics.js';
import { describeError, Failure, Refusal } from '#domain/errors.js';
import { loadModelPack, type ModelPack } from '#face/model-pack.js';
import type { SamplePhotographs } from '#face/sample-manifest.js';
import { isPortFree } from '#kafka/free-port.js';
import { KafkaClient } from '#kafka/kafka-client.js';
import { LocalBroker } from '#kafka/local-broker.js';
import { resolveKafkaJars } from '#kafka/local-broker-jars.js';
import { cacheFolder } from '#platform/cache-folder.js';
import { kafkaConnection } from '#platform/kafka-settings.js';
import { createLog } from '#platform/log.js';
import { readSettings, type Settings } from '#platform/settings.js';
import { enrolImages } from './enrol.js';
import type { GalleryLayout } from './gallery-layout.js';
import { GalleryProcesses } from './gallery-processes.js';
import { GenerationProcesses } from './generation-processes.js';
import { ensureLocalKeys, signLocalToken } from './local-keys.js';
import { localModelPackFolder, localSample } from './local-assets.js';
import { LocalReplicas } from './local-replicas.js';
import { describe } from './search.js';
import { ServiceClient } from './service-client.js';
import { Supervisor } from './supervisor.js';
import type { SearchAnswer } from '#domain/search-answer.js';

const READY_MS_MAX = 180_000;
/** What keeps a service from starting does not pass by starting it again for minutes. */
const DEATHS_MAX = 4;
const POLL_MS = 200;
const DECIDED_AGAINST: ReadonlySet<string> = new Set(['SEARCH_SUSPENDED', 'MODEL_NOT_APPROVED']);

/** As it is written after `--`: what is left out follows from the environment, or from the run before. */
export interface LayoutFlags {
  readonly shards?: number;
  readonly replicas?: number;
}

export async function up(environment: NodeJS.ProcessEnv, flags: LayoutFlags = {}): Promise<void> {
  const startedAtMs = Date.now();
  const ending = new Ending();
  try {
    await new LocalSystem(environment, ending, flags).start(startedAtMs);
  } catch (error) {
    // When it was told to end meanwhile, what broke because of that is not news.
    if (!ending.begun) {
      process.exitCode = 1;
      await ending.run();
      throw error;
    }
  }
  await ending.done;
}

class LocalSystem {
  private readonly ownsBroker: boolean;
  private settings: Settings;

  constructor(
    private readonly environment: NodeJS.ProcessEnv,
    private readonly ending: Ending,
    private readonly flags: LayoutFlags,
  ) {
    this.settings = readSettings(environment);
    this.ownsBroker = (environment['KAFKA_BROKERS'] ?? '') === '';
  }

  async start(startedAtMs: number): Promise<void> {
    await this.checkPorts();
    await mkdir(this.settings.DATA_DIR, { recursive: true });
    const gallery = await GalleryProcesses.open(this.settings, say, this.layoutAsked());
    await ensureLocalKeys(this.settings);
    const wantsSample = this.environment['SAMPLE_GALLERY'] !== 'off';
    // All three at once, but the first that fails ends the start.
    const [packFolder, sample] = await Promise.all([
      localModelPackFolder(say),
      wantsSample ? localSample(say) : undefined,
      this.ownsBroker ? this.startBroker() : undefined,
    ]);
    const pack = await loadModelPack(packFolder);
    this.settings = { ...this.settings, MODEL_PACK_DIR: packFolder };
    sayLicence(pack);
    await this.applyTopics(pack);
    await this.startServices(gallery, pack);
    if (sample !== undefined) await this.enrolSample(sample);
    if (sample !== undefined) await this.firstSearch(sample);
    await this.sayWhatNext(startedAtMs, gallery);
  }

  /** What this start asks for; undefined when it says nothing of the layout, so that it stays what it is. */
  private layoutAsked(): GalleryLayout | undefined {
    const { shards, replicas } = this.flags;
    const said = [shards, replicas, this.environment['SHARDS'] || undefined, this.environment['REPLICAS'] || undefined];
    if (said.every((one) => one === undefined)) return undefined;
    return { shards: shards ?? this.settings.SHARDS, replicas: replicas ?? this.settings.REPLICAS };
  }

  private async checkPorts(): Promise<void> {
    for (const name of ['QUERY_PORT', 'INGEST_PORT', 'INDEX_PORT'] as const) {
      const port = this.settings[name];
      if (!(await isPortFree(port))) {
        throw new Failure(
          'PORT_IN_USE',
          `Port ${port} is in use: stop what uses it, or set ${name} to another port.`,
          false,
        );
      }
    }
  }

  private async startBroker(): Promise<void> {
    const jarsFolder = await resolveKafkaJars(cacheFolder(), say);
    say(`starting Kafka on 127.0.0.1:${this.settings.KAFKA_PORT}`);
    const broker = await LocalBroker.start({
      dataFolder: join(this.settings.DATA_DIR, 'kafka'),
      port: this.settings.KAFKA_PORT,
      jarsFolder,
      portVariable: 'KAFKA_PORT',
    });
    this.ending.before(() => broker.stop());
    broker.onExit((code, signal) => {
      if (this.ending.begun) return;
      say(
        `Kafka ended (${signal ?? `code ${code}`}), see ${join(this.settings.DATA_DIR, 'kafka', 'broker.log')}; ending everything`,
      );
      process.exitCode = 1;
      this.ending.endProcess();
    });
  }

  private async applyTopics(pack: ModelPack): Promise<void> {
    const { KAFKA_REPLICATION: replication, TOPIC_PROFILE: profile } = this.settings;
    const client = new KafkaClient({
      ...kafkaConnection(this.settings),
      clientId: 'custody-up',
      log: createLog('up', 'error'),
    });
    try {
      const report = await client
        .topicAdmin()
        .applyTopics(desiredTopics({ modelId: pack.modelId, profile, replication }), this.ownsBroker);
      const { created, unchanged } = report;
      if (created.length > 0) say(`${created.length} topics created`);
      if (unchanged.length > 0) say(`${unchanged.length} topics as they should be`);
      for (const { topic, setting, wanted, found } of report.differing) {
        say(`${topic}: ${setting} is ${found}, wanted ${wanted}`);
      }
    } finally {
      await client.close();
    }
  }

  private async startServices(gallery: GalleryProcesses, pack: ModelPack): Promise<void> {
    // Again: Kafka and the fetching took their time.
    await this.checkPorts();
    await gallery.untilFormerOnesEnded();
    const supervisor = new Supervisor(
      {
        ...this.environment,
        DATA_DIR: this.settings.DATA_DIR,
        KAFKA_BROKERS: this.settings.KAFKA_BROKERS.join(','),
        MODEL_PACK_DIR: this.settings.MODEL_PACK_DIR,
        LOG_LEVEL: this.environment['LOG_LEVEL'] ?? 'warn',
      },
      say,
    );
    this.ending.before(() => supervisor.stop());
    for (const service of ['ingest', 'query'] as const) supervisor.start({ name: service, service });
    await gallery.start(supervisor);
    const all = [
      { name: 'ingest', port: this.settings.INGEST_PORT },
      { name: 'query', port: this.settings.QUERY_PORT },
      ...gallery.processes,
    ];
    await Promise.all(all.map(({ name, port }) => this.untilReady(supervisor, name, port)));
    say('ingest, index and query are ready');
    this.followLayout(gallery, supervisor, pack);
  }

  /** From now on, so that a change that was begun before goes on. */
  private followLayout(gallery: GalleryProcesses, supervisor: Supervisor, pack: ModelPack): void {
    const stopping = new AbortController();
    const replicas = new LocalReplicas(
      new ServiceClient(this.settings, 'auditor', 'custody-up'),
      new ServiceClient(this.settings, 'data-protection', 'custody-up'),
      pack.modelId,
    );
    this.ending.before(() => {
      stopping.abort();
      return Promise.resolve();
    });
    void gallery.follow(supervisor, replicas, stopping.signal);
    void new GenerationProcesses(this.settings, supervisor, say).follow(stopping.signal);
  }

  private async untilReady(supervisor: Supervisor, name: string, port: number): Promise<void> {
    const deadline = Date.now() + READY_MS_MAX;
    while (!this.ending.begun) {
      const response = await fetch(`http://127.0.0.1:${port}/health/ready`).catch(() => undefined);
      // What answers while the service is dead is another process on its port.
      if (response?.ok === true && supervisor.isRunning(name)) return;
      if (supervisor.deathsOf(name) >= DEATHS_MAX) {
        throw new Failure(
          'SERVICE_NOT_READY',
          `${name} ended ${DEATHS_MAX} times before it was ready: the lines above say why.`,
          false,
        );
      }
      if (Date.now() > deadline) {
        const waitingFor = response === undefined ? 'it does not answer' : await response.text();
        throw new Failure(
          'SERVICE_NOT_READY',
          `${name} is not ready after ${READY_MS_MAX / 1000} s: ${waitingFor}`,
          false,
        );
      }
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  private async enrolSample(sample: SamplePhotographs): Promise<void> {
    const images = sample.manifest.enrolled.map((face) => ({
      image: { imageId: face.imageId, subjectId: face.subjectId, face: face.face, force: 'sample' },
      contentType: 'image/jpeg',
      read: () => sample.read(face),
    }));
    const { sent, counts, earlier } = await enrolImages(
      this.settings,
      { source: 'sample-gallery', restart: false },
      () => Promise.resolve(Readable.from(images)),
    );
    const enrolled = counts.find(({ outcome }) => outcome === 'enrolled')?.records ?? 0;
    if (sent > 0) say(`sample gallery: ${enrolled} of ${images.length} faces enrolled`);
    else say(`sample gallery: ${earlier} faces enrolled earlier`);
  }

  private async firstSearch({ manifest, read }: SamplePhotographs): Promise<void> {
    const { probe } = manifest;
    const form = new FormData();
    form.set('image', new Blob([new Uint8Array(await read(probe))]), `${probe.photograph}.jpg`);
    form.set('face', String(probe.face));
    form.set('grounds', 'missing');
    form.set('justification', 'Demonstration search of npm start with a sample photograph.');
    form.set('identityUnconfirmed', 'true');
    form.set('deviceId', 'demonstration');
    const client = new ServiceClient(this.settings, 'officer', 'demonstration');
    let answer: SearchAnswer & { readonly statement: string };
    try {
      answer = await client.call('POST', '/v1/searches/operator', form);
    } catch (error) {
      // What people have decided about searching holds for a demonstration too, and is no reason not to start.
      if (!(error instanceof Refusal) || !DECIDED_AGAINST.has(error.code)) throw error;
      say(`\nNo first search: ${error.code}: ${error.publicText}`);
      return;
    }
    say(
      `\nA first search: face ${probe.face} of ${probe.photograph}, which is not in the gallery; another picture of the same person is.`,
    );
    say(describe(answer, answer.statement));
  }

  private async sayWhatNext(startedAtMs: number, gallery: GalleryProcesses): Promise<void> {
    const query = `http://127.0.0.1:${this.settings.QUERY_PORT}`;
    const token = await signLocalToken(this.settings, ['officer'], 'local-user');
    say(`query   ${query}          (API documentation at ${query}/docs)`);
    say(`ingest  http://127.0.0.1:${this.settings.INGEST_PORT}`);
    for (const { name, port } of gallery.processes) say(`index   http://127.0.0.1:${port}${nameIfNot('index', name)}`);
    say(`Kafka   ${this.settings.KAFKA_BROKERS.join(',')}`);
    say(`data    ${this.settings.DATA_DIR}\n`);
    say(
      `A token for an officer, good for 15 minutes (another: npm run -s custody -- token --role officer):\n${token}\n`,
    );
    say('Try:');
    say('  npm run custody -- enrol <folder> --face central');
    say('  npm run custody -- search <image> --kind operator --grounds missing --identity-unconfirmed \\');
    say('      --justification "Found asleep at the station, cannot say who she is" --face largest');
    say(`  curl -s ${query}/v1/galleries -H "Authorization: Bearer $(npm run -s custody -- token --role auditor)"`);
    say(
      `\nUp after ${((Date.now() - startedAtMs) / 1000).toFixed(1)} s. Ctrl-C ends it; a second start finds everything as it was.`,
    );
  }
}

/** Ends everything once, last started first, on a signal or when the start fails. */
class Ending {
  private readonly steps: (() => Promise<void>)[] = [];
  private running: Promise<void> | undefined;
  private readonly finished = Promise.withResolvers<void>();
  readonly done = this.finished.promise;

  constructor() {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      process.on(signal, () => {
        say(`\n${signal}: ending`);
        this.endProcess();
      });
    }
  }

  get begun(): boolean {
    return this.running !== undefined;
  }

  before(step: () => Promise<void>): void {
    this.steps.push(step);
    // Started while everything was being ended.
    if (this.begun) void step();
  }

  /** The process too: what is still under way, such as a start that waits for something, is not waited for. */
  endProcess(): void {
    void this.run().then(() => process.exit());
  }

  run(): Promise<void> {
    this.running ??= (async () => {
      for (const step of this.steps.toReversed()) {
        await step().catch((error: unknown) => say(describeError(error)));
      }
      this.finished.resolve();
    })();
    return this.running;
  }
}

function sayLicence({ manifest, modelId }: ModelPack): void {
  const { licence } = manifest;
  say(`model ${manifest.name} ${manifest.version} (${modelId}), licence ${licence.spdx}, ${licence.holder}`);
  if (licence.evaluationOnly) say(`EVALUATION PACK, not for policing: ${licence.note}`);
}

function nameIfNot(usual: string, name: string): string {
  return name === usual ? '' : `          (${name})`;
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
