/**
 * A topic that is made anew under a running replica, by somebody who runs Kafka: every view of it would go on showing what
 * is in no log any more. On a broker of its own, because its topics are deleted.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { makeSignerKey, parseVerifierKey } from '#audit/signed-note.js';
import {
  AUDIT_CHECKPOINTS,
  AUDIT_ENTRIES,
  AUDIT_LOG,
  desiredTopics,
  galleryTemplates,
  SEARCHES_EVENTS,
} from '#contracts/topics.js';
import { codeOfAsync } from '#domain/codes-for-tests.js';
import type { ModelId } from '#domain/ids.js';
import type { KafkaClient } from '#kafka/kafka-client.js';
import { deleteTopic } from '#kafka/topic-deletion-for-tests.js';
import type { Log } from '#platform/log.js';
import { clientForTests, eventually } from '#testkit/kafka-test-helpers.js';
import { RestartableBroker } from '#testkit/restartable-broker.js';
import { AuditView } from './audit/audit-view.js';
import { GalleryRegister } from './data-protection/gallery-register.js';
import { SearchView } from './searches/search-view.js';

const modelId = 'a0d170a0d170a0d1' as ModelId;
const TEMPLATES = galleryTemplates(modelId);
const keys = [parseVerifierKey(makeSignerKey('example.org/audit').verifierKey)!];
const RECORDS = 5;

interface View {
  caughtUp(): Promise<void>;
  close(): Promise<void>;
}

let broker: RestartableBroker;
let kafka: KafkaClient;
let home: string;
let file: string;
const fatal: unknown[] = [];
const warnings: string[] = [];
const log: Log = { debug() {}, info() {}, error() {}, warn: (event) => void warnings.push(event) };
const onFatal = (error: unknown): void => void fatal.push(error);

beforeAll(async () => {
  broker = await RestartableBroker.start();
});
afterAll(() => broker.dispose());
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'view-outside-log-'));
  file = join(home, 'view.sqlite');
  kafka = clientForTests(broker.brokers, log);
  await makeTopics();
  fatal.length = 0;
  warnings.length = 0;
});
afterEach(async () => {
  await kafka.close();
  await rm(home, { recursive: true });
});

async function makeTopics(): Promise<void> {
  const ours: readonly string[] = [AUDIT_LOG, AUDIT_ENTRIES, AUDIT_CHECKPOINTS, SEARCHES_EVENTS, TEMPLATES];
  const topics = desiredTopics({ modelId, profile: 'local', replication: 1 });
  await kafka.topicAdmin().applyTopics(topics.filter(({ name }) => ours.includes(name)));
}

/** What is in the records is no matter: a view passes over what it cannot read. */
async function publish(topic: string): Promise<void> {
  const value = Buffer.alloc(32, 1);
  const records = Array.from({ length: RECORDS }, (_, i) => ({ topic, key: `key-${i}`, partition: 0, value }));
  await kafka.publisher({ deadlineMs: 5_000 }).publishAll(records);
}

const openAudit = (): Promise<AuditView> => AuditView.open({ kafka, file, keys, log, onFatal });
const openRegister = (): Promise<GalleryRegister> =>
  GalleryRegister.open({
    kafka,
    file,
    modelId,
    after: Promise.resolve(),
    dispositionOf: () => undefined,
    reviewOn: () => undefined,
    log,
    onFatal,
  });

const VIEWS: readonly (readonly [string, string, string, () => Promise<View>])[] = [
  ['the audit', AUDIT_LOG, 'VIEW_OUTSIDE_LOG', openAudit],
  ['the searches', SEARCHES_EVENTS, 'VIEW_OUTSIDE_LOG', () => SearchView.open(kafka, file, log, onFatal)],
  ['the images held', TEMPLATES, 'REGISTER_OUTSIDE_LOG', openRegister],
];

describe.each(VIEWS)('a view of %s whose topic is made anew', (_name, topic, code, open) => {
  it('ends its process, and the next one builds it again', async () => {
    await publish(topic);
    const running = await open();
    await running.caughtUp();
    await deleteTopic(broker.brokers, topic);
    await makeTopics();
    await eventually(() => expect(fatal).toHaveLength(1), { timeoutMs: 40_000 });
    expect(fatal[0]).toMatchObject({ code, retryable: false });
    await running.close();
    const next = await open();
    await next.caughtUp();
    expect(warnings).toContainEqual(expect.stringContaining('-rebuilt'));
    await publish(topic);
    await next.close();
    const after = await open();
    await after.caughtUp();
    await after.close();
    expect(fatal).toHaveLength(1);
  });
});

describe('reading to the end', () => {
  it.each([
    ['the audit', AUDIT_LOG, 'VIEW_OUTSIDE_LOG', openAudit],
    ['the images held', TEMPLATES, 'REGISTER_OUTSIDE_LOG', openRegister],
  ] as const)('fails where %s reaches further than its log', async (_name, topic, code, open) => {
    await publish(topic);
    const running = await open();
    await running.caughtUp();
    await deleteTopic(broker.brokers, topic);
    await makeTopics();
    expect(await codeOfAsync(() => running.readToEnd())).toBe(code);
    await running.close();
  });
});
