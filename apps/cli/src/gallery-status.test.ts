import { describe, expect, it } from 'vitest';
import { STATUS_COLUMNS, statusRows } from './gallery-status.js';
import type { ListedGallery } from './local-replicas.js';

const NOW_MS = Date.parse('2026-01-01T01:00:00Z');

function replica(
  replicaId: string,
  more: Partial<ListedGallery['replicasOnRecord'][number]> = {},
): ListedGallery['replicasOnRecord'][number] {
  return {
    replicaId,
    layout: { shards: 2, shard: 1, workers: 1 },
    state: 'serving',
    startedAt: '2026-01-01T00:00:00Z',
    reportedAt: '2026-01-01T00:59:58Z',
    snapshot: { at: '2026-01-01T00:59:00Z' },
    snapshotProblem: null,
    destroyedThrough: { 0: 4, 1: 9 },
    partitions: [
      { partition: 1, watermark: 10, enrolled: 5 },
      { partition: 3, watermark: 20, enrolled: 7 },
    ],
    ...more,
  };
}

function gallery(...replicas: ListedGallery['replicasOnRecord']): ListedGallery {
  return {
    modelId: '0123456789abcdef',
    enrolled: 24,
    complete: true,
    partitionsMissing: [],
    partitionsDiffering: [],
    watermark: { 1: 10, 3: 20 },
    replicas: [{ replicaId: 'pod-0/0', coverage: [] }],
    replicasOnRecord: replicas,
  };
}

describe('the status of a gallery', () => {
  it('has a line for each replica on record, one that is away included, with since when', () => {
    const silent = {
      state: 'silent',
      snapshot: null,
      destroyedThrough: {},
      snapshotProblem: 'SNAPSHOT_NO_SPACE',
    } as const;
    const rows = statusRows(gallery(replica('pod-0'), replica('pod-1', silent)), NOW_MS);
    expect(rows[0]).toEqual(['pod-0', '1 of 2', 'serving', 'yes', '0 records', '12', '60 s', 'offsets 4 to 9', '']);
    expect(rows[1]).toEqual([
      'pod-1',
      '1 of 2',
      'silent since 2026-01-01T00:59:58Z',
      'no',
      '0 records',
      '12',
      'none',
      'nothing known',
      'SNAPSHOT_NO_SPACE',
    ]);
    expect(rows[0]).toHaveLength(STATUS_COLUMNS.length);
  });

  it('says how far a replica is behind what searches see, and how old its snapshot is in words', () => {
    const behind = [
      { partition: 1, watermark: 4, enrolled: 2 },
      { partition: 3, watermark: 25, enrolled: 7 },
    ];
    const rows = statusRows(
      gallery(
        replica('pod-0', { partitions: behind, snapshot: { at: '2026-01-01T00:50:00Z' } }),
        replica('pod-1', { snapshot: { at: '2025-12-31T21:00:00Z' } }),
      ),
      NOW_MS,
    );
    expect(rows.map((row) => [row[4], row[6]])).toEqual([
      ['6 records', '10 min'],
      ['0 records', '4 h'],
    ]);
  });
});
