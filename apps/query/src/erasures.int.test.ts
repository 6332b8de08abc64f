import { randomUUID } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { exportJWK, generateKeyPair } from 'jose';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { AuditLog } from '#audit/audit-log.js';
import { AUDIT_ENTRIES, AUDIT_LOG, CUSTODY_DISPOSITIONS, CUSTODY_IMAGES, desiredTopics } from '#contracts/topics.js';
import type { ImageId, ModelId } from '#domain/ids.js';
import { DispositionFollower } from '#kafka/disposition-follower.js';
import type { KafkaClient } from '#kafka/kafka-client.js';
import { AssertionSigner } from '#platform/identity.js';
import { clientForTests, eventually, silentLog } from '#testkit/kafka-test-helpers.js';
import { lastOfKey, readTopic } from '#testkit/topic-for-tests.js';
import { Erasures } from './erasures.js';

const TOPICS = [CUSTODY_IMAGES, CUSTODY_DISPOSITIONS, AUDIT_ENTRIES, AUDIT_LOG];
const dpo = { id: 'dpo-1', roles: ['data-protection'] } as const;

let kafka: KafkaClient;
let home: string;
let signer: AssertionSigner;
beforeAll(async () => {
  kafka = clientForTests();
  const topics = desiredTopics({ modelId: 'a0d170a0d170a0d1' as ModelId, profile: 'local', replication: 1 });
  await kafka.topicAdmin().applyTopics(topics.filter(({ name }) => TOPICS.includes(name)));
  home = await mkdtemp(join(tmpdir(), 'erasures-'));
  const { privateKey } = await generateKeyPair('EdDSA', { extractable: true });
  const key = { ...(await exportJWK(privateKey)), kid: 'custody-query', alg: 'EdDSA' };
  await writeFile(join(home, 'key.jwk'), JSON.stringify(key));
  signer = await AssertionSigner.open(join(home, 'key.jwk'));
});
afterAll(async () => {
  await kafka.close();
  await rm(home, { recursive: true });
});

const request = () => ({
  imageId: `test-${randomUUID()}` as ImageId,
  authority: 'DPA 2018 s.47',
  reason: 'The request of the person was upheld',
});

it('keeps the image out of searches at once, while no ingest is there to come to the null', async () => {
  const fatal: unknown[] = [];
  const dispositions = new DispositionFollower(kafka, silentLog, (error) => void fatal.push(error));
  await dispositions.start();
  const asked = request();
  const erasures = new Erasures(kafka.publisher(), signer, new AuditLog(kafka.publisher(), '/test'));
  const { source } = await erasures.request(dpo, asked);
  await eventually(() => expect(dispositions.get(asked.imageId)).toBeDefined(), { timeoutMs: 2_000 });
  const { reason, authority } = asked;
  const erased = { kind: 'erased', sourceOffset: source.offset, authority, reason };
  expect(dispositions.get(asked.imageId)).toMatchObject(erased);
  await dispositions.close();
  expect(fatal).toEqual([]);
});

it('asks for nothing, and hides nothing, that is not on record', async () => {
  const unavailable = new AuditLog({ publishAll: () => Promise.reject(new Error('away')) }, '/test');
  const [refused, accepted] = [request(), request()];
  await expect(new Erasures(kafka.publisher(), signer, unavailable).request(dpo, refused)).rejects.toMatchObject({
    code: 'AUDIT_UNAVAILABLE',
  });
  await new Erasures(kafka.publisher(), signer, new AuditLog(kafka.publisher(), '/test')).request(dpo, accepted);
  for (const topic of [CUSTODY_IMAGES, CUSTODY_DISPOSITIONS]) {
    const written = lastOfKey(await readTopic(kafka, topic));
    expect([written.has(refused.imageId), written.has(accepted.imageId)]).toEqual([false, true]);
  }
});
