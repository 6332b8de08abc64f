/**
 * Replicas of the query service as far as retrospective searches go, on the broker of the tests: view, owner, decisions,
 * withdrawals. Only what needs a model and a gallery is stood in for: which faces a probe has, and who is found.
 */
import { createHash, generateKeyPairSync, randomBytes, randomUUID } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { INestMicroservice } from '@nestjs/common';
import { AuditLog } from '#audit/audit-log.js';
import { dispositionRecord } from '#contracts/disposition-record.js';
import type { OutgoingRecord } from '#contracts/outgoing-record.js';
import { searchRequestHeaders } from '#contracts/search-record.js';
import { AUDIT_ENTRIES, desiredTopics, SEARCHES_EVENTS, SEARCHES_REQUESTS } from '#contracts/topics.js';
import type { Disposition } from '#domain/disposition.js';
import { Failure, Refusal } from '#domain/errors.js';
import type { ImageId, ModelId, Offset, SearchId, SubjectId } from '#domain/ids.js';
import type { RetrospectiveAction } from '#domain/retrospective-commands.js';
import type { RetrospectiveSearch } from '#domain/retrospective-search.js';
import type { FoundAnswer } from '#domain/search-answer.js';
import { candidateForTests, foundAnswerForTests } from '#domain/search-answer-for-tests.js';
import type { ProcessedFace } from '#face/face-protocol.js';
import { DirectionFollower } from '#kafka/direction-follower.js';
import { DispositionFollower } from '#kafka/disposition-follower.js';
import type { GroupConsumer } from '#kafka/group-consumer.js';
import type { KafkaClient } from '#kafka/kafka-client.js';
import { NestTransport, serveRecords } from '#kafka/nest-transport.js';
import type { Publisher } from '#kafka/publisher.js';
import { AssertionSigner, AssertionVerifier, openJwks } from '#platform/identity.js';
import { FolderImageStore } from '#platform/folder-image-store.js';
import { nestLogger, type Log } from '#platform/log.js';
import { QueryMetrics } from '#platform/metrics.js';
import { clientForTests, eventually } from '#testkit/kafka-test-helpers.js';
import { CandidateWithdrawal } from './candidate-withdrawal.js';
import { OpenSearchHold } from './open-search-hold.js';
import { RetrospectiveOwner } from './retrospective-owner.js';
import { RetrospectiveRuns } from './retrospective-runs.js';
import { SearchAcceptance } from './search-acceptance.js';
import { SearchDecisions } from './search-decisions.js';
import { SearchRecordsModule } from './search-records.controller.js';
import { QUERY_SOURCE } from '../query-source.js';
import { SearchView } from '../searches/search-view.js';

const CASE_SYSTEM = 'case-system';
const IN_FLIGHT = 6;

/** What a probe says, in place of a picture: how many faces it has, who is found, and by how much of the gallery. */
export interface ProbeForTests {
  readonly faces?: number;
  readonly candidates?: readonly ImageId[];
  /** One a run, the last again and again. */
  readonly complete?: readonly boolean[];
}

export class ReviewForTests {
  readonly fatal: unknown[] = [];
  private readonly replicas: ReviewReplica[] = [];
  /** Of each search, how often the gallery was asked. */
  readonly runs = new Map<SearchId, number>();
  /** Of a search, what its gallery waits for before it answers. */
  readonly answersAfter = new Map<SearchId, Promise<void>>();
  /** Before a hold of a search is begun or ended, by its directionId. */
  readonly beforeHold = new Map<string, () => Promise<void>>();

  private constructor(
    readonly home: string,
    readonly groupId: string,
    readonly client: KafkaClient,
    readonly signer: AssertionSigner,
    readonly assertions: AssertionVerifier,
    readonly probes: FolderImageStore,
  ) {}

  static async start(): Promise<ReviewForTests> {
    const home = await mkdtemp(join(tmpdir(), 'review-'));
    const client = clientForTests();
    const topics = desiredTopics({ modelId: 'a0d170a0d170a0d1' as ModelId, profile: 'local', replication: 1 });
    await client.topicAdmin().applyTopics(topics.filter(({ name }) => /^(searches|audit|custody)\./.test(name)));
    const { publicKey, privateKey } = generateKeyPairSync('ed25519');
    const kid = { kid: CASE_SYSTEM, alg: 'EdDSA' };
    await writeFile(join(home, 'key.json'), JSON.stringify({ ...privateKey.export({ format: 'jwk' }), ...kid }));
    const keys = { keys: [{ ...publicKey.export({ format: 'jwk' }), ...kid }] };
    await writeFile(join(home, 'jwks.json'), JSON.stringify(keys));
    await writeFile(join(home, 'store.key'), randomBytes(32).toString('base64'));
    return new ReviewForTests(
      home,
      `review-${randomUUID().slice(0, 8)}`,
      client,
      await AssertionSigner.open(join(home, 'key.json')),
      new AssertionVerifier(await openJwks(join(home, 'jwks.json'))),
      await FolderImageStore.open(join(home, 'images'), join(home, 'store.key')),
    );
  }

  async replica(options: ReplicaOptions = {}): Promise<ReviewReplica> {
    const replica = await ReviewReplica.open(this, options);
    this.replicas.push(replica);
    return replica;
  }

  async close(): Promise<void> {
    await Promise.all(this.replicas.map((replica) => replica.close()));
    await this.client.close();
    await rm(this.home, { recursive: true });
  }

  /** A case system's request on the topic. */
  async request(probe: ProbeForTests, operator = 'op-1', id: SearchId = randomUUID() as SearchId): Promise<SearchId> {
    const value = Buffer.from(JSON.stringify({ ...probe, id }));
    const assertion = await this.signer.sign({
      purpose: 'retrospective-search',
      subject: operator,
      role: 'operator',
      searchId: id,
      probeSha256: createHash('sha256').update(value).digest('hex'),
    });
    const fields = {
      crimeReference: 'CR/1/26',
      offence: 'burglary',
      source: 'cctv',
      justification: 'Seen on the doorbell camera at the time of the break-in.',
      investigatingOfficer: 'io-1',
    };
    await this.client.publisher().publish({
      topic: SEARCHES_REQUESTS,
      key: id,
      value,
      headers: searchRequestHeaders(id, fields, 'image/jpeg', assertion, '/case-system'),
    });
    return id;
  }

  async dispose(imageId: ImageId, kind: Disposition['kind'] = 'erased'): Promise<void> {
    const since = new Date().toISOString();
    const disposition: Disposition = {
      imageId,
      kind,
      since,
      authority: 'DPA 2018 s.47',
      reason: 'request',
      sourceOffset: 10 as Offset,
    };
    await this.client.publisher().publish(dispositionRecord(imageId, disposition, '/test'));
  }

  /** What is in a topic about a search now, oldest first within a partition. */
  async recordsAbout(topic: string, id: SearchId): Promise<readonly Record<string, unknown>[]> {
    const found: Record<string, unknown>[] = [];
    const partitions = [...(await this.client.topicAdmin().topicOffsets(topic)).keys()];
    const reader = this.client.logReader({
      topic,
      partitions,
      from: 'beginning',
      onFatal: (error) => void this.fatal.push(error),
      onBatch: ({ records }) => {
        for (const { value } of records) {
          // Other tests write to the same broker, and not JSON alone.
          if (value === null || !value.includes(id)) continue;
          const parsed = JSON.parse(value.toString('utf8')) as Record<string, unknown>;
          if (parsed['searchId'] === id) found.push(parsed);
        }
        return Promise.resolve();
      },
    });
    await reader.start();
    await reader.caughtUp();
    await reader.close();
    return found;
  }

  events(id: SearchId): Promise<readonly Record<string, unknown>[]> {
    return this.recordsAbout(SEARCHES_EVENTS, id);
  }

  audits(id: SearchId): Promise<readonly Record<string, unknown>[]> {
    return this.recordsAbout(AUDIT_ENTRIES, id);
  }
}

interface ReplicaOptions {
  readonly peerReview?: boolean;
  /** Whether it takes part in owning searches from the start. */
  readonly owns?: boolean;
}

export class ReviewReplica {
  /** While it is set, nothing can be appended to this replica's audit. */
  auditIsAway = false;
  readonly warnings: string[] = [];
  private records: NestTransport | undefined;
  private ownership: INestMicroservice | undefined;
  private closed = false;

  private constructor(
    private readonly tests: ReviewForTests,
    private readonly kafka: KafkaClient,
    readonly view: SearchView,
    readonly dispositions: DispositionFollower,
    readonly directions: DirectionFollower,
    private readonly log: Log,
    private readonly rules: { readonly peerReview: boolean },
  ) {}

  readonly metrics = new QueryMetrics();
  acceptance!: SearchAcceptance;
  decisions!: SearchDecisions;
  private parts!: {
    readonly audit: AuditLog;
    readonly publisher: Publisher;
    readonly withdrawal: CandidateWithdrawal;
    readonly holds: OpenSearchHold;
  };
  private runs: RetrospectiveRuns | undefined;

  static async open(
    tests: ReviewForTests,
    { peerReview = false, owns = true }: ReplicaOptions,
  ): Promise<ReviewReplica> {
    const kafka = clientForTests();
    const warnings: string[] = [];
    const log: Log = { debug() {}, info() {}, error() {}, warn: (event) => void warnings.push(event) };
    const fatal = (error: unknown): void => void tests.fatal.push(error);
    const view = await SearchView.open(kafka, join(tests.home, randomUUID(), 'searches.sqlite'), log, fatal);
    const dispositions = new DispositionFollower(kafka, log, fatal);
    const directions = new DirectionFollower(kafka, log, fatal);
    const replica = new ReviewReplica(tests, kafka, view, dispositions, directions, log, { peerReview });
    replica.assemble();
    await Promise.all([dispositions.start(), directions.start(), view.caughtUp()]);
    if (owns) await replica.own();
    return replica;
  }

  private assemble(): void {
    const { kafka, view, dispositions, log } = this;
    const publisher = kafka.publisher();
    const audit = new AuditLog(
      {
        publishAll: (records: readonly OutgoingRecord[]) =>
          this.auditIsAway
            ? Promise.reject(new Failure('KAFKA_UNAVAILABLE', 'The audit is away.', true))
            : publisher.publishAll(records),
      },
      '/test',
    );
    this.acceptance = new SearchAcceptance(audit, publisher, view);
    this.decisions = new SearchDecisions(publisher, view);
    const withdrawal = new CandidateWithdrawal(view, dispositions, publisher, log);
    dispositions.onChange((changes) => withdrawal.noticed(changes.map(({ imageId }) => imageId)));
    const holds = new OpenSearchHold({
      publish: async (record) => {
        await this.tests.beforeHold.get(record.key as string)?.();
        return publisher.publish(record);
      },
    });
    this.parts = { audit, publisher, withdrawal, holds };
  }

  /** Takes part in owning searches. */
  async own(): Promise<void> {
    const { kafka, view, acceptance, metrics, log, tests } = this;
    const { audit, publisher, withdrawal, holds } = this.parts;
    this.runs = new RetrospectiveRuns(
      {
        generations: {
          inForce: {
            faces: { process: facesOf },
            search: { run: ({ searchId, probe }) => this.find(searchId, probe), observePipeline() {} },
            permits: { check() {} },
          },
        },
        audit,
        acceptance,
        withdrawal,
        holds,
        probes: tests.probes,
        metrics,
        log,
      },
      1_000,
    );
    const owner = new RetrospectiveOwner(
      {
        acceptance,
        audit,
        runs: this.runs,
        withdrawal,
        holds,
        admission: { admitRequest() {} },
        view,
        probes: tests.probes,
        assertions: tests.assertions,
        topics: kafka.topicAdmin(),
        metrics,
        log,
      },
      this.rules,
    );
    this.records = new NestTransport(kafka, publisher, log, {
      groupId: tests.groupId,
      source: QUERY_SOURCE,
      partitionsConsumedConcurrently: IN_FLIGHT,
      onAssigned: (assignment, _generation, signal) =>
        owner.takeOver([...new Set(assignment.map(({ partition }) => partition))], signal),
      onFatal: (error) => void tests.fatal.push(error),
    });
    this.ownership = await serveRecords(SearchRecordsModule.for(owner), this.records, nestLogger(log));
    await this.joined();
  }

  /** A member that goes while it is joining is waited for by the others until its session has run out. */
  private async joined(): Promise<void> {
    await eventually(() => {
      if (this.records?.unwrap<GroupConsumer>().currentGeneration === undefined) throw new Error('not a member yet');
    });
  }

  /** Leaves the owning to others. */
  async disown(): Promise<void> {
    if (this.ownership !== undefined) await this.joined();
    await this.ownership?.close();
    this.ownership = undefined;
    await this.runs?.close();
  }

  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    await this.disown();
    await Promise.all([this.view.close(), this.dispositions.close(), this.directions.close()]);
    await this.kafka.close();
  }

  search(id: SearchId): RetrospectiveSearch | undefined {
    return this.acceptance.known(id);
  }

  /** A person's decision, on the version that this replica shows unless another is given. */
  decide(
    id: SearchId,
    person: { readonly id: string; readonly roles: readonly ('operator' | 'investigating-officer')[] },
    action: RetrospectiveAction,
    options: { readonly expectedVersion?: number; readonly key?: string } = {},
  ): Promise<RetrospectiveSearch> {
    const expectedVersion = options.expectedVersion ?? this.search(id)?.version ?? 1;
    const requested = action.type === 'VIEW_CANDIDATE' ? { action } : { action, expectedVersion };
    return this.decisions.decide(person, id, requested, `POST ${id} ${action.type}`, options.key);
  }

  private async find(searchId: SearchId, probe: ProcessedFace): Promise<FoundAnswer> {
    const { candidates = [], complete = [true] } = probe as unknown as ProbeForTests;
    const run = this.tests.runs.get(searchId) ?? 0;
    this.tests.runs.set(searchId, run + 1);
    await this.tests.answersAfter.get(searchId);
    return answerWith(searchId, candidates, complete[Math.min(run, complete.length - 1)]!);
  }

  /** What another owner would have found, put on record as it does. */
  async answerAsAnother(searchId: SearchId, candidates: readonly ImageId[]): Promise<boolean> {
    const answer = answerWith(searchId, candidates, true);
    await this.parts.holds.begin(searchId, answer);
    const { accepted } = await this.acceptance.accept(searchId, () => ({
      events: [{ type: 'CANDIDATES_FOUND', by: '/another-owner', answer }],
    }));
    return accepted;
  }
}

function answerWith(searchId: SearchId, candidates: readonly ImageId[], complete: boolean): FoundAnswer {
  const ranked = candidates.map((imageId, index) =>
    candidateForTests(index + 1, {
      imageId,
      subjectId: `subject-of-${imageId}` as SubjectId,
      sourceOffset: 3 as Offset,
    }),
  );
  return foundAnswerForTests(searchId, ranked, { completedAt: new Date().toISOString(), complete });
}

/** Stands in for the face pipeline: as there, a choice by rule would choose, and none of several is a refusal. */
function facesOf(image: Uint8Array, choice: number | 'largest' | 'central' | undefined): Promise<ProcessedFace> {
  const probe = JSON.parse(Buffer.from(image).toString('utf8')) as ProbeForTests;
  const faces = Array.from({ length: probe.faces ?? 1 }, (_, index) => ({
    index,
    box: { left: index, top: 0, right: index + 1, bottom: 1 },
    confidence: 0.9,
  }));
  if (faces.length === 0) return Promise.reject(new Refusal('NO_FACE', 'No face was found in the image.'));
  if (faces.length > 1 && choice === undefined) {
    return Promise.reject(new Refusal('MULTIPLE_FACES', 'Say which one is meant.', { faces }));
  }
  return Promise.resolve({ ...probe, faces, chosen: choice ?? 0 } as unknown as ProcessedFace);
}
