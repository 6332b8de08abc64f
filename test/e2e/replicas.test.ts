/** Two shards, each held by two processes: what the loss of one, and of all of a shard, does to searches. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { partitionFor } from '#contracts/murmur2.js';
import { TEMPLATE_PARTITIONS } from '#domain/gallery.js';
import type { SearchAnswer } from '#domain/search-answer.js';
import type { SamplePhotographs } from '#face/sample-manifest.js';
import { faceImage } from '#testkit/face-images-for-tests.js';
import { answerOf, call, refusalOf } from '#testkit/http-for-tests.js';
import { eventually } from '#testkit/kafka-test-helpers.js';
import { samplePhotographsForTests } from '#testkit/model-pack-for-tests.js';
import { RunningSystem } from '#testkit/running-system.js';
import { operatorForm, retrospectiveForm } from '#testkit/search-forms-for-tests.js';
import { SearchLoad } from './search-load-for-tests.js';

const SHARDS = 2;
const DEADLINE_MS = 2_000;
/** On top of the deadline: the face pipeline, two audit entries and a machine with other things to do. */
const AROUND_A_SEARCH_MS = 3_000;
/** Each death doubles the wait before the next start: after so many, seconds pass without the process. */
const DEATHS = 4;

interface Answer extends SearchAnswer {
  readonly statement: string;
}

interface Listed {
  readonly replicas: readonly { readonly replicaId: string }[];
  readonly complete: boolean;
  readonly partitionsMissing: readonly number[];
  readonly replicasOnRecord: readonly { readonly replicaId: string; readonly state: string }[];
}

describe('a gallery of two shards with two replicas each', () => {
  let system: RunningSystem;
  let sample: SamplePhotographs;
  let probe: Buffer;
  let officer: string;
  let operator: string;
  let auditor: string;
  /** The shard that holds the image that the probe is found by. */
  let shard: number;
  /** What the loss of that shard leaves unsearched. */
  let partitions: readonly number[];
  let mateId: string;

  beforeAll(async () => {
    sample = await samplePhotographsForTests();
    const face = sample.manifest.probe;
    mateId = sample.manifest.enrolled.find(({ subjectId }) => subjectId === face.subjectId)!.imageId;
    shard = partitionFor(Buffer.from(mateId), TEMPLATE_PARTITIONS) % SHARDS;
    partitions = Array.from({ length: TEMPLATE_PARTITIONS / SHARDS }, (_, i) => shard + i * SHARDS);
    [probe, system] = await Promise.all([
      faceImage(sample, face),
      RunningSystem.start(
        await RunningSystem.environment({
          SHARDS: String(SHARDS),
          REPLICAS: '2',
          RATE_LIMIT: '100000',
          OPERATOR_SEARCH_DEADLINE_MS: String(DEADLINE_MS),
          RETROSPECTIVE_SEARCH_DEADLINE_MS: String(DEADLINE_MS),
        }),
      ),
    ]);
  });

  afterAll(() => system?.stopAndForget());

  // Good for a quarter of an hour.
  async function renewTokens(): Promise<void> {
    [officer, operator, auditor] = await Promise.all([
      system.token('officer'),
      system.token('operator'),
      system.token('auditor'),
    ]);
  }
  beforeAll(renewTokens);
  afterEach(renewTokens);

  const name = (ofShard: number, replica: number): string => `shard-${ofShard}-of-${SHARDS}-replica-${replica}`;

  async function operatorSearch(): Promise<Answer> {
    return answerOf<Answer>(
      await call('POST', `${system.queryUrl}/v1/searches/operator`, officer, operatorForm(probe)),
    );
  }

  async function gallery(): Promise<Listed> {
    const listed = await call('GET', `${system.queryUrl}/v1/galleries`, auditor);
    return answerOf<{ galleries: Listed[] }>(listed).galleries[0]!;
  }

  async function untilAllServe(): Promise<void> {
    await eventually(
      async () => {
        const { complete, replicas, replicasOnRecord } = await gallery();
        expect(complete).toBe(true);
        const all = [0, 1].flatMap((ofShard) => [0, 1].map((replica) => name(ofShard, replica)));
        const serving = replicasOnRecord.filter(({ state }) => state === 'serving');
        expect(serving.map(({ replicaId }) => replicaId).sort()).toEqual(all);
        // What is on record is some seconds old: one that has just been killed still serves there.
        expect(replicas.map(({ replicaId }) => replicaId.split('/')[0]).sort()).toEqual(all);
      },
      { timeoutMs: 60_000 },
    );
  }

  /** Kills it, and each successor, until the next one is seconds away. */
  async function killForAWhile(replicaId: string): Promise<void> {
    let killed = 0;
    for (let death = 0; death < DEATHS; death++) {
      const pid = await eventually(
        () => {
          const now = system.replicaPids().get(replicaId);
          if (now === undefined || now === killed) throw new Error(`${replicaId} is not running`);
          return Promise.resolve(now);
        },
        { timeoutMs: 30_000, intervalMs: 20 },
      );
      process.kill(pid, 'SIGKILL');
      killed = pid;
    }
  }

  test('runs four processes, and says which of them hold what', async () => {
    await untilAllServe();
    expect([...system.replicaPids().keys()].sort()).toEqual([name(0, 0), name(0, 1), name(1, 0), name(1, 1)]);
    const { stdout, code } = await system.custody('gallery', 'status');
    expect(code).toBe(0);
    for (const ofShard of [0, 1])
      expect(stdout).toMatch(new RegExp(`${name(ofShard, 1)} .*${ofShard} of 2.*serving.*yes`));
    expect(await operatorSearch()).toMatchObject({ complete: true, candidates: [{ rank: 1, imageId: mateId }] });
  });

  test('does not let one that still reports be retired', async () => {
    const { code, stderr } = await system.custody(
      'gallery',
      'retire',
      name(0, 1),
      '--reason',
      'It is said to be gone for good.',
    );
    expect(code).not.toBe(0);
    expect(stderr).toContain('REPLICA_STILL_REPORTING');
    const url = `${system.queryUrl}/v1/replica-retirements`;
    const body = { replicaId: name(0, 1), reason: 'It is said to be gone for good.' };
    expect(refusalOf(await call('POST', url, operator, body))).toBe('403 ROLE_NOT_ALLOWED');
    const unknown = { ...body, replicaId: 'no-such-replica' };
    const dataProtection = await system.token('data-protection');
    expect(refusalOf(await call('POST', url, dataProtection, unknown))).toBe('404 REPLICA_NOT_ON_RECORD');
  });

  test('loses no search when a replica is killed under load: none fails, none misses anything', async () => {
    const load = new SearchLoad(system, officer, probe);
    await load.more(10);
    for (const replicaId of [name(0, 0), name(1, 1)]) {
      process.kill(system.replicaPids().get(replicaId)!, 'SIGKILL');
      await load.more(20);
      await untilAllServe();
    }
    await load.stop();
    expect(load.failed).toEqual([]);
    expect(load.incomplete).toEqual([]);
    expect(load.lists).toHaveLength(1);
    expect(load.answers.length).toBeGreaterThan(40);
  });

  test('waits for nobody that hangs: the replica that is well answers, and not the one that is stopped', async () => {
    const stopped = system.replicaPids().get(name(shard, 0))!;
    process.kill(stopped, 'SIGSTOP');
    try {
      const load = new SearchLoad(system, officer, probe, 1);
      await load.more(15);
      await load.stop();
      expect(load.failed).toEqual([]);
      expect(load.incomplete).toEqual([]);
      expect(load.answers.flatMap(({ gallery: { partitionsStale } }) => partitionsStale)).toEqual([]);
    } finally {
      process.kill(stopped, 'SIGCONT');
    }
    await untilAllServe();
  });

  test('says what was not searched when all of a shard hang, within the deadline, and is complete when they go on', async () => {
    const stopped = [0, 1].map((replica) => system.replicaPids().get(name(shard, replica))!);
    for (const pid of stopped) process.kill(pid, 'SIGSTOP');
    try {
      const startedAtMs = Date.now();
      const answer = await operatorSearch();
      expect(Date.now() - startedAtMs).toBeLessThan(DEADLINE_MS + AROUND_A_SEARCH_MS);
      expect(answer).toMatchObject({ complete: false, gallery: { partitionsMissing: partitions } });
    } finally {
      for (const pid of stopped) process.kill(pid, 'SIGCONT');
    }
    await untilAllServe();
    expect(await operatorSearch()).toMatchObject({ complete: true });
  });

  test('says what was not searched when all of a shard are killed, and never that the person is not there', async () => {
    await Promise.all([killForAWhile(name(shard, 0)), killForAWhile(name(shard, 1))]);
    const startedAtMs = Date.now();
    const [answer, submitted] = await Promise.all([
      operatorSearch(),
      call('POST', `${system.queryUrl}/v1/searches/retrospective`, operator, retrospectiveForm(probe)),
    ]);
    expect(Date.now() - startedAtMs).toBeLessThan(DEADLINE_MS + AROUND_A_SEARCH_MS);
    expect(answer).toMatchObject({
      complete: false,
      candidates: [],
      gallery: { partitionsMissing: partitions, partitionsAnswered: TEMPLATE_PARTITIONS - partitions.length },
    });
    expect(answer.statement).toContain('No possible match in what was searched. Only 12 of 24 parts');
    expect(answer.statement).not.toContain('Not found');

    const { searchId } = answerOf<{ searchId: string }>(submitted);
    const shown = await eventually(async () => {
      const found = answerOf<{ state: string; answer: SearchAnswer | null }>(
        await call('GET', `${system.queryUrl}/v1/searches/${searchId}`, operator),
      );
      expect(['QUEUED', 'RECEIVED', 'SEARCHING']).not.toContain(found.state);
      return found;
    });
    expect(shown).toMatchObject({
      state: 'PARTIAL',
      answer: { complete: false, gallery: { partitionsMissing: partitions } },
    });

    await untilAllServe();
    expect(await operatorSearch()).toMatchObject({ complete: true, candidates: [{ rank: 1, imageId: mateId }] });
  });
});
