import type { HttpException } from '@nestjs/common';
import { CodedError, Refusal } from '#domain/errors.js';

/** Codes whose status says more than "your input" or "our fault". */
const STATUS_BY_CODE: Readonly<Record<string, number>> = {
  TOKEN_REQUIRED: 401,
  TOKEN_INVALID: 401,
  ROLE_NOT_ALLOWED: 403,
  NOT_YOUR_SEARCH: 403,
  SEARCH_SUSPENDED: 403,
  MODEL_NOT_APPROVED: 403,
  SEARCH_NOT_FOUND: 404,
  AUDIT_ENTRY_NOT_FOUND: 404,
  CHECKPOINT_NOT_FOUND: 404,
  AUDIT_RETENTION_NOT_OVER: 409,
  CANDIDATE_NOT_FOUND: 404,
  NOT_FOUND: 404,
  THRESHOLDS_NOT_FOUND: 404,
  DIRECTION_NOT_FOUND: 404,
  ERASURE_NOT_FOUND: 404,
  SUBJECT_NOT_HELD: 404,
  IMAGE_NOT_HELD: 404,
  ERASURE_ALREADY_DECIDED: 409,
  OVERRIDE_NOT_FOUND: 404,
  REPLICA_NOT_ON_RECORD: 404,
  GALLERY_NOT_FOUND: 404,
  GALLERY_BEHIND: 409,
  GALLERY_IN_FORCE: 409,
  GALLERY_LACKS_IMAGES: 409,
  GALLERY_NOT_RETIRED: 409,
  GALLERY_RETIRED_BEFORE: 409,
  GALLERY_STILL_HELD: 409,
  GALLERY_SWITCHED_MEANWHILE: 409,
  REPLICA_STILL_REPORTING: 409,
  VERSION_CONFLICT: 409,
  CORRECTION_UNDER_WAY: 409,
  ILLEGAL_MOVE: 409,
  CANDIDATES_NOT_ALL_VIEWED: 409,
  OUTCOME_ALREADY_RECORDED: 409,
  SEARCH_NOT_CLOSED: 409,
  SEARCH_TOO_RECENT: 409,
  CANDIDATE_WITHDRAWN: 410,
  CANDIDATE_IMAGE_GONE: 410,
  PROBE_GONE: 410,
  NOT_SUSPENDED: 409,
  APPROVER_NOT_DISTINCT: 409,
  THRESHOLDS_NOT_PROPOSED: 409,
  OVERRIDE_NOT_PROPOSED: 409,
  OVERRIDE_ENDED_BEFORE: 409,
  REQUEST_TOO_LARGE: 413,
  IMAGE_TOO_LARGE: 413,
  IMAGE_FORMAT_UNSUPPORTED: 415,
  IMAGE_EMPTY: 422,
  IMAGE_UNREADABLE: 422,
  IMAGE_TOO_SMALL: 422,
  IMAGE_BREAKS_DECODER: 422,
  IDEMPOTENCY_KEY_REUSED: 422,
  NO_FACE: 422,
  MULTIPLE_FACES: 422,
  FACE_INDEX_OUT_OF_RANGE: 422,
  FACE_UNUSABLE: 422,
  ENGINE_BUSY: 429,
  UPLOADS_BUSY: 429,
  RATE_LIMITED: 429,
  CONCURRENCY_LIMITED: 429,
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
      408: 'REQUEST_TOO_SLOW',
      413: 'REQUEST_TOO_LARGE',
      415: 'MEDIA_TYPE_UNSUPPORTED',
      431: 'REQUEST_HEAD_TOO_LARGE',
    };
    super(codes[status] ?? (status < 500 ? 'BAD_REQUEST' : 'INTERNAL'), exception.message);
    this.status = status;
  }
}
