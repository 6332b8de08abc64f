/** `custody.images.v1`: an image to enrol, or a null that asks for its erasure. */
import { Refusal } from '#domain/errors.js';
import { parseFaceChoice, type FaceChoice } from '#domain/face.js';
import type { AgeBand, Sex } from '#domain/gallery.js';
import { imageId, offset, subjectId, type ImageId, type Offset, type SubjectId } from '#domain/ids.js';
import { cloudEventHeaders, expectCloudEvent, extension, requiredExtension, type Headers } from './cloud-events.js';
import { AGE_BANDS, SEXES, dateOrInstantSchema } from './record-schemas.js';

export const CUSTODY_IMAGE_TYPE = 'custody.image.v1';
export const CUSTODY_ERASURE_TYPE = 'custody.erasure.v1';

/** What a custody system says about an image. */
export interface CustodyImage {
  readonly imageId: ImageId;
  readonly subjectId: SubjectId;
  readonly force?: string;
  readonly custodyReference?: string;
  /** ISO 8601 date or instant. */
  readonly capturedAt?: string;
  readonly lawfulBasis?: string;
  /** ISO 8601 date or instant. */
  readonly reviewDue?: string;
  readonly sex?: Sex;
  readonly ageBand?: AgeBand;
  readonly face?: FaceChoice;
  /**
   * A correction: the image as it is held, with other metadata, and the record that the held one came from. What is
   * erased up to there is not to come back by way of its correction. Inclusive.
   */
  readonly correctionOf?: Offset;
  /** Of a correction: the record that the photograph first came from. Searches of then and now saw the same pixels. */
  readonly photographFrom?: Offset;
}

export function custodyImageHeaders(image: CustodyImage, source: string, contentType: string): Headers {
  return cloudEventHeaders({
    type: CUSTODY_IMAGE_TYPE,
    source,
    subject: image.imageId,
    contentType,
    extensions: {
      subjectid: image.subjectId,
      force: image.force,
      custodyref: image.custodyReference,
      capturedat: image.capturedAt,
      lawfulbasis: image.lawfulBasis,
      reviewdue: image.reviewDue,
      sex: image.sex,
      ageband: image.ageBand,
      face: image.face === undefined ? undefined : String(image.face),
      correctionof: image.correctionOf?.toString(),
      photographfrom: image.photographFrom?.toString(),
    },
  });
}

/** The name of the header that carries a signed assertion (a compact JWS). */
export const ASSERTION_HEADER = 'assertion';

export function erasureHeaders(id: ImageId, source: string, assertion: string): Headers {
  return {
    ...cloudEventHeaders({ type: CUSTODY_ERASURE_TYPE, source, subject: id }),
    [ASSERTION_HEADER]: assertion,
  };
}

/** @throws Refusal HEADER_MISSING, HEADER_UNKNOWN, BAD_METADATA. Who signed the assertion, and about what, is not looked at. */
export function checkErasureHeaders(id: ImageId, headers: Headers): void {
  expectCloudEvent(headers, CUSTODY_ERASURE_TYPE);
  checkSubject(id, headers);
}

/** Characters of a text that somebody has typed. */
export const TEXT_LENGTH_MAX = 256;

/** The ids of a record that may be bad in every other respect, so that its refusal can be reported under its id. */
export function custodyImageId(key: Buffer | null): ImageId {
  if (key === null) throw new Refusal('KEY_MISSING', 'The record has no key: the key is the imageId.');
  return imageId(key.toString('utf8'));
}

/** @throws Refusal HEADER_MISSING, HEADER_UNKNOWN, BAD_SUBJECT_ID, BAD_FACE_CHOICE, BAD_METADATA */
export function parseCustodyImage(id: ImageId, headers: Headers): CustodyImage {
  expectCloudEvent(headers, CUSTODY_IMAGE_TYPE);
  // It names the collection in the audit, which could not hold a longer one.
  text(headers, 'source');
  checkSubject(id, headers);
  const face = extension(headers, 'face');
  return {
    imageId: id,
    subjectId: subjectId(requiredExtension(headers, 'subjectid')),
    ...optional('force', text(headers, 'force')),
    ...optional('custodyReference', text(headers, 'custodyref')),
    ...optional('capturedAt', instant(headers, 'capturedat')),
    ...optional('lawfulBasis', text(headers, 'lawfulbasis')),
    ...optional('reviewDue', instant(headers, 'reviewdue')),
    ...optional('sex', oneOf(headers, 'sex', SEXES)),
    ...optional('ageBand', oneOf(headers, 'ageband', AGE_BANDS)),
    ...optional('face', face === undefined ? undefined : parseFaceChoice(face)),
    ...optional('correctionOf', offsetIn(headers, 'correctionof')),
    ...optional('photographFrom', offsetIn(headers, 'photographfrom')),
  };
}

function checkSubject(id: ImageId, headers: Headers): void {
  const subject = extension(headers, 'subject');
  if (subject !== undefined && subject !== id) {
    throw new Refusal('BAD_METADATA', 'ce_subject must be the imageId, as the key is.', { header: 'ce_subject' });
  }
}

function offsetIn(headers: Headers, name: string): Offset | undefined {
  const given = extension(headers, name);
  try {
    return given === undefined ? undefined : offset(given);
  } catch (cause) {
    throw new Refusal('BAD_METADATA', `ce_${name} is not an offset.`, { header: `ce_${name}` }, { cause });
  }
}

export function optional<K extends string, V>(key: K, value: V | undefined): { [P in K]?: V } {
  return (value === undefined ? {} : { [key]: value }) as { [P in K]?: V };
}

function text(headers: Headers, name: string): string | undefined {
  const value = extension(headers, name);
  if (value !== undefined && value.length > TEXT_LENGTH_MAX) {
    throw new Refusal('BAD_METADATA', `ce_${name} has more than ${TEXT_LENGTH_MAX} characters.`, {
      header: `ce_${name}`,
    });
  }
  return value;
}

function instant(headers: Headers, name: string): string | undefined {
  const value = extension(headers, name);
  if (value !== undefined && !dateOrInstantSchema.safeParse(value).success) {
    throw new Refusal('BAD_METADATA', `ce_${name} is not an ISO 8601 date or instant.`, { header: `ce_${name}` });
  }
  return value;
}

function oneOf<T extends string>(headers: Headers, name: string, known: readonly T[]): T | undefined {
  const value = extension(headers, name);
  if (value === undefined) return undefined;
  const found = known.find((candidate) => candidate === value);
  if (found === undefined) {
    throw new Refusal('BAD_METADATA', `ce_${name} is one of: ${known.join(', ')}.`, { header: `ce_${name}` });
  }
  return found;
}
