/** The audit on a broker of its own, which is stopped, written to by others and looked at from several replicas. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AuditLog } from '#audit/audit-log.js';
import { AuditSealer } from '#audit/audit-sealer.js';
import { keptEntry, verifyAudit, type AuditCopy, type KeptEntry } from '#audit/audit-verification.js';
import { CheckpointFolder } from '#audit/checkpoint-folder.js';
import { openCheckpoint } from '#audit/checkpoint.js';
import { leafHash, verifyConsistency, verifyInclusion } from '#audit/merkle-tree.js';
import { makeSignerKey, NoteSigner } from '#audit/signed-note.js';
import {
  auditEntry,
  auditLeaf,
  destructionStatement,
  encodeAuditEntry,
  parseAuditEntry,
  type AuditStatement,
} from '#contracts/audit-record.js';
import { parseAuditLine } from '#contracts/audit-seal-record.js';
import { AUDIT_CHECKPOINTS, AUDIT_ENTRIES, AUDIT_LOG, desiredTopics } from '#contracts/topics.js';
import { codeOfAsync } from '#domain/codes-for-tests.js';
import type { Actor } from '#domain/identity.js';
import type { ModelId } from '#domain/ids.js';
import type { KafkaClient } from '#kafka/kafka-client.js';
import { Health } from '#platform/health.js';
import type { Log } from '#platform/log.js';
import { QueryMetrics } from '#platform/metrics.js';
import { clientForTests, eventually } from '#testkit/kafka-test-helpers.js';
import { RestartableBroker } from '#testkit/restartable-broker.js';
import { AuditDestructions } from './audit-destruction.js';
import { AuditExport } from './audit-export.js';
import { AuditReading, type ConsistencyProof, type InclusionProof } from './audit-reading.js';
import { AuditSealing } from './audit-sealing.js';
import { AuditView } from './audit-view.js';

const auditor: Actor = { id: 'auditor-1', roles: ['auditor'] };
const dataProtection: Actor = { id: 'dp-1', roles: ['data-protection'] };
const signer = NoteSigner.parse(makeSignerKey('example.org/audit').signerKey)!;
const keys = [signer.verifier];
/** What the issue promises, and time for a machine that does something else too. */
const SEALED_WITHIN = { timeoutMs: 20_000 };

let broker: RestartableBroker;
let home: string;
const fatal: unknown[] = [];
const warnings: string[] = [];
const errors: string[] = [];
const log: Log = {
  debug() {},
  info() {},
  warn: (event) => void warnings.push(event),
  error: (event) => void errors.push(event),
};

/** A query replica, as far as the audit goes. */
class Replica {
  readonly metrics = new QueryMetrics();
  readonly health = new Health([]);
  readonly kafka: KafkaClient;
  readonly audit: AuditLog;
  view!: AuditView;
  sealing: AuditSealing | undefined;

  constructor(readonly name: string) {
    this.kafka = clientForTests(broker.brokers, log);
    this.audit = new AuditLog(this.kafka.publisher({ deadlineMs: 5_000 }), '/test');
  }

  async open(): Promise<this> {
    const { kafka } = this;
    this.view = await AuditView.open({
      kafka,
      file: this.file,
      keys,
      log,
      onFatal: (error) => void fatal.push(error),
    });
    await this.view.caughtUp();
    return this;
  }

  get file(): string {
    return join(home, this.name, 'audit.sqlite');
  }

  get folder(): string {
    return join(home, this.name, 'checkpoints');
  }

  get reading(): AuditReading {
    return new AuditReading(this.view, this.audit);
  }

  async sealer(): Promise<AuditSealer> {
    const folder = await CheckpointFolder.open(this.folder, keys);
    return new AuditSealer(this.view, signer, folder, this.kafka.publisher({ deadlineMs: 5_000 }), '/test');
  }

  async seal(): Promise<void> {
    const { kafka, view, metrics, health } = this;
    this.sealing = new AuditSealing(kafka, view, await this.sealer(), {
      metrics,
      health,
      log,
      onFatal: (error) => void fatal.push(error),
    });
  }

  async close(): Promise<void> {
    await this.sealing?.close();
    await this.view.close();
    await this.kafka.close();
  }
}

let first: Replica;
let second: Replica;

beforeAll(async () => {
  broker = await RestartableBroker.start();
  home = await mkdtemp(join(tmpdir(), 'audit-'));
  first = new Replica('first');
  const topics = desiredTopics({ modelId: 'a0d170a0d170a0d1' as ModelId, profile: 'local', replication: 1 });
  const ours: readonly string[] = [AUDIT_LOG, AUDIT_ENTRIES, AUDIT_CHECKPOINTS];
  await first.kafka.topicAdmin().applyTopics(topics.filter(({ name }) => ours.includes(name)));
  await first.open();
  second = await new Replica('second').open();
});
afterAll(async () => {
  await Promise.all([first, second].map((replica) => replica.close()));
  await broker.dispose();
  await rm(home, { recursive: true });
  expect(fatal).toEqual([]);
});

function statement(purpose: string, more: Partial<AuditStatement> = {}): AuditStatement {
  return { operation: 'consultation', action: 'test', actor: 'officer-1', role: 'officer', purpose, ...more };
}

async function sealedEverything(replica: Replica): Promise<void> {
  await eventually(async () => {
    await replica.view.readToEnd();
    expect(replica.view.lastCheckpoint()?.size).toBe(replica.view.size);
  }, SEALED_WITHIN);
}

async function exportOf(replica: Replica): Promise<AuditCopy> {
  const lines: string[] = [];
  await new AuditExport(replica.kafka, replica.audit).write((text) => {
    lines.push(...text.split('\n').filter((line) => line !== ''));
    return Promise.resolve();
  });
  const parsed = lines.map((line) => parseAuditLine(line)!);
  expect(parsed.at(0)?.kind).toBe('audit-export');
  expect(parsed.at(-1)?.kind).toBe('end');
  const entries = new Map<string, KeptEntry>();
  for (const line of parsed) {
    if (line.kind !== 'entry') continue;
    if (line.body === null) entries.delete(line.eventId);
    else entries.set(line.eventId, keptEntry(line.body));
  }
  const [begin, end] = [parsed.at(0), parsed.at(-1)];
  const opened = parsed.flatMap((line) => (line.kind === 'checkpoint' ? [openCheckpoint(line.note, keys)] : []));
  return {
    copiedAtMs: Date.parse(begin?.kind === 'audit-export' ? begin.exportedAt : ''),
    copyEndedAtMs: Date.parse(end?.kind === 'end' ? end.endedAt! : ''),
    leaves: parsed.flatMap((line) => (line.kind === 'leaf' ? [line] : [])),
    entries,
    checkpoints: opened.filter((checkpoint) => checkpoint !== undefined),
    unsignedCheckpoints: opened.filter((checkpoint) => checkpoint === undefined).length,
    sealed: parsed.flatMap((line) => (line.kind === 'sealed' ? [line] : [])),
  };
}

describe('the audit in Kafka', () => {
  const signedBy = (replica: Replica): Promise<number> =>
    replica.metrics.auditCheckpointsTotal.get().then(({ values }) => values[0]!.value);

  it('is sealed by the replica whose turn it is, and the other one knows', async () => {
    await first.seal();
    await second.seal();
    for (let i = 0; i < 20; i++) await first.audit.append([statement(`purpose ${i}`), statement(`again ${i}`)]);
    await sealedEverything(first);
    await sealedEverything(second);
    expect(first.view.size).toBe(40);
    expect(second.view.rootAt(40)).toEqual(first.view.rootAt(40));
    await eventually(async () => expect((await signedBy(first)) + (await signedBy(second))).toBeGreaterThan(0));
  });

  it('is sealed on by the other one when one ends, whichever it is', async () => {
    for (const [ended, other] of [
      [first, second],
      [second, first],
    ] as const) {
      await ended.sealing!.close();
      const before = await signedBy(other);
      await other.audit.append([statement('after the handover')]);
      await sealedEverything(other);
      await eventually(async () => expect(await signedBy(other)).toBeGreaterThan(before));
      await ended.seal();
    }
  });

  it('proves each entry, by its id or its index, to whoever has the key alone', async () => {
    const { entries } = await first.reading.list(auditor, { actor: 'officer-1', limit: '500' });
    expect(entries.length).toBeGreaterThan(40);
    for (const { eventId, index } of entries) {
      const proof = (await second.reading.proof(auditor, { eventId })) as InclusionProof;
      const checkpoint = openCheckpoint(proof.checkpoint, keys)!;
      const path = proof.proof.map((hash) => Buffer.from(hash, 'base64'));
      expect(proof.index).toBe(index);
      expect(auditLeaf(Buffer.from(proof.entry!)).toString('base64')).toBe(proof.leaf);
      const hash = leafHash(Buffer.from(proof.leaf, 'base64'));
      expect(verifyInclusion(hash, index, checkpoint.size, path, checkpoint.root)).toBe(true);
    }
    const byIndex = (await first.reading.proof(auditor, { index: '3', size: '40' })) as InclusionProof;
    expect(byIndex).toMatchObject({ index: 3, size: 40 });
  });

  it('proves that it grew out of every earlier checkpoint', async () => {
    await sealedEverything(first);
    for (const { size } of first.view.checkpointsAfter(0)) {
      const proof = (await first.reading.proof(auditor, { from: String(size) })) as ConsistencyProof;
      const [from, to] = [proof.fromCheckpoint, proof.toCheckpoint].map((note) => openCheckpoint(note, keys)!);
      const path = proof.proof.map((hash) => Buffer.from(hash, 'base64'));
      expect(verifyConsistency(from!.size, to!.size, path, from!.root, to!.root)).toBe(true);
    }
  });

  it('has each look at it as an entry, before it is answered', async () => {
    const before = first.view.size;
    await first.reading.list(auditor, { subjectId: 'subject-7' });
    await first.reading.checkpoint(auditor, {});
    await first.reading.proof(auditor, { index: '0' });
    await new AuditExport(first.kafka, first.audit).begin(auditor);
    await first.view.readToEnd();
    // Asked by another, because each question is an entry too.
    const other: Actor = { id: 'auditor-2', roles: ['auditor'] };
    const { entries } = await eventually(async () => {
      const page = await first.reading.list(other, { actor: auditor.id, limit: '5' });
      expect(page.entries[0]!.entry?.action).toBe('audit-exported');
      return page;
    });
    expect(first.view.size).toBeGreaterThanOrEqual(before + 4);
    expect(entries.slice(0, 4).map(({ entry }) => entry?.action)).toEqual([
      'audit-exported',
      'audit-proof-read',
      'audit-checkpoint-read',
      'audit-read',
    ]);
    expect(entries[3]!.entry).toMatchObject({ subjectIds: ['subject-7'], detail: { subjectId: 'subject-7' } });
  });

  it('finds entries by who, what, whose and when, page by page', async () => {
    const subjectIds = ['subject-1', 'subject-2'];
    await first.audit.append([
      statement('found', { actor: 'PC1', subjectIds, imageIds: ['image-1'], searchId: 'search-1' }),
      statement('found too', { actor: 'PC1', operation: 'erasure', action: 'other', subjectIds: ['subject-2'] }),
    ]);
    const purposes = async (query: Record<string, string>): Promise<string[]> => {
      const { entries } = await first.reading.list(auditor, query);
      return entries.map(({ entry }) => entry!.purpose);
    };
    await eventually(async () => expect(await purposes({ actor: 'PC1' })).toEqual(['found too', 'found']));
    const notAudit = (found: string[]): string[] => found.filter((purpose) => purpose !== 'audit');
    expect(notAudit(await purposes({ subjectId: 'subject-1' }))).toEqual(['found']);
    expect(notAudit(await purposes({ subjectId: 'subject-2' }))).toEqual(['found too', 'found']);
    expect(notAudit(await purposes({ imageId: 'image-1' }))).toEqual(['found']);
    expect(notAudit(await purposes({ searchId: 'search-1' }))).toEqual(['found']);
    expect(await purposes({ actor: 'PC1', operation: 'erasure' })).toEqual(['found too']);
    expect(await purposes({ actor: 'PC1', from: '2100-01-01' })).toEqual([]);
    const page = await first.reading.list(auditor, { actor: 'PC1', limit: '1' });
    const next = await first.reading.list(auditor, { actor: 'PC1', limit: '1', cursor: page.nextCursor! });
    expect([page, next].map(({ entries }) => entries[0]!.entry!.purpose)).toEqual(['found too', 'found']);
    expect(next.nextCursor).toBeNull();
  });

  it.each([
    [{ eventId: 'no-such-entry' }, 'AUDIT_ENTRY_NOT_FOUND'],
    [{ index: '1000000' }, 'AUDIT_ENTRY_NOT_FOUND'],
    [{ index: '0', size: '7654321' }, 'CHECKPOINT_NOT_FOUND'],
    [{ from: '7654321' }, 'CHECKPOINT_NOT_FOUND'],
    [{ from: '1', index: '2' }, 'BAD_REQUEST'],
    [{}, 'BAD_REQUEST'],
  ])('refuses to prove %j with %s', async (query, code) => {
    expect(await codeOfAsync(() => first.reading.proof(auditor, query))).toBe(code);
  });

  it('gives the same view after its file was deleted', async () => {
    await sealedEverything(first);
    const { size } = first.view;
    const [root, checkpoints] = [first.view.rootAt(size), first.view.checkpointsAfter(0)];
    const listed = first.view.list({}, size, 500);
    await first.sealing!.close();
    await first.view.close();
    await rm(first.file);
    await first.open();
    expect(first.view.size).toBeGreaterThanOrEqual(size);
    expect(first.view.rootAt(size)).toEqual(root);
    expect(first.view.list({}, size, 500)).toEqual(listed);
    expect(first.view.checkpointsAfter(0).slice(0, checkpoints.length)).toEqual(checkpoints);
    await first.seal();
  });

  it('passes over a checkpoint that somebody else has signed', async () => {
    const other = NoteSigner.parse(makeSignerKey('example.org/audit').signerKey)!;
    const note = other.sign(`example.org/audit\n1000000\n${Buffer.alloc(32).toString('base64')}\n`);
    const headers = { ce_type: 'audit.checkpoint.v1' };
    await first.kafka.publisher().publish({ topic: AUDIT_CHECKPOINTS, key: null, partition: 0, value: note, headers });
    await first.view.readToEnd();
    expect(first.view.lastCheckpoint()!.size).toBeLessThan(1_000_000);
    expect(warnings).toContain('audit-checkpoint-unsigned');
    expect((await exportOf(first)).unsignedCheckpoints).toBe(1);
  });
});

describe('the end of the entries’ retention', () => {
  const request = (before: string): { beforeMs: number; authority: string; reason: string } => ({
    beforeMs: Date.parse(before),
    authority: 'retention schedule 7.2',
    reason: 'the end of their retention',
  });

  it('does not come before it is there', async () => {
    const destructions = new AuditDestructions(first.view, first.audit, first.kafka.publisher(), 30);
    const tooEarly = () => destructions.destroy(dataProtection, request(new Date().toISOString()), undefined);
    expect(await codeOfAsync(tooEarly)).toBe('AUDIT_RETENTION_NOT_OVER');
  });

  it('destroys what was logged before, keeps the decision itself, and every leaf stays provable', async () => {
    await sealedEverything(first);
    // The entry of somebody who died before its leaf.
    const unlogged = encodeAuditEntry(auditEntry(statement('unlogged')));
    const { eventId: withoutLeaf } = parseAuditEntry(unlogged)!;
    await first.kafka.publisher().publish({ topic: AUDIT_ENTRIES, key: withoutLeaf, value: unlogged });
    await eventually(() => expect(first.view.unloggedBefore(Date.now() + 1)).toEqual([withoutLeaf]));
    const keptFrom = new Date(Date.now() + 1).toISOString();
    await new Promise((resolve) => setTimeout(resolve, 5));
    await first.audit.append([statement('after')]);
    const destructions = new AuditDestructions(first.view, first.audit, first.kafka.publisher(), 0);
    const done = await destructions.destroy(dataProtection, request(keptFrom), 'key-1');
    expect(done.entries).toBeGreaterThan(40);
    await eventually(() => expect(first.view.leaf(0)!.body).toBeUndefined());
    await eventually(() => expect(first.view.unloggedBefore(Date.now())).toEqual([]));
    const again = await destructions.destroy(dataProtection, request(keptFrom), 'key-1');
    expect(again).toMatchObject({ destructionId: done.destructionId, belowIndex: done.belowIndex, entries: 0 });
    await sealedEverything(first);
    const { entries } = await first.reading.list(auditor, { limit: '500' });
    const states = new Map(entries.map(({ index, state }) => [index, state]));
    expect(states.get(0)).toBe('destroyed');
    expect(states.get(done.belowIndex)).toBe('kept');
    expect(await first.reading.proof(auditor, { index: '0' })).toMatchObject({ entry: null, index: 0 });
    const report = verifyAudit({ ...(await exportOf(first)), unsignedCheckpoints: 0 });
    expect(report).toMatchObject({ findings: [], destroyed: done.entries });
  });
});

describe('an audit topic that somebody else writes to', () => {
  const rewrite = (topic: string, key: string | null, value: Buffer, headers: Record<string, string> = {}) =>
    first.kafka.publisher().publish({ topic, key, value, headers, ...(key === null && { partition: 0 }) });

  it('shows which entry was overwritten, to those who look and to those who verify', async () => {
    await first.audit.append([statement('to be overwritten', { actor: 'PC9' })]);
    const [target] = await eventually(async () => {
      const { entries } = await first.reading.list(auditor, { actor: 'PC9' });
      expect(entries).toHaveLength(1);
      return entries;
    });
    const forged = Buffer.from(JSON.stringify({ ...target!.entry, actor: 'PC8' }));
    await rewrite(AUDIT_ENTRIES, target!.eventId, forged);
    await eventually(async () => {
      const { entries } = await first.reading.list(auditor, { actor: 'PC8' });
      expect(entries.map(({ state }) => state)).toEqual(['changed']);
    });
    const { findings } = verifyAudit({ ...(await exportOf(first)), unsignedCheckpoints: 0 });
    expect(findings).toMatchObject([{ kind: 'entry-changed', index: target!.index, eventId: target!.eventId }]);
  });

  it('shows that an entry was taken away, though somebody has written that it was destroyed as it should be', async () => {
    await first.audit.append([statement('to be taken away', { actor: 'PC7' })]);
    const [target] = await eventually(async () => {
      const { entries } = await first.reading.list(auditor, { actor: 'PC7' });
      expect(entries).toHaveLength(1);
      return entries;
    });
    // Without a leaf, because the log is another topic, and sealed.
    const by = { actor: 'dp-1', authority: 'retention schedule 7.2', reason: 'the end of their retention' };
    const cover = auditEntry(destructionStatement({ destructionId: 'd', belowIndex: 1_000_000, entries: 1 }, by));
    await rewrite(AUDIT_ENTRIES, cover.eventId, encodeAuditEntry(cover));
    await first.kafka.publisher().publish({ topic: AUDIT_ENTRIES, key: target!.eventId, value: null });
    await eventually(async () => {
      const { entries } = await first.reading.list(auditor, { limit: '500' });
      expect(entries.find(({ index }) => index === target!.index)!.state).toBe('missing');
    });
    const { findings } = verifyAudit({ ...(await exportOf(first)), unsignedCheckpoints: 0 });
    expect(findings).toContainEqual(expect.objectContaining({ kind: 'entry-missing', index: target!.index }));
  });

  it('is read on past what is no entry at all', async () => {
    const odd = { ...auditEntry(statement('odd')), subjectIds: 5, searchId: {} };
    await rewrite(AUDIT_ENTRIES, odd.eventId, Buffer.from(JSON.stringify(odd)));
    await first.audit.append([statement('after what is odd', { actor: 'PC6' })]);
    await eventually(async () => expect((await first.reading.list(auditor, { actor: 'PC6' })).entries).toHaveLength(1));
  });

  it('is not sealed any more, and says so, when the log is not the one that was sealed', async () => {
    await sealedEverything(first);
    // The log of somebody who starts it again: the sealed history is not in it.
    await Promise.all([first, second].map(({ sealing }) => sealing!.close()));
    const admin = first.kafka.topicAdmin();
    const { high } = (await admin.topicOffsets(AUDIT_CHECKPOINTS)).get(0)!;
    const forged = signer.sign(`example.org/audit\n1\n${Buffer.alloc(32, 7).toString('base64')}\n`);
    const third = new Replica('third');
    await third.open();
    await (
      await CheckpointFolder.open(third.folder, keys)
    ).append({ from: 0, leaves: [] }, openCheckpoint(forged, keys)!);
    await third.seal();
    await third.audit.append([statement('never sealed')]);
    await eventually(() => expect(errors).toContain('audit-history-changed'), SEALED_WITHIN);
    expect(third.health.alarms).toEqual({ audit: expect.stringContaining('no longer begins with') });
    const failures = await third.metrics.auditSealFailuresTotal.get();
    expect(failures.values.find(({ labels }) => labels['reason'] === 'history-changed')!.value).toBeGreaterThan(0);
    expect((await admin.topicOffsets(AUDIT_CHECKPOINTS)).get(0)!.high).toBe(high);
    await third.close();
  });
});
