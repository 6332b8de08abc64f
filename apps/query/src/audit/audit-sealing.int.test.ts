/** The seals and their append-only copy, whose folder fails while the log is sealed. On a broker of its own. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { AuditLog } from '#audit/audit-log.js';
import { AuditSealer } from '#audit/audit-sealer.js';
import { CheckpointFolder } from '#audit/checkpoint-folder.js';
import { makeSignerKey, NoteSigner } from '#audit/signed-note.js';
import { AUDIT_CHECKPOINTS, AUDIT_ENTRIES, AUDIT_LOG, desiredTopics } from '#contracts/topics.js';
import type { ModelId } from '#domain/ids.js';
import { Health } from '#platform/health.js';
import type { Log } from '#platform/log.js';
import { QueryMetrics } from '#platform/metrics.js';
import { clientForTests, eventually } from '#testkit/kafka-test-helpers.js';
import { RestartableBroker } from '#testkit/restartable-broker.js';
import { AuditSealing } from './audit-sealing.js';
import { AuditView } from './audit-view.js';

const signer = NoteSigner.parse(makeSignerKey('example.org/audit').signerKey)!;
const keys = [signer.verifier];
const SEALED_WITHIN = { timeoutMs: 20_000 };

it('seals on while the append-only copy cannot be written, shows how far that is behind, and fills it afterwards', async () => {
  const broker = await RestartableBroker.start();
  const home = await mkdtemp(join(tmpdir(), 'audit-sealing-'));
  const errors: string[] = [];
  const fatal: unknown[] = [];
  const log: Log = { debug() {}, info() {}, warn() {}, error: (event) => void errors.push(event) };
  const onFatal = (error: unknown): void => void fatal.push(error);
  const kafka = clientForTests(broker.brokers, log);
  const topics = desiredTopics({ modelId: 'a0d170a0d170a0d1' as ModelId, profile: 'local', replication: 1 });
  const ours: readonly string[] = [AUDIT_LOG, AUDIT_ENTRIES, AUDIT_CHECKPOINTS];
  await kafka.topicAdmin().applyTopics(topics.filter(({ name }) => ours.includes(name)));
  const publisher = kafka.publisher({ deadlineMs: 5_000 });
  const audit = new AuditLog(publisher, '/test');
  const view = await AuditView.open({ kafka, file: join(home, 'audit.sqlite'), keys, log, onFatal });
  const folder = join(home, 'checkpoints');
  const sealer = new AuditSealer(view, signer, await CheckpointFolder.open(folder, keys), publisher, '/test');
  await rm(folder, { recursive: true });
  await writeFile(folder, 'a file where the folder was');
  const metrics = new QueryMetrics();
  const gauges = async (): Promise<{ records: number; ageSeconds: number }> => ({
    records: (await metrics.auditUncopiedRecords.get()).values[0]!.value,
    ageSeconds: (await metrics.auditUncopiedAgeSeconds.get()).values[0]!.value,
  });
  const append = (purpose: string): Promise<void> =>
    audit.append([{ operation: 'consultation', action: 'test', actor: 'officer-1', role: 'officer', purpose }]);
  const sealing = new AuditSealing(kafka, view, sealer, { metrics, health: new Health([]), log, onFatal });
  try {
    for (const size of [1, 2]) {
      await append(`${size}`);
      await eventually(() => expect(view.lastCheckpoint()?.size).toBe(size), SEALED_WITHIN);
      await eventually(async () => expect((await gauges()).records).toBe(size), SEALED_WITHIN);
    }
    expect((await gauges()).ageSeconds).toBeGreaterThan(0);
    expect(new Set(errors)).toEqual(new Set(['audit-not-copied']));
    const failures = await metrics.auditSealFailuresTotal.get();
    expect(failures.values.filter(({ value }) => value > 0).map(({ labels }) => labels['reason'])).toEqual(['copy']);
    await rm(folder);
    await mkdir(folder);
    await eventually(async () => expect(await gauges()).toEqual({ records: 0, ageSeconds: 0 }), SEALED_WITHIN);
    expect((await CheckpointFolder.open(folder, keys)).newest?.size).toBe(2);
    expect(fatal).toEqual([]);
  } finally {
    await sealing.close();
    await view.close();
    await kafka.close();
    await broker.dispose();
    await rm(home, { recursive: true });
  }
});
