/**
 * The spans of a trace, begun by hand where work changes hands. Without tracing each of these functions does the work and
 * nothing else, and makes nothing for it.
 *
 * A trace begins with an HTTP request ({@link beginRequestSpan}) or a record ({@link inSpanOfRecord}); every other span
 * is part of the one around it, and is left out where there is none. What a span says is in {@link SpanAttributes}: codes,
 * counts and kinds, and never whose face, whose name or which image it is about.
 */
import {
  context,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
  type Context,
  type Span,
  type Tracer,
} from '@opentelemetry/api';
import { traceOf } from '#contracts/trace-context.js';
import { CodedError } from '#domain/errors.js';

/** Everything that a span may say, under the names of OpenTelemetry where it has one. */
export const SPAN_ATTRIBUTES = [
  'http.request.method',
  /** The route's template: a path may hold a person's id. */
  'http.route',
  'http.response.status_code',
  /** The code of an error, and never its text. */
  'error.type',
  'messaging.system',
  'messaging.destination.name',
  'messaging.destination.partition.id',
  'messaging.operation.type',
  'custody.search.kind',
  'custody.search.mode',
  'custody.search.complete',
  'custody.enrolment.outcome',
  'custody.gallery.replica',
  'custody.gallery.engine_ms',
  'custody.gallery.partitions_answered',
] as const;

export type SpanAttributes = { readonly [Name in (typeof SPAN_ATTRIBUTES)[number]]?: string | number | boolean };

let tracer: Tracer | undefined;

/** From now on there are spans; `undefined` ends it. */
export function useTracer(given: Tracer | undefined): void {
  tracer = given;
}

/** Whether spans are made at all: what is only made for them need not be. */
export function isTracing(): boolean {
  return tracer !== undefined;
}

/** Does the work as a part of what is under way. An error ends the span with its code, and goes on. */
export function inSpan<T>(name: string, run: () => Promise<T>): Promise<T> {
  const parent = activeTrace();
  return parent === undefined ? run() : inSpanUnder(parent, { name, kind: SpanKind.INTERNAL }, run);
}

/** The face pipeline, in whichever process, with its stages as that one has measured them. */
export function inPipelineSpan<T extends { readonly timingsMs: Readonly<Record<PipelineStage, number>> }>(
  run: () => Promise<T>,
): Promise<T> {
  if (activeTrace() === undefined) return run();
  return inSpan('face pipeline', async () => {
    const processed = await run();
    addPastSpans(PIPELINE_STAGES.map((stage) => [stage, processed.timingsMs[stage]]));
    return processed;
  });
}

const PIPELINE_STAGES = ['decode', 'detect', 'embed'] as const;
type PipelineStage = (typeof PIPELINE_STAGES)[number];

/** A part of what is under way that begins now and is ended by the caller; undefined where nothing is traced. */
export function beginSpan(name: string): { end(): void } | undefined {
  const parent = activeTrace();
  return parent === undefined ? undefined : tracer?.startSpan(name, {}, parent);
}

/** Parts of what is under way that are over: one followed the other, and the last has ended now. */
export function addPastSpans(durationsMs: readonly (readonly [name: string, ms: number])[]): void {
  const parent = activeTrace();
  if (parent === undefined || tracer === undefined) return;
  let endMs = Date.now();
  for (const [name, ms] of durationsMs.toReversed()) {
    tracer.startSpan(name, { startTime: endMs - ms }, parent).end(endMs);
    endMs -= ms;
  }
}

/** Says more of what is under way. */
export function describeSpan(attributes: SpanAttributes): void {
  if (tracer !== undefined) trace.getActiveSpan()?.setAttributes(attributes);
}

interface TracedRecord {
  readonly topic: string;
  readonly partition: number;
  readonly headers: Readonly<Record<string, string>>;
}

/** Handles a record as a part of the trace that it was sent in; of one that is in none, a trace begins. */
export function inSpanOfRecord<R extends TracedRecord>(record: R, handle: (record: R) => Promise<void>): Promise<void> {
  if (tracer === undefined) return handle(record);
  return inSpanUnder(senderOf(record) ?? ROOT_CONTEXT, spanOf(record), () => handle(record));
}

/** The same where only what belongs to a trace is of interest: questions that services ask one another all the time. */
export function inSpanOfTracedRecord<R extends TracedRecord>(
  record: R,
  handle: (record: R) => Promise<void>,
): Promise<void> {
  const sender = tracer === undefined ? undefined : senderOf(record);
  return sender === undefined ? handle(record) : inSpanUnder(sender, spanOf(record), () => handle(record));
}

/** Records that were handled together, now: each in its own trace, where it is in one that is recorded. */
export function addSpansOfRecords(records: readonly TracedRecord[], startedMs: number): void {
  if (tracer === undefined) return;
  for (const record of records) {
    const sender = traceOf(record.headers);
    if (sender === undefined || (sender.traceFlags & 1) === 0) continue;
    const { name, kind, attributes = {} } = spanOf(record);
    const options = { kind, attributes, startTime: startedMs };
    tracer.startSpan(name, options, trace.setSpanContext(ROOT_CONTEXT, sender)).end();
  }
}

/** The trace of what is under way, for work that is done later; undefined where there is none. */
export type KeptTrace = Context | undefined;

export function keepTrace(): KeptTrace {
  return activeTrace();
}

/** Does work that waited, as a part of the trace that it was asked for in; without one, a trace begins. */
export function inKeptTrace<T>(kept: KeptTrace, name: string, run: () => Promise<T>): Promise<T> {
  if (tracer === undefined) return run();
  return inSpanUnder(kept ?? ROOT_CONTEXT, { name, kind: SpanKind.INTERNAL }, run);
}

/** Takes notes of what is under way now, from wherever they come later; undefined where it is not recorded. */
export function notesOnSpan(): ((event: string, attributes: SpanAttributes) => void) | undefined {
  const span = tracer === undefined ? undefined : trace.getActiveSpan();
  return span?.isRecording() === true ? (event, attributes) => span.addEvent(event, attributes) : undefined;
}

/** By which a measurement is found among the traces; undefined where what is under way is not recorded. */
export function recordedTraceId(): string | undefined {
  const span = tracer === undefined ? undefined : trace.getActiveSpan();
  return span?.isRecording() === true ? span.spanContext().traceId : undefined;
}

/** Of an HTTP request; a trace begins with it unless the caller's is the parent. Ended by {@link endRequestSpan}. */
export function beginRequestSpan(method: string, parent: Context): Span | undefined {
  const attributes = { 'http.request.method': method };
  return tracer?.startSpan(method, { kind: SpanKind.SERVER, attributes }, parent);
}

/** @param route its template, with names in place of ids */
export function endRequestSpan(span: Span, method: string, route: string | undefined, status: number): void {
  span.setAttributes({ 'http.response.status_code': status, ...(route !== undefined && { 'http.route': route }) });
  if (route !== undefined) span.updateName(`${method} ${route}`);
  if (status >= 500) span.setStatus({ code: SpanStatusCode.ERROR });
  span.end();
}

interface NewSpan {
  readonly name: string;
  readonly kind: SpanKind;
  readonly attributes?: SpanAttributes;
}

async function inSpanUnder<T>(
  parent: Context,
  { name, kind, attributes = {} }: NewSpan,
  run: () => Promise<T>,
): Promise<T> {
  const span = tracer!.startSpan(name, { kind, attributes }, parent);
  try {
    const result = await context.with(trace.setSpan(parent, span), run);
    span.end();
    return result;
  } catch (error) {
    span.setAttributes({ 'error.type': error instanceof CodedError ? error.code : 'INTERNAL' });
    span.setStatus({ code: SpanStatusCode.ERROR });
    span.end();
    throw error;
  }
}

function activeTrace(): Context | undefined {
  if (tracer === undefined) return undefined;
  const active = context.active();
  return trace.getSpan(active) === undefined ? undefined : active;
}

function senderOf({ headers }: TracedRecord): Context | undefined {
  const sender = traceOf(headers);
  return sender === undefined ? undefined : trace.setSpanContext(ROOT_CONTEXT, sender);
}

function spanOf({ topic, partition }: TracedRecord): NewSpan {
  return {
    name: `process ${topic}`,
    kind: SpanKind.CONSUMER,
    attributes: {
      'messaging.system': 'kafka',
      'messaging.operation.type': 'process',
      'messaging.destination.name': topic,
      'messaging.destination.partition.id': String(partition),
    },
  };
}
