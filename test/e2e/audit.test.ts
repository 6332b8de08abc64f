/**
 * The audit of a running system: sealed while people search, verified by a copy of it on another machine, and the reason
 * why nothing is searched when it cannot be written.
 */
import { randomUUID } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseAuditEntry, type AuditEntry } from '#contracts/audit-record.js';
import { AUDIT_ENTRIES, AUDIT_LOG, desiredTopics } from '#contracts/topics.js';
import type { SearchAnswer } from '#domain/search-answer.js';
import { KafkaClient } from '#kafka/kafka-client.js';
import { setTopicSettings } from '#kafka/topic-settings-for-tests.js';
import { faceImage } from '#testkit/face-images-for-tests.js';
import { answerOf, call, metric, refusalOf, type HttpResult } from '#testkit/http-for-tests.js';
import { eventually, silentLog } from '#testkit/kafka-test-helpers.js';
import { modelPackForTests, samplePhotographsForTests } from '#testkit/model-pack-for-tests.js';
import { RunningSystem, type CommandResult } from '#testkit/running-system.js';
import { operatorForm, retrospectiveForm } from '#testkit/search-forms-for-tests.js';
import { readTopic } from '#testkit/topic-for-tests.js';

const UNSEALED_AGE_SECONDS_MAX = 10;
const SEARCHES_REFUSED = 12;
/** So many searches are begun until one is cut off between its two audit entries. */
const ATTEMPTS_MAX = 30;

describe('the audit', () => {
  let system: RunningSystem;
  let kafka: KafkaClient;
  let probe: Buffer;
  /** Of 20 megapixels, so that something can happen while it is searched for. */
  let largeProbe: Buffer;
  let officer: string;
  let operator: string;
  let auditor: string;

  beforeAll(async () => {
    const sample = await samplePhotographsForTests();
    probe = await faceImage(sample, sample.manifest.probe);
    largeProbe = await sharp(probe).resize({ height: 5_000 }).jpeg({ quality: 60 }).toBuffer();
    system = await RunningSystem.start(
      await RunningSystem.environment({ RATE_LIMIT: '10000', CONCURRENCY_LIMIT: '100', LOG_LEVEL: 'info' }),
    );
    [officer, operator, auditor] = await Promise.all([
      system.token('officer'),
      system.token('operator'),
      system.token('auditor'),
    ]);
    kafka = new KafkaClient({ brokers: system.settings.KAFKA_BROKERS, clientId: 'test', log: silentLog });
  });

  afterAll(async () => {
    await kafka?.close();
    await system?.stopAndForget();
  });

  const search = (image = probe, justification?: string): Promise<HttpResult> =>
    call(
      'POST',
      `${system.queryUrl}/v1/searches/operator`,
      officer,
      operatorForm(image, justification === undefined ? {} : { justification }),
    );
  const inDataFolder = (name: string): string => join(system.settings.DATA_DIR, name);
  const figure = (name: string): Promise<number | undefined> => metric(system.queryUrl, `custody_audit_${name}`);
  const sealedEverything = (): Promise<void> =>
    eventually(async () => expect(await figure('unsealed_records')).toBe(0), { timeoutMs: 30_000 });
  const verify = (file: string, ...more: string[]): Promise<CommandResult> =>
    system.custody('audit', 'verify', file, '--key', system.settings.AUDIT_SEAL_VERIFIER_KEYS_FILE, ...more);

  async function exported(): Promise<string> {
    const file = inDataFolder(`${randomUUID()}.jsonl`);
    const { code, stderr } = await system.custody('audit', 'export', '--out', file);
    expect(code, stderr).toBe(0);
    return file;
  }

  async function entries(): Promise<AuditEntry[]> {
    return (await readTopic(kafka, AUDIT_ENTRIES)).flatMap(({ value }) => (value && parseAuditEntry(value)) ?? []);
  }

  async function setWritable(writable: boolean): Promise<void> {
    const { modelId } = await modelPackForTests();
    const topic = desiredTopics({ modelId, profile: 'local', replication: 1 }).find(({ name }) => name === AUDIT_LOG)!;
    // A broker that refuses whatever is written to this topic, and to no other.
    const config = { ...topic.config, 'max.message.bytes': writable ? '1048588' : '1' };
    await setTopicSettings(system.settings.KAFKA_BROKERS[0]!, AUDIT_LOG, config);
  }

  test('is sealed while people search: no entry waits for longer than 10 s', async () => {
    const ages: number[] = [];
    for (const end = Date.now() + 12_000; Date.now() < end;) {
      answerOf(await search());
      ages.push((await figure('unsealed_age_seconds'))!);
    }
    console.info(`oldest unsealed entry, seen ${ages.length} times: ${Math.max(...ages).toFixed(1)} s at most`);
    expect(Math.max(...ages)).toBeLessThanOrEqual(UNSEALED_AGE_SECONDS_MAX);
    await sealedEverything();
    expect(await figure('log_records')).toBeGreaterThan(ages.length * 2);
  });

  test('names the account that sent an image over HTTP', async () => {
    const url = `${system.ingestUrl}/v1/images/sent-1?subjectId=sent-person`;
    answerOf(await call('PUT', url, await system.token('service', 'custody suite/7'), probe));
    await eventually(async () => {
      const entry = (await entries()).find(({ imageIds }) => imageIds?.includes('sent-1') === true);
      expect(entry).toMatchObject({
        operation: 'collection',
        actor: '/custody-face-search/ingest/http/custody%20suite%2F7',
      });
    });
  });

  test('is verified from an export alone, with a checkpoint that the auditor holds, and with the append-only copy', async () => {
    const { text: note } = await call('GET', `${system.queryUrl}/v1/audit/checkpoint`, auditor);
    const held = inDataFolder('held.note');
    await writeFile(held, note);
    answerOf(await search());
    await sealedEverything();
    const file = await exported();
    for (const checkpoint of [held, system.settings.AUDIT_CHECKPOINT_DIR]) {
      const { code, stdout, stderr } = await verify(file, '--checkpoint', checkpoint);
      expect(stdout + stderr).toContain('verified: nothing was changed, removed or reordered');
      expect(stdout).toContain('the log begins so');
      expect(code).toBe(0);
    }
    const { text: keys } = await call('GET', `${system.queryUrl}/v1/audit/keys`, auditor);
    expect(keys).toBe(await readFile(system.settings.AUDIT_SEAL_VERIFIER_KEYS_FILE, 'utf8'));
  });

  test('names the entry when one was changed, by its leaf, its id and its time', async () => {
    const file = await exported();
    const lines = (await readFile(file, 'utf8')).split('\n');
    const leaf = lines.map((line) => (line === '' ? {} : JSON.parse(line)) as Record<string, string>);
    const target = leaf.find(({ kind, index }) => kind === 'leaf' && Number(index) === 7)!;
    const at = leaf.findIndex(({ kind, eventId }) => kind === 'entry' && eventId === target['eventId']);
    const body = JSON.parse(Buffer.from(leaf[at]!['body']!, 'base64').toString()) as AuditEntry;
    const forged = Buffer.from(JSON.stringify({ ...body, actor: 'somebody-else' })).toString('base64');
    lines[at] = JSON.stringify({ ...leaf[at], body: forged });
    await writeFile(file, lines.join('\n'));
    const { code, stderr } = await verify(file);
    expect(code).toBe(1);
    expect(stderr).toContain(`AUDIT_CHANGED: First: leaf 7, entry ${target['eventId']}, ${body.at}`);
  });

  test('is for auditors, and its entries’ destruction for data protection', async () => {
    expect(refusalOf(await call('GET', `${system.queryUrl}/v1/audit`, officer))).toBe('403 ROLE_NOT_ALLOWED');
    const destroy = { before: '2020-01-01', authority: 'retention schedule', reason: 'the end of their retention' };
    const url = `${system.queryUrl}/v1/audit/destructions`;
    expect(refusalOf(await call('POST', url, auditor, destroy))).toBe('403 ROLE_NOT_ALLOWED');
    const tooEarly = await system.custody(
      ...['audit', 'destroy', '--before', new Date().toISOString()],
      ...['--authority', destroy.authority, '--reason', destroy.reason],
    );
    expect(tooEarly.stderr).toContain('AUDIT_RETENTION_NOT_OVER');
  });

  describe('that cannot be written', () => {
    test('answers no search: each is refused with AUDIT_UNAVAILABLE, nothing is shown, and then all works again', async () => {
      const { searchId } = answerOf<SearchAnswer>(await search());
      await setWritable(false);
      const retrospective = (): Promise<HttpResult> =>
        call('POST', `${system.queryUrl}/v1/searches/retrospective`, operator, retrospectiveForm(probe));
      const looks = [
        call('GET', `${system.queryUrl}/v1/searches/${searchId}`, officer),
        call('GET', `${system.queryUrl}/v1/searches`, operator),
        call('GET', `${system.queryUrl}/v1/audit`, auditor),
      ];
      const tried = await Promise.all([
        ...Array.from({ length: SEARCHES_REFUSED }, () => search()),
        ...Array.from({ length: 3 }, retrospective),
        ...looks,
      ]);
      const answers = new Set(tried.map((result) => refusalOf(result).slice(0, 80)));
      console.info(
        `searches and looks tried: ${tried.length}, answered: ${tried.filter(({ status }) => status < 300).length}`,
      );
      expect(answers).toEqual(new Set(['503 AUDIT_UNAVAILABLE']));
      await setWritable(true);
      await eventually(async () => expect((await search()).status).toBe(200));
    });

    test('in the middle of a search, has it refused too: what was found is not shown', async () => {
      let cutOff = 0;
      for (let attempt = 0; attempt < ATTEMPTS_MAX && cutOff === 0; attempt++) {
        const justification = `Found at the railway station, attempt ${randomUUID()}`;
        const searching = search(largeProbe, justification);
        await new Promise((resolve) => setTimeout(resolve, attempt * 20));
        await setWritable(false);
        const result = await searching;
        await setWritable(true);
        const actions = (await entries())
          .filter((one) => one.justification === justification)
          .map(({ action }) => action);
        const logged = new Set((await readTopic(kafka, AUDIT_LOG)).map(({ headers }) => headers['ce_id']));
        const begun = (await entries()).some(
          (one) => one.justification === justification && one.action === 'operator-search' && logged.has(one.eventId),
        );
        if (result.status === 200) {
          expect(actions.toSorted()).toEqual(['operator-search', 'operator-search-answered']);
          continue;
        }
        expect(refusalOf(result)).toBe('503 AUDIT_UNAVAILABLE');
        if (begun) cutOff++;
      }
      expect(cutOff).toBe(1);
    });

    test('leaves an audit behind that is verified', async () => {
      await sealedEverything();
      const { code, stdout, stderr } = await verify(
        await exported(),
        '--checkpoint',
        system.settings.AUDIT_CHECKPOINT_DIR,
      );
      expect(code, stdout + stderr).toBe(0);
    });
  });

  test('is sealed on after the query service was killed', async () => {
    await system.restart('query', 'SIGKILL');
    answerOf(await search());
    await sealedEverything();
    const { code, stdout, stderr } = await verify(
      await exported(),
      '--checkpoint',
      system.settings.AUDIT_CHECKPOINT_DIR,
    );
    expect(code, stdout + stderr).toBe(0);
  });
});
