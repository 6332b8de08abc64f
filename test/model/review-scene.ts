/** The whole system with a second query replica, searches that wait to be reviewed, and the people who review them. */
import { SEARCHES_COMMANDS, SEARCHES_REQUESTS } from '#contracts/topics.js';
import type { Role } from '#domain/identity.js';
import type { SearchId } from '#domain/ids.js';
import { KafkaClient } from '#kafka/kafka-client.js';
import { faceImage, imageWithoutFace } from '#testkit/face-images-for-tests.js';
import { answerOf, call, metric } from '#testkit/http-for-tests.js';
import { eventually, silentLog } from '#testkit/kafka-test-helpers.js';
import { samplePhotographsForTests } from '#testkit/model-pack-for-tests.js';
import { RunningSystem } from '#testkit/running-system.js';
import { retrospectiveForm } from '#testkit/search-forms-for-tests.js';
import { signLocalToken } from '../../apps/cli/src/local-keys.js';
import { SecondReplica, signalFaceProcesses, SupervisedReplica, type Replica } from './query-replica.js';
import { OFFICERS, OPERATORS } from './review-people.js';
import type { ReviewLog } from './review-log.js';

const GROUP = 'custody-searches';
/** Of the 15 minutes that a token is good for. */
const TOKENS_RENEWED_AFTER_MS = 5 * 60_000;
const QUIET_MS_MAX = 120_000;
const AGREED_MS_MAX = 30_000;
/** One probe in so many has two faces, and one in so many has none. */
const MULTIPLE_FACES_EVERY = 12;
const NO_FACE_EVERY = 15;
/** Fewer than a replica takes at a time. */
const ASKED_AT_A_TIME = 20;

export class ReviewScene {
  readonly searches: SearchId[] = [];
  /** The longest time, in seconds, for which an audit entry was seen unsealed by a replica. */
  unsealedSecondsMax = 0;
  private readonly tokens = new Map<string, string>();
  private readonly timers: NodeJS.Timeout[] = [];

  private constructor(
    readonly system: RunningSystem,
    readonly first: SupervisedReplica,
    readonly second: SecondReplica,
    readonly kafka: KafkaClient,
  ) {}

  static async start(): Promise<ReviewScene> {
    const system = await RunningSystem.start(
      await RunningSystem.environment({ RATE_LIMIT: '10000', CONCURRENCY_LIMIT: '100', INFERENCE_CONCURRENCY: '1' }),
    );
    // One configuration replaces another in the middle of everything: a search keeps the rules that it was received under.
    const second = new SecondReplica(system, { PEER_REVIEW: 'on' });
    const kafka = new KafkaClient({ brokers: system.settings.KAFKA_BROKERS, clientId: 'test', log: silentLog });
    const scene = new ReviewScene(system, new SupervisedReplica(system), second, kafka);
    await scene.renewTokens();
    await second.start();
    scene.timers.push(
      setInterval(() => void scene.renewTokens(), TOKENS_RENEWED_AFTER_MS),
      setInterval(() => void scene.watchSeals(), 1_000),
    );
    return scene;
  }

  get replicas(): readonly Replica[] {
    return [this.first, this.second];
  }

  readonly tokenOf = (person: string): string => this.tokens.get(person)!;

  async close(): Promise<void> {
    for (const timer of this.timers) clearInterval(timer);
    await this.second.kill();
    await this.kafka.close();
    await this.system.stopAndForget();
  }

  /** Asks for searches with real faces, on both replicas. */
  async ask(count: number): Promise<void> {
    const sample = await samplePhotographsForTests();
    const { enrolled } = sample.manifest;
    const [noFace, twoFaces] = [await imageWithoutFace(), await sample.read(enrolled[0]!)];
    const imageOf = async (index: number): Promise<Buffer> => {
      if (index % MULTIPLE_FACES_EVERY === 1) return twoFaces;
      if (index % NO_FACE_EVERY === 2) return noFace;
      return faceImage(sample, enrolled[index % enrolled.length]!, Math.floor(index / enrolled.length));
    };
    const asked = this.searches.length;
    const images = await Promise.all(Array.from({ length: count }, (_, i) => imageOf(asked + i)));
    const ask = async (image: Buffer, index: number): Promise<SearchId> => {
      const form = retrospectiveForm(image, {
        investigatingOfficer: OFFICERS[index % OFFICERS.length]!,
        limit: index % 2 === 0 ? '3' : '20',
      });
      const url = `${this.replicas[index % 2]!.url}/v1/searches/retrospective`;
      const accepted = await call('POST', url, this.tokenOf(OPERATORS[index % OPERATORS.length]!), form);
      return answerOf<{ searchId: SearchId }>(accepted).searchId;
    };
    for (let from = 0; from < count; from += ASKED_AT_A_TIME) {
      const some = images.slice(from, from + ASKED_AT_A_TIME);
      this.searches.push(...(await Promise.all(some.map((image, i) => ask(image, asked + from + i)))));
    }
  }

  /** Does something while no search can be run, on either replica. */
  async whileNoSearchRuns<T>(what: () => Promise<T>): Promise<T> {
    for (const replica of this.replicas) signalFaceProcesses(replica, 'SIGSTOP');
    try {
      return await what();
    } finally {
      for (const replica of this.replicas) signalFaceProcesses(replica, 'SIGCONT');
    }
  }

  async shown(replica: Replica, id: SearchId): Promise<Record<string, unknown>> {
    return answerOf(await call('GET', `${replica.url}/v1/searches/${id}`, this.tokenOf('op-1')));
  }

  /** So many searches of a replica's view are in one of these states. */
  async countIn(replica: Replica, ...states: readonly string[]): Promise<number> {
    let count = 0;
    for (const state of states) {
      const url = `${replica.url}/v1/searches?limit=200&state=${state}`;
      count += answerOf<{ searches: unknown[] }>(await call('GET', url, this.tokenOf('op-1'))).searches.length;
    }
    return count;
  }

  /** Resolves when every request and command in the log has been handled and nothing is being searched. */
  async quiet(): Promise<void> {
    await eventually(
      async () => {
        const left = await this.unhandled();
        if (left > 0) throw new Error(`${left} records are not handled yet`);
        const running = await this.countIn(this.first, 'RECEIVED', 'SEARCHING', 'POSSIBLE_MATCH');
        if (running > 0) throw new Error(`${running} searches are being run`);
      },
      { timeoutMs: QUIET_MS_MAX, intervalMs: 500 },
    );
  }

  /** @returns the searches that a replica shows otherwise than the log has them, once it has had time to read it */
  async disagreements(log: ReviewLog, replica: Replica): Promise<readonly unknown[]> {
    const deadline = Date.now() + AGREED_MS_MAX;
    for (;;) {
      const differing: unknown[] = [];
      for (const id of this.searches) {
        const [shown, expected] = [await this.shown(replica, id), log.shown(id)];
        if (JSON.stringify(sorted(shown)) !== JSON.stringify(sorted(expected))) differing.push({ shown, expected });
      }
      if (differing.length === 0 || Date.now() > deadline) return differing;
    }
  }

  /** Records of the owners' topics after what the group has handled. */
  private async unhandled(): Promise<number> {
    const admin = this.kafka.topicAdmin();
    let left = 0;
    for (const topic of [SEARCHES_REQUESTS, SEARCHES_COMMANDS]) {
      const handled = await admin.groupOffsets(GROUP, topic);
      for (const [partition, { low, high }] of await admin.topicOffsets(topic)) {
        left += high - Math.max(handled.get(partition) ?? low, low);
      }
    }
    return left;
  }

  private async renewTokens(): Promise<void> {
    const sign = async (person: string, role: Role): Promise<void> => {
      this.tokens.set(person, await signLocalToken(this.system.settings, [role], person));
    };
    await Promise.all([
      ...OPERATORS.map((person) => sign(person, 'operator')),
      ...OFFICERS.map((person) => sign(person, 'investigating-officer')),
      sign('dp-1', 'data-protection'),
    ]);
  }

  private async watchSeals(): Promise<void> {
    for (const { url, isUp } of this.replicas) {
      if (!isUp) continue;
      const age = await metric(url, 'custody_audit_unsealed_age_seconds').catch(() => undefined);
      this.unsealedSecondsMax = Math.max(this.unsealedSecondsMax, age ?? 0);
    }
  }
}

/** The same value with the names of its objects in order. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (value === null || typeof value !== 'object') return value;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([name, inner]) => [name, sorted(inner)]));
}
