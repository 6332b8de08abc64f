/** What goes between a {@link FacePool} and its processes. Structured clone: buffers and typed arrays go as they are. */
import { CodedError, Failure, Refusal } from '#domain/errors.js';
import type { DetectedFace, FaceChoice, UprightPicture } from '#domain/face.js';
import type { EmbeddedFace, FaceStage } from './face-engine.js';

export interface ProcessRequest {
  readonly id: number;
  readonly bytes: Uint8Array;
  readonly choice: FaceChoice | undefined;
  /** Whether the upright JPEG is wanted, for the image store. */
  readonly uprightJpeg: boolean;
}

/**
 * There is nothing to do for now: no picture is to stay in memory until the next one takes its place. A channel reads into
 * one buffer of 64 KiB for as long as it lives, so that what was read stays in it until something as long comes; the
 * padding does, on both sides.
 */
export interface ForgetRequest {
  readonly forget: Uint8Array;
}

/** Several times what is overwritten: a part of it at a time is read. */
export const FORGET_PADDING = new Uint8Array(256 * 1024);

/** What became of a picture. Its pixels stay in the process that decoded it. */
export interface ProcessedFace {
  /** Pixels of the upright image. */
  readonly width: number;
  readonly height: number;
  /** What the picture was turned by, beyond what EXIF says. */
  readonly rotation: UprightPicture['rotation'];
  /** From left to right; a face's index is its place here. */
  readonly faces: readonly DetectedFace[];
  /** Index of the embedded face. */
  readonly chosen: number;
  readonly embedded: EmbeddedFace;
  readonly timingsMs: Readonly<Record<FaceStage, number>>;
  /** Upright and without metadata; empty when it was not asked for. */
  readonly uprightJpeg: Uint8Array;
}

/** `strip`: the upright JPEG is what `stripJpeg` leaves of the bytes that were sent. */
export type ProcessResult = Omit<ProcessedFace, 'uprightJpeg'> & { readonly uprightJpeg: Uint8Array | 'strip' };

export interface PackedError {
  readonly refused: boolean;
  readonly code: string;
  readonly publicText: string;
  readonly retryable: boolean;
  readonly details?: Readonly<Record<string, unknown>>;
  /** For the log. */
  readonly cause: string;
}

export type ProcessAnswer =
  | { readonly kind: 'ready'; readonly dimension: number; readonly modelId: string }
  | { readonly kind: 'not-ready'; readonly error: PackedError }
  | { readonly kind: 'processed'; readonly id: number; readonly result: ProcessResult }
  | { readonly kind: 'forgotten'; readonly padding: Uint8Array }
  | { readonly kind: 'error'; readonly id: number; readonly error: PackedError };

export function packError(thrown: unknown): PackedError {
  const cause = thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown);
  const coded =
    thrown instanceof CodedError ? thrown : new Failure('FACE_PIPELINE_FAILED', 'The face pipeline failed.', false);
  const { code, publicText, retryable } = coded;
  const details = thrown instanceof Refusal ? thrown.details : undefined;
  return {
    refused: thrown instanceof Refusal,
    code,
    publicText,
    retryable,
    cause,
    ...(details !== undefined && { details }),
  };
}

export function unpackError(error: PackedError): CodedError {
  const options = { cause: new Error(error.cause) };
  if (error.refused) return new Refusal(error.code, error.publicText, error.details, options);
  return new Failure(error.code, error.publicText, error.retryable, options);
}
