import type { Brand } from './brand.js';
import { Refusal } from './errors.js';

/** A custody image's id in the custody system: 1 to 128 printable ASCII characters without spaces. */
export type ImageId = Brand<string, 'ImageId'>;
/** The person whom a custody record is about. The same alphabet as {@link ImageId}. */
export type SubjectId = Brand<string, 'SubjectId'>;
/** A search's id, a UUID. */
export type SearchId = Brand<string, 'SearchId'>;
/** The hash of a model pack: 16 lower-case hexadecimal digits. Templates of two models are never compared. */
export type ModelId = Brand<string, 'ModelId'>;
/** A position in a Kafka partition. Each use says whether it is inclusive or exclusive. Fits a double: 2^53 records. */
export type Offset = Brand<number, 'Offset'>;

const EXTERNAL_ID = /^[\x21-\x7e]{1,128}$/;
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const DIGITS = /^\d+$/;
const MODEL_ID = /^[0-9a-f]{16}$/;

export function isImageId(text: string): text is ImageId {
  return EXTERNAL_ID.test(text);
}

/** @throws Refusal BAD_IMAGE_ID */
export function imageId(text: string): ImageId {
  if (!isImageId(text)) {
    throw new Refusal('BAD_IMAGE_ID', 'An imageId is 1 to 128 printable ASCII characters without spaces.');
  }
  return text;
}

/** @throws Refusal BAD_SUBJECT_ID */
export function subjectId(text: string): SubjectId {
  if (!EXTERNAL_ID.test(text)) {
    throw new Refusal('BAD_SUBJECT_ID', 'A subjectId is 1 to 128 printable ASCII characters without spaces.');
  }
  return text as SubjectId;
}

/** @throws Refusal BAD_SEARCH_ID */
export function searchId(text: string): SearchId {
  if (!UUID.test(text)) throw new Refusal('BAD_SEARCH_ID', 'A searchId is a UUID in lower case.');
  return text as SearchId;
}

/** @throws Refusal BAD_MODEL_ID */
export function modelId(text: string): ModelId {
  if (!MODEL_ID.test(text)) throw new Refusal('BAD_MODEL_ID', 'A modelId is 16 lower-case hexadecimal digits.');
  return text as ModelId;
}

/** @throws RangeError when `value` is not a whole number from 0 to 2^53 - 1 */
export function offset(value: number | string | bigint): Offset {
  // An empty text is the number 0 to JavaScript; as an offset it is a header that somebody left empty.
  const n = typeof value === 'string' && !DIGITS.test(value) ? Number.NaN : Number(value);
  if (!Number.isSafeInteger(n) || n < 0) throw new RangeError(`not a Kafka offset: ${String(value)}`);
  return n as Offset;
}
