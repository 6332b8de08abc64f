import { Catch, HttpException, type ArgumentsHost, type ExceptionFilter } from '@nestjs/common';
import type { Response } from 'express';
import { CodedError, describeError, Failure } from '#domain/errors.js';
import { HttpProblem, httpStatusOf } from './http-status.js';
import type { Log } from './log.js';

/** Every error leaves as an RFC 9457 problem with its code; what is not ours to show stays in the log. */
@Catch()
export class ProblemFilter implements ExceptionFilter {
  constructor(private readonly log: Log) {}

  catch(thrown: unknown, host: ArgumentsHost): void {
    const response = host.switchToHttp().getResponse<Response>();
    const error = toCodedError(thrown);
    const status = httpStatusOf(error);
    if (status >= 500) this.log.error('request-failed', { code: error.code, error: describeError(thrown) });
    if (response.headersSent) {
      response.destroy();
      return;
    }
    if (error.retryable) response.setHeader('Retry-After', '1');
    if (status === 401) response.setHeader('WWW-Authenticate', 'Bearer');
    response
      .status(status)
      .type('application/problem+json')
      .send(
        JSON.stringify({
          type: `urn:custody-face-search:error:${error.code}`,
          title: error.code,
          status,
          code: error.code,
          detail: error.publicText,
          retryable: error.retryable,
          ...('details' in error && error.details !== undefined ? { details: error.details } : {}),
        }),
      );
  }
}

function toCodedError(thrown: unknown): CodedError & { readonly details?: unknown } {
  if (thrown instanceof CodedError) return thrown;
  if (thrown instanceof HttpException) return new HttpProblem(thrown);
  return new Failure('INTERNAL', 'Something went wrong here; it has been logged.', false, { cause: thrown });
}
