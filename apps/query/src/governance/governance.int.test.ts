import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { AuditLog } from '#audit/audit-log.js';
import { encodeGovernanceDecision, governanceDecisionHeaders } from '#contracts/governance-record.js';
import { AUDIT_ENTRIES, AUDIT_LOG, desiredTopics, GOVERNANCE_DECISIONS } from '#contracts/topics.js';
import { codeOf, codeOfAsync } from '#domain/codes-for-tests.js';
import { SEARCH_KINDS, thresholdsInForce, type GovernanceDecision } from '#domain/governance.js';
import type { Actor } from '#domain/identity.js';
import type { ModelId } from '#domain/ids.js';
import type { ThresholdContents } from '#domain/threshold.js';
import type { KafkaClient } from '#kafka/kafka-client.js';
import { clientForTests, createTopic, eventually, silentLog } from '#testkit/kafka-test-helpers.js';
import { readTopic } from '#testkit/topic-for-tests.js';
import { GovernanceDecisions } from './governance-decisions.js';
import { GovernanceLog } from './governance-log.js';
import { SearchPermits } from '../searches/search-permits.js';
import type { DeployedThresholds } from './thresholds.js';

const TOPICS = [AUDIT_ENTRIES, AUDIT_LOG];
/** What the rules promise for a suspension, everywhere. */
const EVERYWHERE_WITHIN_MS = 5_000;
const modelId = 'a0d170a0d170a0d1' as ModelId;
const topics = desiredTopics({ modelId, profile: 'local', replication: 1 }).filter(({ name }) => TOPICS.includes(name));

const approver = (id: string): Actor => ({ id, roles: ['threshold-approver'] });
const [alice, bob, carol] = [approver('alice'), approver('bob'), approver('carol')];
const words = { reason: 'The model is being looked into', authority: 'Chief Constable' };

function contents(score: number): ThresholdContents {
  const bands = [{ enrolledMax: 1000, score, fpir: 0.01, fnir: 0.05, groups: [] }];
  return {
    evaluation: { reportSha256: '0a'.repeat(32), description: 'Measured on custody images of the force.' },
    profiles: SEARCH_KINDS.map((kind) => ({ modelId, kind, bands })),
  };
}

const deployed: DeployedThresholds = { thresholds: { version: 2, ...contents(0.4) }, fileSha256: 'f2'.repeat(32) };

interface Replica {
  readonly kafka: KafkaClient;
  readonly log: GovernanceLog;
  readonly decisions: GovernanceDecisions;
  readonly permits: SearchPermits;
  readonly warnings: string[];
}

let kafka: KafkaClient;
let topic: string;
const open: Replica[] = [];
const fatal: unknown[] = [];

beforeAll(async () => {
  kafka = clientForTests();
  await kafka.topicAdmin().applyTopics(topics);
});
afterAll(async () => {
  await kafka.close();
});
beforeEach(async () => {
  // What was decided holds for ever, and for every test that reads the same log.
  topic = await createTopic(kafka, GOVERNANCE_DECISIONS, 1, { 'message.timestamp.type': 'LogAppendTime' });
});
afterEach(async () => {
  for (const { log, kafka: own } of open.splice(0)) {
    await log.close();
    await own.close();
  }
  expect(fatal).toEqual([]);
});

async function replica(file: DeployedThresholds = deployed, audit?: AuditLog): Promise<Replica> {
  const own = clientForTests();
  const warnings: string[] = [];
  const log = new GovernanceLog(
    own,
    own.publisher(),
    audit ?? new AuditLog(own.publisher(), '/test'),
    { ...silentLog, warn: (event) => void warnings.push(event) },
    (error) => void fatal.push(error),
    () => {},
    topic,
  );
  const permits = new SearchPermits(log, { modelId, evaluationOnly: false }, 'production');
  const made = { kafka: own, log, decisions: new GovernanceDecisions(log), permits, warnings };
  open.push(made);
  await log.start(file);
  return made;
}

/** Into the log itself, as a replica does that has not read what another one wrote a moment ago. */
async function write(decision: GovernanceDecision): Promise<void> {
  await kafka.publisher().publish({
    topic,
    key: decision.decisionId,
    partition: 0,
    value: encodeGovernanceDecision(decision),
    headers: governanceDecisionHeaders(decision, '/test'),
  });
}

describe('a suspension', () => {
  it.each(SEARCH_KINDS)('of %s searches by one person is in force on every replica within 5 s', async (kind) => {
    const [here, there] = [await replica(), await replica()];
    expect(codeOf(() => there.permits.check(kind))).toBeUndefined();
    const { suspended } = await here.decisions.suspend(alice, kind, words, undefined);
    expect(suspended).toBe(true);
    expect(codeOf(() => here.permits.check(kind))).toBe('SEARCH_SUSPENDED');
    await eventually(() => expect(codeOf(() => there.permits.check(kind))).toBe('SEARCH_SUSPENDED'), {
      timeoutMs: EVERYWHERE_WITHIN_MS,
    });
    const late = await replica();
    expect(codeOf(() => late.permits.check(kind))).toBe('SEARCH_SUSPENDED');
  });

  it('is lifted everywhere by two people on two replicas, and not by one person on both', async () => {
    const [here, there] = [await replica(), await replica()];
    await here.decisions.suspend(alice, 'operator', words, undefined);
    expect(await there.decisions.lift(bob, 'operator', words, undefined)).toMatchObject({
      suspended: true,
      by: 'alice',
      lifting: { by: 'bob' },
    });
    const again = () => here.decisions.lift(bob, 'operator', words, undefined);
    expect(await codeOfAsync(again)).toBe('APPROVER_NOT_DISTINCT');
    expect(await here.decisions.lift(carol, 'operator', words, undefined)).toMatchObject({
      suspended: false,
      by: null,
    });
    await eventually(() => expect(codeOf(() => there.permits.check('operator'))).toBeUndefined());
  });

  it('that is lifted by one person twice at the same time is lifted once', async () => {
    const [here, there] = [await replica(), await replica()];
    await here.decisions.suspend(alice, 'operator', words, undefined);
    const outcomes = await Promise.all(
      [here, there].map(({ decisions }) => codeOfAsync(() => decisions.lift(bob, 'operator', words, undefined))),
    );
    expect(outcomes.toSorted()).toEqual(['APPROVER_NOT_DISTINCT', undefined]);
    for (const { permits } of [here, there]) {
      expect(codeOf(() => permits.check('operator'))).toBe('SEARCH_SUSPENDED');
    }
  });

  it('is not put into the log when it cannot be put on record', async () => {
    const there = await replica();
    const away = new AuditLog({ publishAll: () => Promise.reject(new Error('away')) }, '/test');
    const here = await replica(deployed, away);
    const before = (await readTopic(kafka, topic)).length;
    const refused = await codeOfAsync(() => here.decisions.suspend(alice, 'operator', words, undefined));
    expect(refused).toBe('AUDIT_UNAVAILABLE');
    expect(await readTopic(kafka, topic)).toHaveLength(before);
    expect(codeOf(() => there.permits.check('operator'))).toBeUndefined();
  });

  it('is on record with who, why and on which authority', async () => {
    const here = await replica();
    const authority = `order ${randomUUID()}`;
    await here.decisions.suspend(
      { id: 'dpo', roles: ['auditor', 'data-protection'] },
      'operator',
      { ...words, authority },
      undefined,
    );
    const entries = (await readTopic(kafka, AUDIT_ENTRIES)).map(({ value }) => JSON.parse(String(value)) as object);
    expect(entries.filter((entry) => 'purpose' in entry && entry.purpose === authority)).toMatchObject([
      {
        operation: 'alteration',
        action: 'suspend-search',
        actor: 'dpo',
        role: 'data-protection',
        justification: words.reason,
        detail: { kind: 'operator' },
      },
    ]);
  });
});

describe('thresholds', () => {
  it('of the deployment are in force from the start, once, however many replicas start at once', async () => {
    const replicas = await Promise.all([replica(), replica(), replica()]);
    for (const { log, permits } of replicas) {
      expect(thresholdsInForce(log.state)).toMatchObject({ version: 2 });
      expect(permits.threshold('operator', 10)).toEqual({ version: 2, score: 0.4, evaluated: true });
      expect([...log.state.accepted.values()].map(({ type }) => type)).toEqual(['THRESHOLDS_DEPLOYED']);
    }
  });

  it('are changed by no file: a replica that starts with another one says so and keeps what is in force', async () => {
    await replica();
    const other = await replica({ thresholds: { version: 9, ...contents(0.1) }, fileSha256: 'f9'.repeat(32) });
    expect(other.permits.threshold('operator', 10)).toMatchObject({ version: 2, score: 0.4 });
    expect(other.warnings).toContain('thresholds-file-not-in-force');
  });

  it('are changed by two people, everywhere, and every answer names the version', async () => {
    const [here, there] = [await replica(), await replica()];
    const thresholds = contents(0.55);
    const proposed = await here.decisions.proposeThresholds(alice, { reason: words.reason, thresholds }, undefined);
    expect(proposed).toMatchObject({ version: 3, state: 'proposed', proposed: { by: 'alice' }, approved: null });
    expect(here.permits.threshold('operator', 10)).toMatchObject({ version: 2, score: 0.4 });
    const alone = () => there.decisions.approveThresholds(alice, 3, words.reason, undefined);
    expect(await codeOfAsync(alone)).toBe('APPROVER_NOT_DISTINCT');
    const approved = await there.decisions.approveThresholds(bob, 3, words.reason, undefined);
    expect(approved).toMatchObject({ state: 'in-force', approved: { by: 'bob' } });
    await eventually(() => expect(here.permits.threshold('operator', 10)).toMatchObject({ version: 3, score: 0.55 }));
    expect(here.decisions.thresholds()).toMatchObject({
      versionInForce: 3,
      versions: [{ version: 3 }, { version: 2, state: 'replaced' }],
    });
  });
});

describe('an override', () => {
  it('by two people lets production search beyond what was evaluated, until one ends it', async () => {
    const [here, there] = [await replica(), await replica()];
    const beyond = () => there.permits.threshold('operator', 5000);
    expect(codeOf(beyond)).toBe('MODEL_NOT_APPROVED');
    const { overrideId } = await here.decisions.proposeOverride(alice, { ...words, modelId }, undefined);
    expect(codeOf(beyond)).toBe('MODEL_NOT_APPROVED');
    await there.decisions.approveOverride(bob, overrideId, words.reason, undefined);
    expect(beyond()).toMatchObject({ evaluated: false, override: { decisionId: overrideId, by: ['alice', 'bob'] } });
    await here.decisions.endOverride(carol, overrideId, words.reason, undefined);
    await eventually(() => expect(codeOf(beyond)).toBe('MODEL_NOT_APPROVED'));
  });
});

describe('the same request again, under its Idempotency-Key', () => {
  it('is the same decision, on whichever replica, one after the other or at once', async () => {
    const [here, there] = [await replica(), await replica()];
    const key = randomUUID();
    const ask = ({ decisions }: Replica) => decisions.proposeOverride(alice, { ...words, modelId }, key);
    const [first, second] = await Promise.all([ask(here), ask(there)]);
    const third = await ask(there);
    expect([second.overrideId, third.overrideId]).toEqual([first.overrideId, first.overrideId]);
    expect(there.decisions.overrides()).toHaveLength(1);
  });

  it('with another content is refused', async () => {
    const here = await replica();
    const key = randomUUID();
    await here.decisions.proposeOverride(alice, { ...words, modelId }, key);
    const other = { ...words, authority: 'nobody', modelId };
    expect(await codeOfAsync(() => here.decisions.proposeOverride(alice, other, key))).toBe('IDEMPOTENCY_KEY_REUSED');
  });
});

it('what does not hold where the log has put it counts nowhere, and nor does what is no decision', async () => {
  const here = await replica();
  const base = { role: 'threshold-approver', reason: words.reason } as const;
  await write({ ...base, type: 'OVERRIDE_APPROVED', decisionId: randomUUID(), by: 'mallory', overrideId: 'none' });
  const proposal = { ...base, type: 'THRESHOLDS_PROPOSED', decisionId: randomUUID(), by: 'mallory' } as const;
  await write({ ...proposal, thresholds: contents(0.1) });
  await write({ ...base, type: 'THRESHOLDS_APPROVED', decisionId: randomUUID(), by: 'mallory', version: 3 });
  await kafka.publisher().publish({ topic, key: 'x', partition: 0, value: '{"type":' });
  const there = await replica();
  await here.decisions.suspend(alice, 'retrospective', words, undefined);
  await eventually(() => expect(there.log.state).toEqual(here.log.state));
  expect(here.permits.threshold('operator', 10)).toMatchObject({ version: 2 });
  expect(there.warnings.filter((event) => event === 'governance-decision-ignored')).toHaveLength(3);
});
