import { createHash } from 'node:crypto';
import { context, ROOT_CONTEXT, SpanKind, trace, TraceFlags } from '@opentelemetry/api';
import { SamplingDecision } from '@opentelemetry/sdk-trace';
import { describe, expect, it } from 'vitest';
import { codeOf } from '#domain/codes-for-tests.js';
import { readSettings, type Settings } from './settings.js';
import { isTracing } from './spans.js';
import { samplerOf, startTracing } from './tracing.js';

const log = { debug() {}, info() {}, warn() {}, error() {} };

/** Of many traces, the share that is recorded. */
function shareOf(name: Settings['OTEL_TRACES_SAMPLER'], share: number, parent?: TraceFlags): number {
  const sampler = samplerOf(name, share);
  let recorded = 0;
  for (let i = 0; i < 2_000; i++) {
    const traceId = createHash('sha256').update(String(i)).digest('hex').slice(0, 32);
    const within =
      parent === undefined
        ? ROOT_CONTEXT
        : trace.setSpanContext(ROOT_CONTEXT, { traceId, spanId: 'b7ad6b7169203331', traceFlags: parent });
    const { decision } = sampler.shouldSample(within, traceId, 'span', SpanKind.SERVER, {}, []);
    if (decision === SamplingDecision.RECORD_AND_SAMPLED) recorded++;
  }
  return recorded / 2_000;
}

describe('tracing', () => {
  it('is off where no collector is named, and where it is not wanted', async () => {
    for (const environment of [{}, { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://c:4318', OTEL_TRACES_EXPORTER: 'none' }]) {
      await startTracing(readSettings(environment), { service: 's', instance: 'i' }, log)();
      expect(isTracing()).toBe(false);
    }
  });

  it('is on where one is named, and off again at the end, whether or not it can be reached', async () => {
    const settings = readSettings({ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9' });
    expect(settings.OTEL_TRACES_EXPORTER).toBe('otlp');
    const end = startTracing(settings, { service: 's', instance: 'i' }, log);
    expect(isTracing()).toBe(true);
    await end();
    expect(isTracing()).toBe(false);
    context.disable();
  });

  it.each(['collector:4318', 'ftp://collector'])('is not started with %s for a URL', (endpoint) => {
    expect(codeOf(() => readSettings({ OTEL_EXPORTER_OTLP_ENDPOINT: endpoint }))).toBe('BAD_SETTING');
  });

  it.each([
    ['always_on', undefined, 1],
    ['always_on', TraceFlags.NONE, 1],
    ['always_off', TraceFlags.SAMPLED, 0],
    ['parentbased_always_on', undefined, 1],
    ['parentbased_always_on', TraceFlags.NONE, 0],
    ['parentbased_always_off', undefined, 0],
    ['parentbased_always_off', TraceFlags.SAMPLED, 1],
    ['parentbased_traceidratio', TraceFlags.SAMPLED, 1],
    ['parentbased_traceidratio', TraceFlags.NONE, 0],
  ] as const)('records with %s, and %s of the caller, %d of all traces', (name, parent, share) => {
    expect(shareOf(name, 0.25, parent)).toBe(share);
  });

  it.each(['traceidratio', 'parentbased_traceidratio'] as const)('records with %s the share that is set', (name) => {
    expect(shareOf(name, 0.25)).toBeCloseTo(0.25, 1);
    expect(shareOf(name, 0)).toBe(0);
  });
});
