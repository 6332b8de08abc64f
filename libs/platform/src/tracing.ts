/** Sends the spans of this process to a collector over OTLP, where the settings name one; see docs/tracing.md. */
import { context, diag, DiagLogLevel, type DiagLogger } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { resourceFromAttributes } from '@opentelemetry/resources';
import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  BatchSpanProcessor,
  ParentBasedSampler,
  TraceIdRatioBasedSampler,
  TracerProvider,
  type Sampler,
} from '@opentelemetry/sdk-trace';
import type { Log } from './log.js';
import type { Settings } from './settings.js';
import { softwareVersion } from './software-version.js';
import { useTracer } from './spans.js';

/** Where a collector listens that runs beside this process, by OTLP's own default. */
const COLLECTOR_BESIDE = 'http://127.0.0.1:4318';
/** Of what a shutdown has. A collector that is away must not hold up the snapshot. */
const LAST_EXPORT_MS_MAX = 2_000;
const COMPLAINT_INTERVAL_MS = 60_000;

type TracingSettings = Pick<
  Settings,
  'OTEL_TRACES_EXPORTER' | 'OTEL_EXPORTER_OTLP_ENDPOINT' | 'OTEL_TRACES_SAMPLER' | 'OTEL_TRACES_SAMPLER_ARG'
>;

/**
 * @param process as the traces name it: the service, and which of its processes
 * @returns what sends the spans that are left and ends it; it never rejects
 */
export function startTracing(
  settings: TracingSettings,
  process: { readonly service: string; readonly instance: string },
  log: Log,
): () => Promise<void> {
  if (settings.OTEL_TRACES_EXPORTER === 'none') return () => Promise.resolve();
  const endpoint = (settings.OTEL_EXPORTER_OTLP_ENDPOINT || COLLECTOR_BESIDE).replace(/\/+$/, '');
  diag.setLogger(complaintsTo(log), DiagLogLevel.WARN);
  const provider = new TracerProvider({
    resource: resourceFromAttributes({
      'service.name': process.service,
      'service.version': softwareVersion(),
      'service.instance.id': process.instance,
    }),
    sampler: samplerOf(settings.OTEL_TRACES_SAMPLER, settings.OTEL_TRACES_SAMPLER_ARG),
    spanProcessors: [new BatchSpanProcessor({ exporter: new OTLPTraceExporter({ url: `${endpoint}/v1/traces` }) })],
  });
  context.setGlobalContextManager(new AsyncLocalStorageContextManager());
  useTracer(provider.getTracer('custody-face-search'));
  log.info('tracing', { collector: new URL(endpoint).host, sampler: settings.OTEL_TRACES_SAMPLER });
  return async () => {
    useTracer(undefined);
    const ended = provider.shutdown().catch(() => undefined);
    await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, LAST_EXPORT_MS_MAX).unref())]);
  };
}

/** By the names that OpenTelemetry has for them. */
export function samplerOf(name: Settings['OTEL_TRACES_SAMPLER'], share: number): Sampler {
  switch (name) {
    case 'always_on':
      return new AlwaysOnSampler();
    case 'always_off':
      return new AlwaysOffSampler();
    case 'traceidratio':
      return new TraceIdRatioBasedSampler(share);
    case 'parentbased_always_on':
      return new ParentBasedSampler({ root: new AlwaysOnSampler() });
    case 'parentbased_always_off':
      return new ParentBasedSampler({ root: new AlwaysOffSampler() });
    case 'parentbased_traceidratio':
      return new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(share) });
  }
}

/** A collector that is away is worth a line a minute, and no search. */
function complaintsTo(log: Log): DiagLogger {
  let lastMs = -Infinity;
  const complain = (message: string): void => {
    if (performance.now() - lastMs < COMPLAINT_INTERVAL_MS) return;
    lastMs = performance.now();
    log.warn('traces-not-sent', { message });
  };
  const silent = (): void => undefined;
  return { error: complain, warn: complain, info: silent, debug: silent, verbose: silent };
}
