/** Finds a face once more in the photograph that is kept of it, whatever index it had in the picture as it was sent. */
import { Refusal } from '#domain/errors.js';
import { sameFace, type FaceBox } from '#domain/face.js';
import type { FacePool } from './face-pool.js';
import type { ProcessedFace } from './face-protocol.js';

/** What is known of the face since its photograph was enrolled. */
interface KnownFace {
  /** Its index among those found then, from left to right. */
  readonly face?: number;
  readonly faceBox?: FaceBox;
}

/** The photograph has other faces, or more than one, than what is known says. */
const NOT_FOUND_AGAIN: ReadonlySet<string> = new Set(['FACE_INDEX_OUT_OF_RANGE', 'MULTIPLE_FACES']);

/**
 * By its box: in a photograph that was not stored as it came, and to another detector, the faces may count differently.
 * Without a box by its index, and without either only when the photograph has one face.
 *
 * @returns the same face, processed; undefined when it is not found
 * @throws as {@link FacePool.process}
 */
export async function processFaceAgain(
  faces: Pick<FacePool, 'process'>,
  photograph: Uint8Array,
  { face, faceBox }: KnownFace,
): Promise<ProcessedFace | undefined> {
  const first =
    (await atChoice(faces, photograph, face)) ??
    (faceBox === undefined ? undefined : await faces.process(photograph, 'largest'));
  if (first === undefined || faceBox === undefined) return first;
  const found = sameFace(first.faces, faceBox);
  if (found === undefined) return undefined;
  return found === first.chosen ? first : faces.process(photograph, found);
}

async function atChoice(
  faces: Pick<FacePool, 'process'>,
  photograph: Uint8Array,
  face: number | undefined,
): Promise<ProcessedFace | undefined> {
  try {
    return await faces.process(photograph, face);
  } catch (error) {
    if (error instanceof Refusal && NOT_FOUND_AGAIN.has(error.code)) return undefined;
    throw error;
  }
}
