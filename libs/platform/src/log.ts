/**
 * Logs are an event name and fields, one JSON object a line. Never an image, a template, a name or a justification.
 */
import type { LoggerService } from '@nestjs/common';
import { pino, type Logger } from 'pino';

export type LogFields = object;

export interface Log {
  debug(event: string, fields?: LogFields): void;
  info(event: string, fields?: LogFields): void;
  warn(event: string, fields?: LogFields): void;
  error(event: string, fields?: LogFields): void;
}

export function createLog(service: string, level: string): Log {
  const logger = pino({
    level,
    base: { service, pid: process.pid },
    timestamp: pino.stdTimeFunctions.isoTime,
    messageKey: 'event',
    formatters: { level: (label) => ({ level: label }) },
  });
  return wrap(logger);
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
