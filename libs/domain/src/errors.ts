/**
 * The one error family. *Refused* is the input's fault and final; *failed* is ours, and `retryable` says whether the
 * same input may succeed later. Every code has a row in docs/errors.md (a test compares the two).
 */
export abstract class CodedError extends Error {
  abstract readonly retryable: boolean;

  /**
   * @param code stable, in capitals; what systems branch on
   * @param publicText safe to show to the caller: never a face, a name, or a path
   */
  constructor(
    readonly code: string,
    readonly publicText: string,
    options?: { cause?: unknown },
  ) {
    super(`${code}: ${publicText}`, options);
    this.name = new.target.name;
  }
}

/** The input cannot be used, and the same input never will be. */
export class Refusal extends CodedError {
  readonly retryable = false;

  constructor(
    code: string,
    publicText: string,
    /** What helps the caller to mend the input, for example the boxes of the faces found. */
    readonly details?: Readonly<Record<string, unknown>>,
    options?: { cause?: unknown },
  ) {
    super(code, publicText, options);
  }
}

/** The input may be good; something of ours, or something that we depend on, did not work. */
export class Failure extends CodedError {
  constructor(
    code: string,
    publicText: string,
    readonly retryable: boolean,
    options?: {
      cause?: unknown;
      /** When trying again has a chance, where that is known. */
      retryAfterSeconds?: number;
    },
  ) {
    super(code, publicText, options);
    this.retryAfterSeconds = options?.retryAfterSeconds;
  }

  readonly retryAfterSeconds: number | undefined;
}

/** For logs: the message of anything thrown, with its causes. */
export function describeError(thrown: unknown): string {
  if (!(thrown instanceof Error)) return String(thrown);
  return thrown.cause === undefined ? thrown.message : `${thrown.message} (${describeError(thrown.cause)})`;
}
