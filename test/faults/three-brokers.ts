/**
 * `npm run test:brokers`: three brokers, replication 3, two of them in sync for each write. Images are sent and people
 * searched for all the time while each broker in turn is killed and comes back. Nothing may be refused, and every image
 * ends enrolled, once. Ends with one line, and with 1 when that does not hold.
 */
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { localModelPackFolder, localSample } from '../../apps/cli/src/local-assets.js';
import { ensureLocalKeys, signLocalToken } from '../../apps/cli/src/local-keys.js';
import { custodyImageHeaders } from '#contracts/custody-image.js';
import { parseOutcome } from '#contracts/outcome-record.js';
import { CUSTODY_IMAGES, CUSTODY_OUTCOMES, desiredTopics } from '#contracts/topics.js';
import { describeError } from '#domain/errors.js';
import { TEMPLATE_PARTITIONS } from '#domain/gallery.js';
import { imageId, subjectId } from '#domain/ids.js';
import { loadModelPack } from '#face/model-pack.js';
import { freePort } from '#kafka/free-port.js';
import { KafkaClient } from '#kafka/kafka-client.js';
import { readSettings } from '#platform/settings.js';
import { BrokerCluster } from '#testkit/broker-cluster.js';
import { faceImage } from '#testkit/face-images-for-tests.js';
import { call } from '#testkit/http-for-tests.js';
import { silentLog } from '#testkit/kafka-test-helpers.js';
import { unlessOffline } from '#testkit/model-pack-for-tests.js';
import { operatorForm } from '#testkit/search-forms-for-tests.js';
import { ServiceProcess, type ServiceKind } from './service-process.js';

const IMAGE_EVERY_MS = 250;
const SEARCH_EVERY_MS = 1_000;
/** Before the first broker is killed, after each is, and after each is back. */
const PHASE_MS = 10_000;
/** What was sent is waited for so long after the last was. */
const SETTLE_MS = 120_000;
/** On a machine that does much else, an answer takes its time; that one of three brokers is away must not show. */
const SEARCH_DEADLINE_MS = 10_000;

const fetched = await unlessOffline(Promise.all([localModelPackFolder(), localSample(() => undefined)]));
if (fetched === undefined) process.exit(0);
const [packFolder, sample] = fetched;
const folder = await mkdtemp(join(tmpdir(), 'custody-brokers-'));
const cluster = await BrokerCluster.start();
const { modelId } = await loadModelPack(packFolder);
const environment = {
  DATA_DIR: folder,
  KAFKA_BROKERS: cluster.brokers,
  KAFKA_REPLICATION: '3',
  MODEL_PACK_DIR: packFolder,
  INFERENCE_CONCURRENCY: '1',
  RATE_LIMIT: '100000',
  OPERATOR_SEARCH_DEADLINE_MS: String(SEARCH_DEADLINE_MS),
};
const settings = readSettings(environment);
await ensureLocalKeys(settings);
const kafka = new KafkaClient({ brokers: settings.KAFKA_BROKERS, clientId: 'brokers', log: silentLog });
const services: ServiceProcess[] = [];
const problems: string[] = [];
const sent = new Map<string, number>();
const enrolled = new Map<string, number>();
const tally = { searches: 0, incomplete: 0, slowestSearchMs: 0, slowestAcknowledgementMs: 0 };

try {
  await kafka.topicAdmin().applyTopics(desiredTopics({ modelId, profile: 'local', replication: 3 }));
  await mkdir(join(folder, 'logs'));
  for (const kind of ['ingest', 'index', 'query'] as const) services.push(await service(kind));
  for (const one of services) one.start();
  await Promise.all(services.map((one) => one.untilReady()));
  const outcomes = kafka.logReader({
    topic: CUSTODY_OUTCOMES,
    partitions: Array.from({ length: TEMPLATE_PARTITIONS }, (_, partition) => partition),
    from: 'beginning',
    onBatch: ({ records }) => {
      for (const { value } of records) take(value);
      return Promise.resolve();
    },
    onFatal: (error) => problems.push(describeError(error)),
  });
  await outcomes.start();

  const stopping = new AbortController();
  const load = [sendImages(stopping.signal), search(stopping.signal)];
  await pause(PHASE_MS);
  for (const id of [1, 2, 3]) {
    await cluster.kill9(id);
    say(`broker ${id} killed`);
    await pause(PHASE_MS);
    await cluster.startNode(id);
    say(`broker ${id} is back`);
    await pause(PHASE_MS);
  }
  stopping.abort();
  await Promise.all(load);
  for (const end = Date.now() + SETTLE_MS; Date.now() < end && enrolled.size < sent.size;) await pause(200);
} finally {
  await Promise.all(services.map((one) => one.stop()));
  await kafka.close();
  await cluster.dispose();
  await rm(folder, { recursive: true, force: true });
}

const lost = [...sent.keys()].filter((id) => !enrolled.has(id)).length;
const ended = services.reduce((sum, { endedByItself }) => sum + endedByItself, 0);
for (const problem of problems.slice(0, 20)) say(problem);
say(
  `brokers 3 killed 3 sent ${sent.size} enrolled ${enrolled.size} lost ${lost} refused ${problems.length} ` +
    `searches ${tally.searches} incomplete ${tally.incomplete} services ended ${ended} ` +
    `slowest acknowledgement ${tally.slowestAcknowledgementMs} ms slowest search ${tally.slowestSearchMs} ms`,
);
if (lost > 0 || problems.length > 0 || ended > 0 || sent.size === 0 || tally.searches === 0) process.exitCode = 1;

async function service(kind: ServiceKind): Promise<ServiceProcess> {
  const port = await freePort();
  const own = { ...environment, [`${kind.toUpperCase()}_PORT`]: String(port), REPLICA_ID: kind };
  return new ServiceProcess(kind, kind, own, `http://127.0.0.1:${port}`, join(folder, 'logs', `${kind}.log`));
}

async function sendImages(signal: AbortSignal): Promise<void> {
  const publisher = kafka.publisher();
  const { enrolled: faces, probe } = sample.manifest;
  const mate = faces.find((face) => face.subjectId === probe.subjectId)!;
  const image = await faceImage(sample, mate);
  const all: Promise<void>[] = [];
  for (let n = 0; !signal.aborted; n++) {
    const id = imageId(`image-${n}`);
    const headers = custodyImageHeaders(
      { imageId: id, subjectId: subjectId(mate.subjectId) },
      '/brokers',
      'image/jpeg',
    );
    const startedAtMs = Date.now();
    const record = { topic: CUSTODY_IMAGES, key: id, value: image, headers };
    sent.set(id, n);
    all.push(
      publisher.publish(record).then(
        () => {
          const tookMs = Date.now() - startedAtMs;
          tally.slowestAcknowledgementMs = Math.max(tally.slowestAcknowledgementMs, tookMs);
        },
        (error: unknown) => void problems.push(`image ${id}: ${describeError(error)}`),
      ),
    );
    await pause(IMAGE_EVERY_MS);
  }
  await Promise.all(all);
}

function take(value: Buffer | null): void {
  const outcome = parseOutcome(value);
  if (outcome.outcome === 'enrolled') enrolled.set(outcome.imageId, (enrolled.get(outcome.imageId) ?? 0) + 1);
  else problems.push(`${outcome.imageId}: ${JSON.stringify(outcome)}`);
}

async function search(signal: AbortSignal): Promise<void> {
  const url = `${services.find(({ kind }) => kind === 'query')!.url}/v1/searches/operator`;
  const probe = await faceImage(sample, sample.manifest.probe);
  while (!signal.aborted) {
    const token = await signLocalToken(settings, ['officer'], 'brokers-officer');
    const startedAtMs = Date.now();
    const { status, text } = await call('POST', url, token, operatorForm(probe));
    tally.searches++;
    tally.slowestSearchMs = Math.max(tally.slowestSearchMs, Date.now() - startedAtMs);
    if (status !== 200) problems.push(`search: ${status} ${text}`);
    else if (!(JSON.parse(text) as { complete: boolean }).complete) tally.incomplete++;
    await pause(SEARCH_EVERY_MS);
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
