import {
  Catch,
  HttpException,
  MethodNotAllowedException,
  NotFoundException,
  type ArgumentsHost,
  type ExceptionFilter,
} from '@nestjs/common';
import type { Request, Response } from 'express';
import { CodedError, describeError, Failure } from '#domain/errors.js';
import { allowedMethods } from './allowed-methods.js';
import { HttpProblem, httpStatusOf } from './http-status.js';
import type { Log } from './log.js';
import { describeSpan } from './spans.js';

/** What is away is back in moments, or stays away for longer than anybody knows. */
const RETRY_AFTER_SECONDS = 1;

/** Every error leaves as an RFC 9457 problem with its code; what is not ours to show stays in the log. */
@Catch()
export class ProblemFilter implements ExceptionFilter {
  constructor(private readonly log: Log) {}

  catch(thrown: unknown, host: ArgumentsHost): void {
    const response = host.switchToHttp().getResponse<Response>();
    // Only the router makes this one: for a path that it does not know, or not with this method.
    const allowed =
      thrown instanceof NotFoundException ? allowedMethods(host.switchToHttp().getRequest<Request>()) : [];
    const error = toCodedError(allowed.length > 0 ? new MethodNotAllowedException(methodText(allowed)) : thrown);
    const status = httpStatusOf(error);
    describeSpan({ 'error.type': error.code });
    if (status >= 500) this.log.error('request-failed', { code: error.code, error: describeError(thrown) });
    if (response.headersSent) {
      response.destroy();
      return;
    }
    if (error.retryable) response.setHeader('Retry-After', String(retryAfterSeconds(error)));
    if (status === 401) response.setHeader('WWW-Authenticate', 'Bearer');
    if (status === 405) response.setHeader('Allow', allowed.join(', '));
    response.status(status).type('application/problem+json').send(problemText(error));
  }
}

/** The body of the answer, RFC 9457. */
export function problemText(error: CodedError & { readonly details?: unknown }): string {
  return JSON.stringify({
    type: `urn:custody-face-search:error:${error.code}`,
    title: error.code,
    status: httpStatusOf(error),
    code: error.code,
    detail: error.publicText,
    retryable: error.retryable,
    ...(error.details !== undefined ? { details: error.details } : {}),
  });
}

function methodText(allowed: readonly string[]): string {
  return `This path takes ${allowed.join(', ')}.`;
}

function retryAfterSeconds(error: CodedError): number {
  return error instanceof Failure ? (error.retryAfterSeconds ?? RETRY_AFTER_SECONDS) : RETRY_AFTER_SECONDS;
}

function toCodedError(thrown: unknown): CodedError & { readonly details?: unknown } {
  if (thrown instanceof CodedError) return thrown;
  if (thrown instanceof HttpException) return new HttpProblem(thrown);
  return new Failure('INTERNAL', 'Something went wrong here; it has been logged.', false, { cause: thrown });
}
