import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { encodeTemplate, templateHeaders } from '#contracts/template-record.js';
import { deadLetters, desiredTopics, galleryTemplates } from '#contracts/topics.js';
import { imageId, offset, subjectId } from '#domain/ids.js';
import type { ModelPack } from '#face/model-pack.js';
import { freePort } from '#kafka/free-port.js';
import type { KafkaClient } from '#kafka/kafka-client.js';
import { deleteTopic } from '#kafka/topic-deletion-for-tests.js';
import { call } from '#testkit/http-for-tests.js';
import { clientForTests, eventually } from '#testkit/kafka-test-helpers.js';
import { modelPackFolderForTests, modelPackForTests, unlessOffline } from '#testkit/model-pack-for-tests.js';
import { RestartableBroker } from '#testkit/restartable-broker.js';

const MAIN = fileURLToPath(new URL('../../../dist/apps/index/src/main.js', import.meta.url));
const packFolder = await unlessOffline(modelPackFolderForTests());

describe.skipIf(packFolder === undefined)('the index service', { timeout: 120_000 }, () => {
  let broker: RestartableBroker;
  let kafka: KafkaClient;
  let pack: ModelPack;
  let folder: string;
  let port: number;
  const started: ChildProcess[] = [];

  beforeAll(async () => {
    pack = await modelPackForTests();
    broker = await RestartableBroker.start();
    kafka = clientForTests(broker.brokers);
    folder = await mkdtemp(join(tmpdir(), 'index-'));
    port = await freePort();
    await mkdir(join(folder, 'keys'));
    await writeFile(join(folder, 'keys', 'issuer.jwks.json'), '{"keys":[]}');
  });

  afterAll(async () => {
    for (const child of started) child.kill('SIGKILL');
    await kafka?.close();
    await broker?.dispose();
    await rm(folder, { recursive: true, force: true });
  });

  const templates = (): string => galleryTemplates(pack.modelId);

  /** With one setting that the service will remark upon when it has found all topics. */
  async function applyTopics(): Promise<void> {
    const desired = desiredTopics({ modelId: pack.modelId, profile: 'local', replication: 1 }).map((topic) => {
      if (topic.name !== deadLetters(templates())) return topic;
      return { ...topic, config: { ...topic.config, 'retention.ms': '3600000' } };
    });
    await kafka.topicAdmin().applyTopics(desired);
  }

  async function publishTemplate(partition: number): Promise<void> {
    const { dimension } = pack.manifest.embedder;
    const id = imageId(`image-${partition}`);
    const metadata = { imageId: id, subjectId: subjectId('subject') };
    const source = { sourceOffset: offset(0), acceptedAtMs: Date.now() };
    const vector = Float32Array.from({ length: dimension }, (_, i) => (i === partition ? 1 : 0));
    await kafka.publisher().publish({
      topic: templates(),
      partition,
      key: id,
      value: encodeTemplate(vector),
      headers: templateHeaders({ modelId: pack.modelId, metadata, source }, '/test'),
    });
  }

  function start(): { child: ChildProcess; said: () => string; ended: Promise<unknown[]> } {
    const child = spawn(process.execPath, [MAIN], {
      env: {
        ...process.env,
        DATA_DIR: folder,
        KAFKA_BROKERS: broker.brokers,
        MODEL_PACK_DIR: packFolder!,
        INDEX_PORT: String(port),
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    started.push(child);
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += String(chunk)));
    return { child, said: () => output, ended: once(child, 'exit') };
  }

  const health = async (): Promise<string> => (await call('GET', `http://127.0.0.1:${port}/health/ready`)).text;

  it('keeps at SIGTERM what it has replayed, and goes on from there', async () => {
    await applyTopics();
    for (const partition of [0, 1, 2]) await publishTemplate(partition);
    await kafka.publisher().publish({ topic: templates(), partition: 3, key: 'poison', value: 'not a template' });
    const first = start();
    // The replay waits for the dead letter's topic, which goes while the service is held between its check and that.
    await eventually(() => expect(first.said()).toContain('topic-setting-differs'), { intervalMs: 1 });
    first.child.kill('SIGSTOP');
    await deleteTopic(broker.brokers, deadLetters(templates()));
    first.child.kill('SIGCONT');
    await eventually(async () => expect(await health(), first.said()).toContain('"1 template records to go'));
    first.child.kill('SIGTERM');
    await eventually(() => expect(first.said()).toContain('shutdown-requested'));
    await applyTopics();
    expect((await first.ended)[0], first.said()).toBe(0);
    expect(first.said()).toMatch(/"reason":"shutdown".*"templates":3.*"snapshot-written"/);

    const second = start();
    await eventually(async () => expect(await health(), second.said()).toContain('"ok"'));
    expect(second.said()).toMatch(/"templates":3,"event":"snapshot-restored"/);
    second.child.kill('SIGTERM');
    expect((await second.ended)[0], second.said()).toBe(0);
  });
});
