import { beforeEach, describe, expect, it } from 'vitest';
import { imageId, modelId, offset, subjectId } from '#domain/ids.js';
import type { ReplicaReport } from '#domain/replica-report.js';
import { GalleryShard } from '#gallery/gallery-shard.js';
import { faceLikeVector, seededRandom } from '#gallery/vectors-for-tests.js';
import { createLog } from '#platform/log.js';
import { QueryMetrics } from '#platform/metrics.js';
import { DigestComparison, DIFFERENT_REPORTS, type DigestDifference } from './digest-comparison.js';
import { showDigestDifferences } from './digest-differences.js';
import { MODEL, partitionOf, ReplicasInMemory, reportOf } from './reports-for-tests.js';

let replicas: ReplicasInMemory;
let said: string[];
let comparison: DigestComparison;
let atMs: number;

beforeEach(() => {
  replicas = new ReplicasInMemory();
  said = [];
  atMs = Date.parse('2026-01-01T00:00:00Z');
  const text = ({ partition, replicas: pair }: DigestDifference): string => `${partition} ${pair.join(' ')}`;
  comparison = new DigestComparison(replicas, ({ differ, agree }) => {
    said.push(...differ.map((one) => `differ ${text(one)}`), ...agree.map((one) => `agree ${text(one)}`));
  });
});

function report(replicaId: string, partitions: ReplicaReport['partitions'], more: Partial<ReplicaReport> = {}): void {
  atMs += 1000;
  const reportedAt = new Date(atMs).toISOString();
  comparison.observe([replicas.hear(reportOf(replicaId, { reportedAt, partitions, ...more }))]);
}

function rounds(count: number, a: ReplicaReport['partitions'], b: ReplicaReport['partitions']): void {
  for (let i = 0; i < count; i++) {
    report('a', a);
    report('b', b);
  }
}

const KEYS = `${MODEL}/0-of-1/a ${MODEL}/0-of-1/b`;
const ONE = [partitionOf(3, 7, 'one'), partitionOf(4, 9, 'same')];
const OTHER = [partitionOf(3, 7, 'other'), partitionOf(4, 9, 'same')];

describe('the comparison of replicas', () => {
  it('says that two differ when they have in several reports of each, names them and the partition, and says it once', () => {
    rounds(DIFFERENT_REPORTS - 1, ONE, OTHER);
    report('a', ONE);
    expect(said).toEqual([]);
    report('b', OTHER);
    expect(said).toEqual([`differ 3 ${KEYS}`]);
    rounds(3, ONE, OTHER);
    expect(said).toHaveLength(1);
    expect(comparison.differences).toEqual([
      { modelId: MODEL, partition: 3, watermark: 7, replicas: [`${MODEL}/0-of-1/a`, `${MODEL}/0-of-1/b`] },
    ]);
  });

  it('says nothing of a difference that passes, as a disposition that reaches one of them first', () => {
    rounds(DIFFERENT_REPORTS - 1, ONE, OTHER);
    rounds(1, ONE, ONE);
    rounds(DIFFERENT_REPORTS - 1, ONE, OTHER);
    expect(said).toEqual([]);
  });

  it('learns nothing while one is further than the other, and goes on when they are equally far', () => {
    const further = [partitionOf(3, 8, 'other'), partitionOf(4, 9, 'same')];
    rounds(10, ONE, further);
    expect(said).toEqual([]);
    rounds(DIFFERENT_REPORTS - 1, ONE, OTHER);
    rounds(5, ONE, further);
    rounds(1, [partitionOf(3, 8, 'one')], further);
    expect(said).toEqual([`differ 3 ${KEYS}`]);
  });

  it('does not count one report of a silent replica again and again', () => {
    rounds(1, ONE, OTHER);
    for (let i = 0; i < 10; i++) report('a', ONE);
    expect(said).toEqual([]);
  });

  it('compares replicas of different layouts by partition, and never those of two models', () => {
    const other = modelId('fedcba9876543210');
    for (let i = 0; i < DIFFERENT_REPORTS; i++) {
      report('a', ONE);
      report('c', [partitionOf(3, 7, 'other')], { layout: { shards: 3, shard: 0, workers: 1 } });
      report('d', OTHER, { modelId: other });
    }
    expect(said).toEqual([`differ 3 ${MODEL}/0-of-1/a ${MODEL}/0-of-3/c`]);
  });

  it('says that they agree again when they do, when one starts anew, and when one is retired', () => {
    rounds(DIFFERENT_REPORTS, ONE, OTHER);
    rounds(1, ONE, ONE);
    expect(said.splice(0)).toEqual([`differ 3 ${KEYS}`, `agree 3 ${KEYS}`]);
    rounds(DIFFERENT_REPORTS, ONE, OTHER);
    report('b', [], { state: 'replaying' });
    expect(said.splice(0)).toEqual([`differ 3 ${KEYS}`, `agree 3 ${KEYS}`]);
    rounds(DIFFERENT_REPORTS, ONE, OTHER);
    replicas.retire(`${MODEL}/0-of-1/b`);
    comparison.observe([`${MODEL}/0-of-1/b`]);
    expect(said).toEqual([`differ 3 ${KEYS}`, `agree 3 ${KEYS}`]);
  });

  it('raises the metric of the partition, and lowers it when all agree', async () => {
    const metrics = new QueryMetrics();
    const shown: DigestComparison = new DigestComparison(replicas, (change) =>
      showDigestDifferences(change, shown, metrics, createLog('query', 'error')),
    );
    const round = (partitions: ReplicaReport['partitions']): void => {
      rounds(1, ONE, partitions);
      shown.observe(replicas.all().map(({ key }) => key));
    };
    const value = async (): Promise<number | undefined> =>
      (await metrics.galleryDigestMismatch.get()).values.find(({ labels }) => labels.partition === '3')?.value;
    for (let i = 0; i < DIFFERENT_REPORTS; i++) round(OTHER);
    expect(await value()).toBe(1);
    round(ONE);
    expect(await value()).toBe(0);
  });
});

describe('two shards that have read the same log', () => {
  const DIMENSION = 16;

  function template(partition: number, at: number, seed: number) {
    const id = imageId(`image-${partition}-${at}`);
    return {
      kind: 'template' as const,
      partition,
      offset: offset(at),
      imageId: id,
      timestampMs: 0,
      vector: faceLikeVector(seededRandom(seed), DIMENSION),
      metadata: { imageId: id, subjectId: subjectId('subject') },
      source: { sourceOffset: offset(at), acceptedAtMs: 0 },
    };
  }

  it('agree, whatever their layout; one that holds a single other bit, or lacks an image, is found out', () => {
    const whole = new GalleryShard({ dimension: DIMENSION, partitions: [0, 1, 2], autoExactMaxTemplates: 10 });
    const part = new GalleryShard({ dimension: DIMENSION, partitions: [1, 2], autoExactMaxTemplates: 10 });
    for (let at = 0; at < 5; at++) {
      for (const partition of [0, 1, 2]) {
        const change = template(partition, at, partition * 100 + at);
        whole.apply(change);
        if (partition === 0) continue;
        if (partition === 1 && at === 3) {
          // As after a bit flipped in memory on its way in.
          const vector = change.vector.slice();
          new Uint8Array(vector.buffer)[0]! ^= 1;
          part.apply({ ...change, vector });
        } else part.apply(change);
      }
    }
    for (let i = 0; i < DIFFERENT_REPORTS; i++) {
      report('a', whole.partitionDigests());
      report('b', part.partitionDigests());
    }
    expect(said).toEqual([`differ 1 ${KEYS}`]);
  });
});
