import { beforeEach, describe, expect, it } from 'vitest';
import type { AuditLog } from '#audit/audit-log.js';
import type { OutgoingRecord } from '#contracts/outgoing-record.js';
import { deadLetters, galleryTemplates, GALLERY_GAPS, generationGroup } from '#contracts/topics.js';
import { CodedError, Failure } from '#domain/errors.js';
import { foldGovernance, NOTHING_DECIDED, type GovernanceState } from '#domain/governance.js';
import type { GenerationGap } from '#domain/generation-gap.js';
import type { Actor } from '#domain/identity.js';
import type { ImageId, ModelId, Offset } from '#domain/ids.js';
import type { KnownReplica } from '#kafka/replica-follower.js';
import { GalleryRetirements } from './gallery-retirements.js';
import type { Generation } from './generations.js';

const inForce = '00112233aabbccdd' as ModelId;
const former = 'ffeeddccbbaa9988' as ModelId;
const approver: Actor = { id: 'approver-1', roles: ['threshold-approver'] };
const officer: Actor = { id: 'dpo-1', roles: ['data-protection'] };
const reason = 'The new model is the only one from now on.';

describe('the end of a gallery', () => {
  let state: GovernanceState;
  let topics: Set<string>;
  let followed: Map<number, Offset>;
  let replicas: string[];
  let loaded: Set<ModelId>;
  let gaps: Map<ModelId, Map<ImageId, GenerationGap>>;
  /** What happened, in order. */
  let done: string[];
  let auditIsAway: boolean;
  let retirements: GalleryRetirements;

  beforeEach(() => {
    state = NOTHING_DECIDED;
    topics = new Set([inForce, former].map(galleryTemplates));
    followed = new Map();
    replicas = [];
    loaded = new Set([inForce]);
    gaps = new Map();
    done = [];
    auditIsAway = false;
    const publisher = {
      publishAll: (records: readonly OutgoingRecord[]) => {
        for (const { topic, key, value } of records) done.push(`${topic} ${String(key)} ${String(value)}`);
        return Promise.resolve([]);
      },
    };
    retirements = new GalleryRetirements(
      { modelInForce: inForce, of: (model) => (loaded.has(model) ? ({} as Generation) : undefined) },
      {
        get state() {
          return state;
        },
        upToDate: () => Promise.resolve(),
        take: (decision) => {
          state = foldGovernance(state, decision, '2026-01-01T00:00:00Z');
          done.push(decision.type);
          return Promise.resolve(true);
        },
      },
      {
        generations: () => Promise.resolve([inForce, former].filter((model) => topics.has(galleryTemplates(model)))),
        topicOffsets: () => Promise.resolve(new Map([[0, { low: 0 as Offset, high: 5 as Offset }]])),
        groupOffsets: () => Promise.resolve(followed),
        deleteTopics: (names, group) => {
          for (const name of names) topics.delete(name);
          done.push(`delete ${names.join(' ')} ${group}`);
          return Promise.resolve();
        },
      },
      { all: () => replicas.map((key): KnownReplica => ({ key, report: undefined, heardAtMs: 0 })) },
      { of: (model) => gaps.get(model) ?? new Map() },
      publisher,
      {
        append: (statements: Parameters<AuditLog['append']>[0]) => {
          if (auditIsAway) return Promise.reject(new Failure('AUDIT_UNAVAILABLE', 'away', true));
          for (const { operation, action } of statements) done.push(`${operation} ${action}`);
          return Promise.resolve();
        },
      },
    );
  });

  async function codeOf(run: () => Promise<unknown>): Promise<string> {
    try {
      await run();
      return 'done';
    } catch (error) {
      return error instanceof CodedError ? error.code : String(error);
    }
  }

  const retire = (modelId: ModelId): Promise<string> =>
    codeOf(() => retirements.retire(approver, { modelId, reason }, undefined));
  const destroy = (key?: string): Promise<string> => codeOf(() => retirements.destroy(officer, former, reason, key));

  it('is decided before anything is deleted', async () => {
    expect(await destroy()).toBe('GALLERY_NOT_RETIRED');
    expect(await retire(former)).toBe('done');
    expect(done).toEqual(['GALLERY_RETIRED']);
    expect((await retirements.state(former)).by).toBe(approver.id);
  });

  it('is audited as an erasure before its log goes, with its dead letters, its group and its gaps', async () => {
    const image = 'img-1' as ImageId;
    gaps.set(former, new Map([[image, {} as GenerationGap]]));
    await retire(former);
    expect(await destroy()).toBe('done');
    const templates = galleryTemplates(former);
    expect(done.slice(1)).toEqual([
      'erasure destroy-gallery',
      `delete ${templates} ${deadLetters(templates)} ${generationGroup(former)}`,
      `${GALLERY_GAPS} ${former}/${image} null`,
      'GALLERY_DESTROYED',
    ]);
    expect(state.retired.size).toBe(0);
  });

  it('does not begin without the audit', async () => {
    await retire(former);
    auditIsAway = true;
    expect(await destroy()).toBe('AUDIT_UNAVAILABLE');
    expect(topics).toContain(galleryTemplates(former));
  });

  it('waits for whoever still has it: a replica on record, a query service with its pack', async () => {
    await retire(former);
    replicas = [`${former}/0-of-1/index-0`, `${inForce}/0-of-1/index-0`];
    expect(await destroy()).toBe('GALLERY_STILL_HELD');
    expect((await retirements.state(former)).replicas).toEqual(['index-0']);
    replicas = [`${inForce}/0-of-1/index-0`];
    loaded.add(former);
    expect(await destroy()).toBe('GALLERY_STILL_HELD');
    loaded.delete(former);
    expect(await destroy()).toBe('done');
  });

  it('waits until what was enrolled last is in the gallery in force, where that follows it', async () => {
    await retire(former);
    followed = new Map([[0, 4 as Offset]]);
    expect((await retirements.state(former)).recordsToGo).toBe(1);
    expect(await destroy()).toBe('GALLERY_BEHIND');
    followed = new Map([[0, 5 as Offset]]);
    expect(await destroy()).toBe('done');
  });

  it('is not of the gallery in force, nor of one that alone knows of images that are held, nor of one that is not', async () => {
    expect(await retire(inForce)).toBe('GALLERY_IN_FORCE');
    gaps.set(inForce, new Map([['img-1' as ImageId, {} as GenerationGap]]));
    expect(await retire(former)).toBe('GALLERY_LACKS_IMAGES');
    expect(await retire('0123456789abcdef' as ModelId)).toBe('GALLERY_NOT_FOUND');
    expect(done).toEqual([]);
  });

  it('goes on where it was cut short', async () => {
    await retire(former);
    topics.delete(galleryTemplates(former));
    expect(await destroy('key-1')).toBe('done');
    expect(await destroy('key-1')).toBe('done');
    expect(done.filter((one) => one === 'GALLERY_DESTROYED')).toHaveLength(1);
  });
});
