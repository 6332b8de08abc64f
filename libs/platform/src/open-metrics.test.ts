import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { QueryMetrics } from './metrics.js';
import { openMetricsText, wantsOpenMetrics } from './open-metrics.js';
import { inSpanOfRecord, useTracer } from './spans.js';
import { recordedSpans, type RecordedSpans } from './spans-for-tests.js';

describe('metrics as OpenMetrics', () => {
  let spans: RecordedSpans;
  beforeEach(() => (spans = recordedSpans()));
  afterEach(() => spans.forget());

  it('have the trace of a search that is recorded as an exemplar of its duration', async () => {
    const metrics = new QueryMetrics();
    await inSpanOfRecord({ topic: 't', partition: 0, headers: {} }, () => {
      metrics.observeSearch({ kind: 'operator', mode: 'exact' }, 0.2);
      return Promise.resolve();
    });
    const [span] = spans.ended();
    expect(await openMetricsText(metrics.registry)).toMatch(
      new RegExp(
        `custody_search_duration_seconds_bucket\\{le="[^"]+",kind="operator",mode="exact"\\} 1 # \\{trace_id="${span!.traceId}"\\} 0.2 \\d`,
      ),
    );
    expect(await metrics.registry.metrics()).not.toContain('trace_id');
  });

  it('have none where nothing is recorded', async () => {
    const metrics = new QueryMetrics();
    metrics.observeSearch({ kind: 'operator', mode: 'exact' }, 0.2);
    useTracer(undefined);
    await inSpanOfRecord({ topic: 't', partition: 0, headers: {} }, () => {
      metrics.observeSearch({ kind: 'operator', mode: 'exact' }, 0.3);
      return Promise.resolve();
    });
    const text = await openMetricsText(metrics.registry);
    expect(text).toContain('custody_search_duration_seconds_count{kind="operator",mode="exact"} 2');
    expect(text).not.toContain('trace_id');
  });

  it('end as they must, and leave the plain text as it was', async () => {
    const metrics = new QueryMetrics();
    const names = async (): Promise<string[]> =>
      (await metrics.registry.metrics()).split('\n').filter((line) => line.startsWith('# TYPE'));
    const before = await names();
    const text = await openMetricsText(metrics.registry);
    expect(text.endsWith('\n# EOF\n')).toBe(true);
    expect(text).toContain('# TYPE custody_searches counter\n');
    expect(text).toMatch(/^custody_searches_total\{/m);
    expect(await names()).toEqual(before);
    expect(before).toContain('# TYPE custody_searches_total counter');
  });

  it.each([
    [undefined, false],
    ['*/*', false],
    ['text/plain;version=0.0.4', false],
    ['application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,*/*;q=0.1', true],
    ['application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=0.0.4;q=0.2', true],
  ])('are what is asked for by Accept: %s? %s', (accept, wanted) => {
    expect(wantsOpenMetrics(accept)).toBe(wanted);
  });
});
