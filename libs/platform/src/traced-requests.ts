/** The span of an HTTP request: what the caller's own trace, if it sent one, goes on with. */
import { context, ROOT_CONTEXT, trace } from '@opentelemetry/api';
import type { NextFunction, Request, Response } from 'express';
import { parseTraceparent, traceparentOf } from '#contracts/trace-context.js';
import { beginRequestSpan, endRequestSpan } from './spans.js';

/** Asked every few seconds by what watches the service. */
const WATCHED_PATHS = /^\/(health|metrics)(\/|$)/;

/**
 * Names the trace in `traceresponse`, whether or not it is recorded, so that a caller can say which request it means.
 * https://w3c.github.io/trace-context/#traceresponse-header
 */
export function tracedRequests(request: Request, response: Response, next: NextFunction): void {
  const caller = parseTraceparent(request.get('traceparent'));
  const parent = caller === undefined ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, caller);
  const span = WATCHED_PATHS.test(request.path) ? undefined : beginRequestSpan(request.method, parent);
  if (span === undefined) {
    next();
    return;
  }
  response.setHeader('traceresponse', traceparentOf(span.spanContext()));
  // Also when the caller has gone away. The route is known by now, and never the path: that may hold a person's id.
  response.once('close', () => endRequestSpan(span, request.method, routeOf(request), response.statusCode));
  context.with(trace.setSpan(parent, span), next);
}

/** As the controllers have it, with names in place of ids; undefined where no controller was asked. */
function routeOf(request: Request): string | undefined {
  const path = (request.route as { readonly path?: unknown } | undefined)?.path;
  return typeof path === 'string' ? path : undefined;
}
