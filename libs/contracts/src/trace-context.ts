/**
 * Which trace a request or a record is part of: `traceparent` of the W3C Trace Context, over HTTP and as a header of a
 * record. `tracestate` is left behind: it holds what its sender pleases, and logs are kept for years.
 * https://www.w3.org/TR/trace-context/
 */
import { context, isSpanContextValid, trace, type SpanContext } from '@opentelemetry/api';
import { parseTraceParent, TRACE_PARENT_HEADER } from '@opentelemetry/core';
import type { OutgoingRecord } from './outgoing-record.js';

/** @returns undefined when there is none, or none that can be read: a trace is nothing that anybody is refused for */
export function parseTraceparent(header: string | undefined): SpanContext | undefined {
  const parsed = header === undefined ? null : parseTraceParent(header);
  return parsed === null ? undefined : { ...parsed, isRemote: true };
}

/** Of a record. */
export function traceOf(headers: Readonly<Record<string, string>>): SpanContext | undefined {
  return parseTraceparent(headers[TRACE_PARENT_HEADER]);
}

/** For a header: version, trace, span, flags. */
export function traceparentOf({ traceId, spanId, traceFlags }: SpanContext): string {
  return `00-${traceId}-${spanId}-${(traceFlags & 0xff).toString(16).padStart(2, '0')}`;
}

/** The record, with the trace of what sends it; where nothing is traced, the record as it is, and nothing is made. */
export function withTrace(record: OutgoingRecord): OutgoingRecord {
  const sender = trace.getSpanContext(context.active());
  if (sender === undefined || !isSpanContextValid(sender)) return record;
  return { ...record, headers: { ...record.headers, [TRACE_PARENT_HEADER]: traceparentOf(sender) } };
}
