import { describe, expect, it } from 'vitest';
import { IndexMetrics, IngestMetrics, QueryMetrics, type Metrics } from './metrics.js';

async function linesOf({ registry }: Metrics): Promise<readonly string[]> {
  return (await registry.metrics()).split('\n');
}

describe('a counter whose labels are known beforehand', () => {
  it.each([
    [new IngestMetrics(), 'custody_images_total{outcome="enrolled",reason=""} 0'],
    [new IndexMetrics(), 'custody_gallery_repairs_total{kind="tombstone"} 0'],
    [new QueryMetrics(), 'custody_searches_total{kind="operator",outcome="failed"} 0'],
    [new QueryMetrics(), 'custody_searches_total{kind="retrospective",outcome="no-candidates-found"} 0'],
    [new QueryMetrics(), 'custody_searches_incomplete_total{kind="operator"} 0'],
    [new QueryMetrics(), 'custody_rate_limited_total{kind="retrospective"} 0'],
    [new QueryMetrics(), 'custody_audit_seal_failures_total{reason="history-changed"} 0'],
  ])('is there before the first one happens, so that the first is seen to happen (%#)', async (metrics, line) => {
    expect(await linesOf(metrics)).toContain(line);
  });
});

describe('the histogram of how long searches take', () => {
  it('has a bound at one second, by which the objective and its alerts count', async () => {
    const metrics = new QueryMetrics();
    metrics.observeSearch({ kind: 'operator', mode: 'exact' }, 0.9);
    metrics.observeSearch({ kind: 'operator', mode: 'exact' }, 1.1);
    const atASecond = 'custody_search_duration_seconds_bucket{le="1",kind="operator",mode="exact"} 1';
    expect((await linesOf(metrics)).filter((line) => line.startsWith(atASecond))).toHaveLength(1);
  });
});
