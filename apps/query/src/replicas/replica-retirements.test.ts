import { beforeEach, describe, expect, it } from 'vitest';
import { AuditLog } from '#audit/audit-log.js';
import { parseAuditEntry } from '#contracts/audit-record.js';
import type { OutgoingRecord } from '#contracts/outgoing-record.js';
import { AUDIT_ENTRIES, AUDIT_LOG, GALLERY_REPLICAS } from '#contracts/topics.js';
import type { Actor } from '#domain/identity.js';
import { modelId } from '#domain/ids.js';
import { ReplicaRetirements } from './replica-retirements.js';
import { ReplicasOnRecord } from './replicas-on-record.js';
import { MODEL, ReplicasInMemory, reportOf } from './reports-for-tests.js';

const OTHER_MODEL = modelId('fedcba9876543210');
const ACTOR: Actor = { id: 'dpo-1', roles: ['data-protection'] };
const REASON = 'The node was taken out and its disk shredded.';
const NOW_MS = Date.parse('2026-01-01T01:00:00Z');

let replicas: ReplicasInMemory;
let published: OutgoingRecord[];
let broken: boolean;
let onRecord: ReplicasOnRecord;
let retirements: ReplicaRetirements;

beforeEach(() => {
  replicas = new ReplicasInMemory();
  published = [];
  broken = false;
  const audit = new AuditLog(
    {
      publishAll: (records: OutgoingRecord[]) => {
        if (broken) return Promise.reject(new Error('no broker'));
        published.push(...records);
        return Promise.resolve(records.map(() => ({ partition: 0, offset: 0 })));
      },
    },
    '/test',
  );
  onRecord = new ReplicasOnRecord(replicas, 5, () => NOW_MS);
  retirements = new ReplicaRetirements(onRecord, audit);
});

const retire = (replicaId: string, more: { modelId?: typeof MODEL } = {}) =>
  retirements.retire(ACTOR, { replicaId, reason: REASON, ...more });

describe('the retirement of a replica', () => {
  it('is audited as an erasure, by whom and why, before the record that takes it off', async () => {
    const key = replicas.hear(reportOf('pod-0'), NOW_MS - 60_000);
    expect(await retire('pod-0')).toMatchObject({ retired: [{ modelId: MODEL, replicaId: 'pod-0' }] });
    expect(published.map(({ topic }) => topic)).toEqual([AUDIT_ENTRIES, AUDIT_LOG, GALLERY_REPLICAS]);
    expect(parseAuditEntry(Buffer.from(published[0]!.value!))).toMatchObject({
      operation: 'erasure',
      action: 'replica-retired',
      actor: 'dpo-1',
      justification: REASON,
      modelId: MODEL,
      detail: { replicaId: 'pod-0', heardAt: '2026-01-01T00:59:00.000Z' },
    });
    expect(published[2]).toMatchObject({ key, value: null });
  });

  it('is refused with REPLICA_STILL_REPORTING while it is heard of, unless it has said that it stopped', async () => {
    replicas.hear(reportOf('pod-0'), NOW_MS - 10_000);
    replicas.hear(reportOf('pod-1', { state: 'replaying' }), NOW_MS - 10_000);
    replicas.hearNonsense(`${MODEL}/0-of-1/pod-2`, NOW_MS - 10_000);
    for (const running of ['pod-0', 'pod-1', 'pod-2']) {
      await expect(retire(running)).rejects.toMatchObject({ code: 'REPLICA_STILL_REPORTING' });
    }
    expect(published).toEqual([]);
    replicas.hear(reportOf('pod-0', { state: 'stopped' }), NOW_MS - 100);
    await retire('pod-0');
    expect(published.at(-1)).toMatchObject({ topic: GALLERY_REPLICAS, key: `${MODEL}/0-of-1/pod-0`, value: null });
  });

  it('is of every share and model that it was seen with, or of one model alone', async () => {
    for (const [model, shards] of [
      [MODEL, 1],
      [MODEL, 2],
      [OTHER_MODEL, 1],
    ] as const) {
      replicas.hear(reportOf('pod-0', { modelId: model, layout: { shards, shard: 0, workers: 1 } }));
    }
    const keys = (): unknown[] => published.filter(({ topic }) => topic === GALLERY_REPLICAS).map(({ key }) => key);
    await retire('pod-0', { modelId: MODEL });
    expect(keys()).toEqual([`${MODEL}/0-of-1/pod-0`, `${MODEL}/0-of-2/pod-0`]);
    await retire('pod-0');
    expect(keys()).toContain(`${OTHER_MODEL}/0-of-1/pod-0`);
  });

  it('of one that nobody knows is refused with REPLICA_NOT_ON_RECORD', async () => {
    replicas.hear(reportOf('pod-0'));
    await expect(retire('pod')).rejects.toMatchObject({ code: 'REPLICA_NOT_ON_RECORD' });
    await expect(retire('pod-0', { modelId: OTHER_MODEL })).rejects.toMatchObject({ code: 'REPLICA_NOT_ON_RECORD' });
  });

  it('does not happen when it cannot be audited', async () => {
    replicas.hear(reportOf('pod-0'));
    broken = true;
    await expect(retire('pod-0')).rejects.toMatchObject({ code: 'AUDIT_UNAVAILABLE' });
    expect(published).toEqual([]);
  });
});

describe('replicas on record', () => {
  it('are shown with their state: silent when they are not heard of, unless they have stopped', () => {
    replicas.hear(reportOf('pod-0'), NOW_MS - 10_000);
    replicas.hear(reportOf('pod-1'), NOW_MS - 60_000);
    replicas.hear(reportOf('pod-2', { state: 'stopped' }), NOW_MS - 60_000);
    replicas.hear(reportOf('pod-3', { state: 'replaying' }), NOW_MS - 60_000);
    replicas.hear(reportOf('pod-4', { modelId: OTHER_MODEL }), NOW_MS);
    replicas.hearNonsense(`${MODEL}/1-of-3/pod-5`, NOW_MS);
    expect(onRecord.ofModel(MODEL).map(({ replicaId, state }) => `${replicaId} ${state}`)).toEqual([
      'pod-0 serving',
      'pod-1 silent',
      'pod-2 stopped',
      'pod-3 silent',
      'pod-5 unreadable',
    ]);
    expect(onRecord.ofModel(MODEL).at(-1)).toMatchObject({ layout: { shards: 3, shard: 1, workers: null } });
  });
});
