/**
 * The whole system as pods of the node that this process runs in (`k8s-node/in`), beside a real Kafka: its keys, its
 * objects, its gallery of real faces, and officers who search it.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ensureLocalKeys, signLocalToken } from '../../apps/cli/src/local-keys.js';
import { imageIdOf, people, readProbe } from '../accuracy/faces.js';
import { PROJECT_FOLDER } from '../conventions/project-files.js';
import { parseOutcome } from '#contracts/outcome-record.js';
import { CUSTODY_OUTCOMES } from '#contracts/topics.js';
import type { Role } from '#domain/identity.js';
import type { SearchAnswer } from '#domain/search-answer.js';
import { KafkaClient } from '#kafka/kafka-client.js';
import { resolveKafkaJars } from '#kafka/local-broker-jars.js';
import { LocalBroker } from '#kafka/local-broker.js';
import { cacheFolder } from '#platform/cache-folder.js';
import { readSettings, type Settings } from '#platform/settings.js';
import { answerOf, call } from '#testkit/http-for-tests.js';
import { eventually, silentLog } from '#testkit/kafka-test-helpers.js';
import { OtlpReceiver } from '#testkit/otlp-receiver.js';
import { operatorForm } from '#testkit/search-forms-for-tests.js';
import { readTopic } from '#testkit/topic-for-tests.js';
import { apply, kubectl, NAMESPACE, untilReady } from './kubectl.js';
import { OfficerLoad, type Probe } from './officer-load.js';

/** Of the node, where pods reach what runs beside them. */
export const NODE_ADDRESS = '192.0.2.10';
const KAFKA_PORT = 9092;
/** Of OTLP over HTTP, as k8s/components/tracing has it. */
const COLLECTOR_PORT = 4318;
const [OWN_KAFKA_PORT, CONTROLLER_PORT] = [20_092, 20_093];
const SYSTEM_FOLDER = join(PROJECT_FOLDER, 'test', 'k8s', 'system');
const PEOPLE = 40;
const PROBES = 8;

/** What runs beside the pods, as the network policies know it: an address of a namespace of its own. */
function outsideOf(namespace: string, name: string, port: number): string {
  return `
apiVersion: v1
kind: Namespace
metadata: { name: ${namespace} }
---
apiVersion: v1
kind: Service
metadata: { name: ${name}, namespace: ${namespace} }
spec:
  ports: [{ name: ${name}, port: ${port} }]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: ${name}
  namespace: ${namespace}
  labels: { kubernetes.io/service-name: ${name}, k8s-node.test/stands-in-for: pod }
addressType: IPv4
ports: [{ name: ${name}, port: ${port}, protocol: TCP }]
endpoints: [{ addresses: ['${NODE_ADDRESS}'], conditions: { ready: true } }]
`;
}

export class PodsScene {
  readonly queryUrl = `http://query.${NAMESPACE}.svc.cluster.local`;
  readonly ingestUrl = `http://ingest.${NAMESPACE}.svc.cluster.local`;
  /** Those that are found while nothing is amiss. */
  probes: readonly Probe[] = [];
  /** Images in the gallery. */
  enrolled = 0;

  private constructor(
    readonly folder: string,
    private readonly settings: Settings,
    private readonly broker: LocalBroker,
    readonly kafka: KafkaClient,
    readonly collector: OtlpReceiver,
  ) {}

  static async open(): Promise<PodsScene> {
    const folder = await mkdtemp(join(tmpdir(), 'custody-pods-'));
    const broker = await LocalBroker.start({
      dataFolder: join(folder, 'kafka'),
      port: OWN_KAFKA_PORT,
      controllerPort: CONTROLLER_PORT,
      jarsFolder: await resolveKafkaJars(cacheFolder()),
      config: {
        listeners: `PLAINTEXT://127.0.0.1:${OWN_KAFKA_PORT},PODS://${NODE_ADDRESS}:${KAFKA_PORT},CONTROLLER://127.0.0.1:${CONTROLLER_PORT}`,
        'advertised.listeners': `PLAINTEXT://127.0.0.1:${OWN_KAFKA_PORT},PODS://kafka.kafka.svc:${KAFKA_PORT}`,
        'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,PODS:PLAINTEXT,CONTROLLER:PLAINTEXT',
      },
    });
    const settings = readSettings({
      DATA_DIR: folder,
      KAFKA_BROKERS: broker.brokers,
      AUTH_ISSUER: 'https://issuer.example',
    });
    await ensureLocalKeys(settings);
    const kafka = new KafkaClient({ brokers: [broker.brokers], clientId: 'test', log: silentLog });
    const collector = await OtlpReceiver.start(NODE_ADDRESS, COLLECTOR_PORT);
    return new PodsScene(folder, settings, broker, kafka, collector);
  }

  /** Applies everything, and resolves when all pods are ready. */
  async install(tag: 'current' | 'previous'): Promise<void> {
    const rendered = (await kubectl(['kustomize', SYSTEM_FOLDER])).replaceAll(':current', `:${tag}`);
    const namespace = rendered.split('---\n').find((object) => object.includes('kind: Namespace'))!;
    const outside = [
      outsideOf('kafka', 'kafka', KAFKA_PORT),
      outsideOf('monitoring', 'otel-collector', COLLECTOR_PORT),
    ];
    await apply([...outside, namespace].join('---\n'));
    const keys = join(this.folder, 'keys');
    const file = (key: string, name: string): string => `--from-file=${key}=${join(keys, name)}`;
    const objects: readonly string[][] = [
      ['secret', 'generic', 'custody-image-store', file('key', 'image-store.key')],
      ['secret', 'generic', 'custody-assertions', file('key.jwk.json', 'custody-query.jwk.json')],
      ['secret', 'generic', 'custody-audit-seal', file('key', 'audit-seal.key')],
      ['configmap', 'custody-audit-verifier', file('verifier-keys', 'audit-seal.vkey')],
      [
        'configmap',
        'custody-systems',
        file('jwks.json', 'systems.jwks.json'),
        file('issuer.jwks.json', 'issuer.jwks.json'),
      ],
    ];
    for (const object of objects) {
      await apply(await kubectl(['create', ...object, '--dry-run=client', '-o', 'yaml']));
    }
    await apply(rendered);
    await Promise.all([
      untilReady('index', 2),
      untilReady('ingest', 2),
      untilReady('query', 2),
      untilReady('audit-sealer', 1),
    ]);
  }

  async token(role: Role, subject = `test-${role}`): Promise<string> {
    return signLocalToken(this.settings, [role], subject);
  }

  /** Sends the first photograph of each person to ingest, and keeps as probes those whose second one finds them. */
  async enrolPeople(): Promise<void> {
    const known = (await people()).filter(({ images }) => images.length > 1).slice(0, PEOPLE);
    for (const { subjectId, images } of known) {
      answerOf(await this.send(imageIdOf(images[0]!), subjectId, await readFile(images[0]!)));
    }
    await eventually(
      async () => {
        const outcomes = (await readTopic(this.kafka, CUSTODY_OUTCOMES)).map(({ value }) => parseOutcome(value));
        const ended = new Set(outcomes.map(({ imageId }) => imageId));
        if (ended.size < known.length) throw new Error(`${ended.size} of ${known.length} images have ended`);
        this.enrolled = new Set(
          outcomes.filter(({ outcome }) => outcome === 'enrolled').map(({ imageId }) => imageId),
        ).size;
      },
      { timeoutMs: 120_000, intervalMs: 500 },
    );
    const probes: Probe[] = [];
    const others: string[] = [];
    for (const person of known) {
      if (probes.length === PROBES) break;
      const probe = { subjectId: person.subjectId, image: await readProbe(person) };
      const { status, text } = await this.search(probe.image);
      // A picture of several people, or one that is too unlike, is no probe.
      if (status === 200 && (JSON.parse(text) as SearchAnswer).candidates[0]?.subjectId === probe.subjectId) {
        probes.push(probe);
      } else others.push(`${status} ${text.slice(0, 300)}`);
    }
    if (probes.length < PROBES)
      throw new Error(`only ${probes.length} of ${known.length} are found:\n${others.join('\n')}`);
    this.probes = probes;
  }

  async send(imageId: string, subjectId: string, image: Uint8Array): ReturnType<typeof call> {
    const url = `${this.ingestUrl}/v1/images/${encodeURIComponent(imageId)}?subjectId=${encodeURIComponent(subjectId)}`;
    return call('PUT', url, await this.token('service'), image);
  }

  async search(image: Uint8Array): ReturnType<typeof call> {
    return call('POST', `${this.queryUrl}/v1/searches/operator`, await this.token('officer'), operatorForm(image));
  }

  startSearching(atATime = 2): OfficerLoad {
    return new OfficerLoad(this.queryUrl, () => this.token('officer'), this.probes, atATime);
  }

  /** What is found for each probe: complete answers, with the right person first. */
  async rightAnswers(): Promise<number> {
    let right = 0;
    for (const { subjectId, image } of this.probes) {
      const { status, text } = await this.search(image);
      if (status !== 200) continue;
      const { complete, candidates } = JSON.parse(text) as SearchAnswer;
      if (complete && candidates[0]?.subjectId === subjectId) right++;
    }
    return right;
  }

  /** The pods stay: the node ends with them. */
  async close(): Promise<void> {
    await this.kafka.close();
    await this.collector.close();
    await this.broker.stop();
    await rm(this.folder, { recursive: true, force: true });
  }
}
