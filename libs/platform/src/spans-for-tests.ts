/** The spans that the code under test makes, kept in memory rather than sent anywhere. */
import { context, type Attributes, type SpanKind, type SpanStatusCode } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { InMemorySpanExporter, SimpleSpanProcessor, TracerProvider, type Sampler } from '@opentelemetry/sdk-trace';
import { useTracer } from './spans.js';

export interface RecordedSpan {
  readonly name: string;
  readonly kind: SpanKind;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string | undefined;
  readonly attributes: Attributes;
  readonly status: SpanStatusCode;
  readonly durationMs: number;
}

export interface RecordedSpans {
  /** In the order in which they ended. */
  ended(): readonly RecordedSpan[];
  forget(): void;
}

export function recordedSpans(sampler?: Sampler): RecordedSpans {
  const exporter = new InMemorySpanExporter();
  const spanProcessors = [new SimpleSpanProcessor({ exporter })];
  const provider = new TracerProvider({ spanProcessors, ...(sampler !== undefined && { sampler }) });
  context.setGlobalContextManager(new AsyncLocalStorageContextManager());
  useTracer(provider.getTracer('tests'));
  return {
    ended: () =>
      exporter.getFinishedSpans().map((span) => ({
        name: span.name,
        kind: span.kind,
        traceId: span.spanContext().traceId,
        spanId: span.spanContext().spanId,
        parentSpanId: span.parentSpanContext?.spanId,
        attributes: span.attributes,
        status: span.status.code,
        durationMs: span.duration[0] * 1000 + span.duration[1] / 1e6,
      })),
    forget: () => {
      useTracer(undefined);
      context.disable();
    },
  };
}
