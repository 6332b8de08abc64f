/**
 * What the services make of Kafka, against kafkajs alone on the same broker in the same run, in turns: a query of a
 * small gallery and its merged answer against a bare echo, the replay of templates against a bare consumer; and what
 * each service costs while nobody asks anything.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { localModelPackFolder } from '../../apps/cli/src/local-assets.js';
import { encodeTemplate, templateHeaders } from '#contracts/template-record.js';
import { desiredTopics, galleryTemplates, type DesiredTopic } from '#contracts/topics.js';
import { imageId, offset, subjectId, type ModelId } from '#domain/ids.js';
import { loadModelPack } from '#face/model-pack.js';
import { faceLikeVector, seededRandom } from '#gallery/vectors-for-tests.js';
import { KafkaClient } from '#kafka/kafka-client.js';
import { silentLog } from '#testkit/kafka-test-helpers.js';
import { RunningSystem } from '#testkit/running-system.js';
import { LoadProcess } from './load-process.js';
import {
  figure,
  quantile,
  ratioAtLeast,
  ratioAtMost,
  median,
  timed,
  type BenchResult,
  type Figure,
  type Ratio,
} from './measure.js';
import { cpuMsByPart } from './process-cpu.js';

const ENROLLED = 1_000;
const ROUNDS = 6;
/** Calls a round by how many are under way at a time: some seconds each. */
const LOADS = [
  { inFlight: 1, calls: 400 },
  { inFlight: 50, calls: 3_000 },
  { inFlight: 200, calls: 5_000 },
];
const ROUND_TRIP_RATIO_MAX = 1.5;
const REPLAYED = 100_000;
const REPLAY_RATIO_MIN = 0.8;
const IDLE_SECONDS = 60;
const IDLE_PERCENT_MAX = 1;
/** Graphs are built and memory is handed back some seconds after the last template. */
const SETTLED_AFTER_MS = 30_000;
const PUBLISHED_AT_ONCE = 2_000;

interface Model {
  readonly modelId: ModelId;
  readonly dimension: number;
}

export async function benchKafka(): Promise<BenchResult> {
  const pack = await loadModelPack(await localModelPackFolder());
  const model = { modelId: pack.modelId, dimension: pack.manifest.embedder.dimension };
  const system = await RunningSystem.start(
    await RunningSystem.environment({ SAMPLE_GALLERY: 'off', LOG_LEVEL: 'error' }),
  );
  const brokers = system.settings.KAFKA_BROKERS;
  const kafka = new KafkaClient({ brokers, clientId: 'bench', log: silentLog });
  try {
    await publishTemplates(kafka, model, galleryTemplates(model.modelId), ENROLLED);
    await pause(SETTLED_AFTER_MS);
    const idle = await idleCpu(system);
    const environment = {
      KAFKA_BROKERS: brokers.join(','),
      MODEL_ID: model.modelId,
      DIMENSION: String(model.dimension),
    };
    const roundTrips = await benchRoundTrips(kafka, environment);
    const replay = await benchReplay(kafka, model, environment);
    const parts = [idle, roundTrips, replay];
    return { figures: parts.flatMap(({ figures }) => figures), ratios: parts.flatMap(({ ratios }) => ratios) };
  } finally {
    await kafka.close();
    await system.stopAndForget();
  }
}

async function idleCpu(system: RunningSystem): Promise<BenchResult> {
  const { DATA_DIR } = system.settings;
  const before = cpuMsByPart(DATA_DIR);
  const tookMs = await timed(() => pause(IDLE_SECONDS * 1000));
  const after = cpuMsByPart(DATA_DIR);
  const spentMs = (part: string): number => (after.get(part) ?? 0) - (before.get(part) ?? 0);
  const figures: Figure[] = [];
  const ratios: Ratio[] = [];
  for (const name of ['ingest', 'index', 'query']) {
    const percent = (100 * (spentMs(name) + spentMs(`${name}: faces`))) / tookMs;
    figures.push(figure(`${name}, idle for ${IDLE_SECONDS} s`, '% of a core', [percent]));
    ratios.push(ratioAtMost(`${name} idle, % of a core`, percent, IDLE_PERCENT_MAX));
  }
  return { figures, ratios };
}

async function benchRoundTrips(kafka: KafkaClient, environment: Record<string, string>): Promise<BenchResult> {
  const topics = { QUESTIONS: 'bench.questions', ECHOES: 'bench.echoes' };
  const config = { 'retention.ms': '60000', 'message.timestamp.type': 'LogAppendTime' };
  await kafka
    .topicAdmin()
    .applyTopics(Object.values(topics).map((name) => ({ name, partitions: 1, replication: 1, config })));
  const bare = { ...environment, ...topics };
  const echo = await LoadProcess.start('./reference/bare-echo.js', { ...bare, ROLE: 'echo' });
  const bareAsker = await LoadProcess.start('./reference/bare-echo.js', { ...bare, ROLE: 'asker' });
  const asker = await LoadProcess.start('./gallery-asker.js', environment);
  try {
    const sides = { gallery: asker, bare: bareAsker };
    for (const { inFlight, calls } of LOADS) {
      // Compiled code is what a service runs on.
      for (const side of Object.values(sides)) await side.order({ inFlight, count: calls });
    }
    const figures: Figure[] = [];
    const ratios: Ratio[] = [];
    for (const { inFlight, calls } of LOADS) {
      const rounds: Record<'gallery' | 'bare', number[][]> = { gallery: [], bare: [] };
      for (let round = 0; round < ROUNDS; round++) {
        for (const side of ['gallery', 'bare'] as const) {
          rounds[side].push(await sides[side].order<number[]>({ inFlight, count: calls }));
        }
      }
      for (const [name, p] of [
        ['p50', 0.5],
        ['p99', 0.99],
      ] as const) {
        const of = (side: 'gallery' | 'bare'): number[] => rounds[side].map((latencies) => quantile(latencies, p));
        const what = `${inFlight} in flight, ${name}`;
        figures.push(
          figure(`gallery query, ${what}`, 'ms', of('gallery')),
          figure(`bare echo, ${what}`, 'ms', of('bare')),
        );
        const pairs = of('gallery').map((ms, round) => ms / of('bare')[round]!);
        ratios.push(ratioAtMost(`gallery query / bare echo, ${what}`, median(pairs), ROUND_TRIP_RATIO_MAX));
      }
    }
    return { figures, ratios };
  } finally {
    for (const process of [echo, bareAsker, asker]) process.stop();
  }
}

async function benchReplay(
  kafka: KafkaClient,
  model: Model,
  environment: Record<string, string>,
): Promise<BenchResult> {
  const topic: DesiredTopic = {
    ...desiredTopics({ modelId: model.modelId, profile: 'production', replication: 1 }).find(
      ({ name }) => name === galleryTemplates(model.modelId),
    )!,
    name: 'bench.templates',
  };
  await kafka.topicAdmin().applyTopics([topic]);
  await publishTemplates(kafka, model, topic.name, REPLAYED);
  const bare = await LoadProcess.start('./reference/bare-replay.js', environment);
  const ours = await LoadProcess.start('./log-replay.js', environment);
  try {
    const order = { topic: topic.name, partitions: topic.partitions, records: REPLAYED };
    const rates: Record<'bare' | 'read' | 'parsed', number[]> = { bare: [], read: [], parsed: [] };
    // The first round of each is for the compiler.
    for (let round = 0; round <= ROUNDS; round++) {
      const rate = {
        bare: await bare.order<number>(order),
        read: await ours.order<number>({ ...order, parsed: false }),
        parsed: await ours.order<number>({ ...order, parsed: true }),
      };
      if (round > 0) for (const name of ['bare', 'read', 'parsed'] as const) rates[name].push(rate[name]);
    }
    const pairs = (name: 'read' | 'parsed'): number =>
      median(rates[name].map((rate, round) => rate / rates.bare[round]!));
    return {
      figures: [
        figure('replay of templates', 'records/s', rates.read),
        figure('the same, each made into what a shard applies', 'records/s', rates.parsed),
        figure('bare consumer of the same topic', 'records/s', rates.bare),
      ],
      ratios: [
        ratioAtLeast('replay / bare consumer', pairs('read'), REPLAY_RATIO_MIN),
        ratioAtLeast('replay, parsed too / bare consumer', pairs('parsed'), REPLAY_RATIO_MIN),
      ],
    };
  } finally {
    for (const process of [bare, ours]) process.stop();
  }
}

/** Templates of as many people, with the headers that ingest gives them. */
async function publishTemplates(kafka: KafkaClient, model: Model, topic: string, count: number): Promise<void> {
  const publisher = kafka.publisher();
  const random = seededRandom(count);
  const face = faceLikeVector(random, model.dimension);
  for (let sent = 0; sent < count;) {
    const records = [];
    for (; records.length < PUBLISHED_AT_ONCE && sent < count; sent++) {
      const id = imageId(`bench-${sent}`);
      // Of a replay nobody asks whose faces they are.
      const vector = count <= ENROLLED ? faceLikeVector(random, model.dimension) : face;
      const metadata = {
        imageId: id,
        subjectId: subjectId(`subject-${sent}`),
        force: 'kent',
        custodyReference: `C/${sent}`,
      };
      const source = { sourceOffset: offset(sent), acceptedAtMs: Date.now() };
      const headers = templateHeaders({ modelId: model.modelId, metadata, source }, '/custody-face-search/ingest');
      records.push({ topic, key: id, value: encodeTemplate(vector), headers });
    }
    await publisher.publishAll(records);
  }
  await publisher.close();
}
