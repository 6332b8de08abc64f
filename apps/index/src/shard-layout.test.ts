import { describe, expect, it } from 'vitest';
import { codeOf } from '#domain/codes-for-tests.js';
import { TEMPLATE_PARTITIONS } from '#domain/gallery.js';
import { partitionsByWorker } from './shard-layout.js';

const LAYOUTS = [1, 2, 3, 4, 6, 8, 12, 24];

describe('the layout of shards and workers', () => {
  it.each(LAYOUTS)('with %i shards covers every partition exactly once, whatever the workers', (shards) => {
    for (let workers = 1; workers <= TEMPLATE_PARTITIONS / shards; workers++) {
      const dealt = Array.from({ length: shards }, (_, shard) => partitionsByWorker(shards, shard, workers));
      const all = dealt.flat(2).sort((a, b) => a - b);
      expect(all).toEqual(Array.from({ length: TEMPLATE_PARTITIONS }, (_, p) => p));
      dealt.forEach((byWorker, shard) => {
        expect(byWorker).toHaveLength(workers);
        expect(byWorker.flat().every((partition) => partition % shards === shard)).toBe(true);
        const sizes = byWorker.map(({ length }) => length);
        expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1);
        expect(Math.min(...sizes)).toBeGreaterThan(0);
      });
    }
  });

  it.each([
    [5, 0, 1],
    [7, 0, 1],
    [2, 2, 1],
    [1, 1, 1],
    [12, 0, 3],
    [24, 0, 2],
  ])('is refused with BAD_SETTING for %i shards, shard %i, %i workers', (shards, shard, workers) => {
    expect(codeOf(() => partitionsByWorker(shards, shard, workers))).toBe('BAD_SETTING');
  });
});
