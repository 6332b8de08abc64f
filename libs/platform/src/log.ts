/**
 * Logs are an event name and fields, one JSON object a line, with the trace that it belongs to. Never an image, a
 * template, a name or a justification.
 */
import { writeSync } from 'node:fs';
import type { LoggerService } from '@nestjs/common';
import { trace } from '@opentelemetry/api';
import { pino, type Logger } from 'pino';

export type LogFields = object;

export interface Log {
  debug(event: string, fields?: LogFields): void;
  info(event: string, fields?: LogFields): void;
  warn(event: string, fields?: LogFields): void;
  error(event: string, fields?: LogFields): void;
}

export function createLog(service: string, level: string): Log {
  const logger = pino(
    {
      level,
      base: { service, pid: process.pid },
      timestamp: pino.stdTimeFunctions.isoTime,
      messageKey: 'event',
      formatters: { level: (label) => ({ level: label }) },
      mixin: traceFields,
    },
    { write: writeOut },
  );
  return wrap(logger);
}

const STANDARD_OUTPUT = 1;
/** A reader that stalls for longer loses lines: a search must not wait for it. */
const STALLED_READER_MS_MAX = 1_000;
const STALLED_READER_POLL_MS = 5;
const never = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));

/**
 * Straight to the descriptor, so that a process that ends has said all it had to say. pino's own stream does as much,
 * but when nobody reads any more it repeats its last write for ever, and a process that wants to end never does.
 */
function writeOut(text: string): void {
  const deadline = Date.now() + STALLED_READER_MS_MAX;
  for (let rest = Buffer.from(text); rest.length > 0;) {
    try {
      rest = rest.subarray(writeSync(STANDARD_OUTPUT, rest));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN' || Date.now() > deadline) return;
      Atomics.wait(never, 0, 0, STALLED_READER_POLL_MS);
    }
  }
}

/** Of the line: whether or not the trace is recorded, it is how the lines of one request are found in all services. */
function traceFields(): { readonly traceId?: string; readonly spanId?: string } {
  const span = trace.getActiveSpan()?.spanContext();
  return span === undefined ? {} : { traceId: span.traceId, spanId: span.spanId };
}

function wrap(logger: Logger): Log {
  return {
    debug: (event, fields) => logger.debug(fields ?? {}, event),
    info: (event, fields) => logger.info(fields ?? {}, event),
    warn: (event, fields) => logger.warn(fields ?? {}, event),
    error: (event, fields) => logger.error(fields ?? {}, event),
  };
}

/** Nest's own messages: its start-up chatter is for debugging, its warnings and errors are ours to see. */
export function nestLogger(log: Log): LoggerService {
  const fields = (message: unknown, rest: unknown[]): LogFields => ({
    message: String(message),
    context: rest.at(-1),
    ...(rest.length > 1 && { detail: String(rest[0]) }),
  });
  return {
    log: (message: unknown, ...rest: unknown[]) => log.debug('nest', fields(message, rest)),
    debug: (message: unknown, ...rest: unknown[]) => log.debug('nest', fields(message, rest)),
    verbose: (message: unknown, ...rest: unknown[]) => log.debug('nest', fields(message, rest)),
    warn: (message: unknown, ...rest: unknown[]) => log.warn('nest', fields(message, rest)),
    error: (message: unknown, ...rest: unknown[]) => log.error('nest', fields(message, rest)),
    fatal: (message: unknown, ...rest: unknown[]) => log.error('nest', fields(message, rest)),
  };
}
