import type { HttpException } from '@nestjs/common';
import { CodedError, Refusal } from '#domain/errors.js';

/** Codes whose status says more than "your input" or "our fault". */
const STATUS_BY_CODE: Readonly<Record<string, number>> = {
  TOKEN_REQUIRED: 401,
  TOKEN_INVALID: 401,
  ROLE_NOT_ALLOWED: 403,
  NOT_YOUR_SEARCH: 403,
  SEARCH_NOT_FOUND: 404,
  NOT_FOUND: 404,
  VERSION_CONFLICT: 409,
  ILLEGAL_MOVE: 409,
  REQUEST_TOO_LARGE: 413,
  IMAGE_TOO_LARGE: 413,
  IMAGE_FORMAT_UNSUPPORTED: 415,
  IMAGE_EMPTY: 422,
  IMAGE_UNREADABLE: 422,
  IMAGE_TOO_SMALL: 422,
  IMAGE_BREAKS_DECODER: 422,
  NO_FACE: 422,
  MULTIPLE_FACES: 422,
  FACE_INDEX_OUT_OF_RANGE: 422,
  FACE_UNUSABLE: 422,
  ENGINE_BUSY: 429,
};

export function httpStatusOf(error: CodedError): number {
  const known = STATUS_BY_CODE[error.code];
  if (known !== undefined) return known;
  if (error instanceof HttpProblem) return error.status;
  if (error instanceof Refusal) return 400;
  return error.retryable ? 503 : 500;
}

/** What Nest itself refuses: an unknown path, a body that is too large or cannot be parsed. */
export class HttpProblem extends CodedError {
  readonly retryable = false;
  readonly status: number;

  constructor(exception: HttpException) {
    const status = exception.getStatus();
    const codes: Record<number, string> = {
      400: 'BAD_REQUEST',
      404: 'NOT_FOUND',
      405: 'METHOD_NOT_ALLOWED',
      413: 'REQUEST_TOO_LARGE',
      415: 'MEDIA_TYPE_UNSUPPORTED',
    };
    super(codes[status] ?? (status < 500 ? 'BAD_REQUEST' : 'INTERNAL'), exception.message);
    this.status = status;
  }
}
