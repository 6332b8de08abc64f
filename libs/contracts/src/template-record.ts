/**
 * `gallery.templates.<modelId>.v1`: one face's template, float32 little-endian, with what a candidate shows of it in the
 * headers. Read by hand rather than through a schema library: a shard replays hundreds of thousands of them.
 */
import { Refusal } from '#domain/errors.js';
import type { FaceBox } from '#domain/face.js';
import type { AgeBand, Sex, TemplateKeeping, TemplateMetadata, TemplateSource } from '#domain/gallery.js';
import { imageId, offset, subjectId, type ImageId, type ModelId, type Offset } from '#domain/ids.js';
import { cloudEventHeaders, extension, type Headers } from './cloud-events.js';
import { optional, TEXT_LENGTH_MAX } from './custody-image.js';
import { AGE_BANDS, dateOrInstantSchema, SEXES } from './record-schemas.js';

export const TEMPLATE_TYPE = 'gallery.template.v1';
export const TEMPLATE_TOMBSTONE_TYPE = 'gallery.template-erased.v1';
export const TEMPLATE_UNUSABLE_TYPE = 'gallery.template-unusable.v1';

export interface TemplateRecord {
  readonly modelId: ModelId;
  readonly metadata: TemplateMetadata;
  readonly source: TemplateSource;
  /** Beside the metadata, not in it: it is nothing that a candidate shows. */
  readonly keeping?: TemplateKeeping;
}

export function templateHeaders(record: TemplateRecord, source: string): Headers {
  const { metadata } = record;
  return cloudEventHeaders({
    type: TEMPLATE_TYPE,
    source,
    subject: metadata.imageId,
    contentType: 'application/octet-stream',
    extensions: {
      modelid: record.modelId,
      subjectid: metadata.subjectId,
      force: metadata.force,
      custodyref: metadata.custodyReference,
      capturedat: metadata.capturedAt,
      sex: metadata.sex,
      ageband: metadata.ageBand,
      facebox: metadata.faceBox && formatBox(metadata.faceBox),
      norm: metadata.embeddingNorm?.toFixed(4),
      sourceoffset: String(record.source.sourceOffset),
      acceptedat: String(record.source.acceptedAtMs),
      lawfulbasis: record.keeping?.lawfulBasis,
      reviewdue: record.keeping?.reviewDue,
      face: record.keeping?.face?.toString(),
      photographfrom: record.keeping?.photographFrom?.toString(),
    },
  });
}

/**
 * @param supersedes of a tombstone that follows from a later photograph and not from an erasure: the `custody.images`
 *   record of that, inclusive. It removes what came from there or before, whatever the dispositions say.
 */
export function templateTombstoneHeaders(id: ImageId, source: string, supersedes?: Offset): Headers {
  const extensions = { sourceoffset: supersedes?.toString() };
  return cloudEventHeaders({ type: TEMPLATE_TOMBSTONE_TYPE, source, subject: id, extensions });
}

/**
 * Of a record without a template, for an image whose own could not be used: it takes the place of what is erased, so that
 * whoever reads the log still knows that an image is missing. A record like any other that cannot be used.
 *
 * @param of the record that could not be used: what it came from, where it named it, inclusive; and when it was taken,
 *   milliseconds since 1970
 */
export function templateUnusableHeaders(
  id: ImageId,
  of: { readonly sourceOffset: Offset | undefined; readonly timestampMs: number },
  source: string,
): Headers {
  const extensions = { sourceoffset: of.sourceOffset?.toString(), recordedat: String(of.timestampMs) };
  return cloudEventHeaders({ type: TEMPLATE_UNUSABLE_TYPE, source, subject: id, extensions });
}

/**
 * When the record was taken for which this one stands, milliseconds since 1970; undefined for any other kind of record.
 * What it says was said before, so that nobody need look at it again.
 */
export function standsForUnusable(headers: Headers): number | undefined {
  if (headers['ce_type'] !== TEMPLATE_UNUSABLE_TYPE) return undefined;
  const recordedAtMs = Number(headers['ce_recordedat']);
  return Number.isSafeInteger(recordedAtMs) ? recordedAtMs : undefined;
}

/**
 * Without {@link TemplateKeeping}, which {@link parseTemplateKeeping} reads.
 *
 * @throws Refusal TEMPLATE_UNUSABLE with what is wrong
 */
export function parseTemplateRecord(key: Buffer | null, headers: Headers): TemplateRecord {
  try {
    const id = imageId((key ?? Buffer.alloc(0)).toString('latin1'));
    const norm = headers['ce_norm'];
    const box = headers['ce_facebox'];
    return {
      modelId: (headers['ce_modelid'] ?? '') as ModelId,
      metadata: {
        imageId: id,
        subjectId: subjectId(headers['ce_subjectid'] ?? ''),
        ...optional('force', text('ce_force', headers)),
        ...optional('custodyReference', text('ce_custodyref', headers)),
        ...optional('capturedAt', text('ce_capturedat', headers)),
        ...optional('sex', oneOf<Sex>(SEXES_KNOWN, 'ce_sex', headers)),
        ...optional('ageBand', oneOf<AgeBand>(AGE_BANDS_KNOWN, 'ce_ageband', headers)),
        ...optional('faceBox', box === undefined ? undefined : parseBox(box)),
        ...optional('embeddingNorm', norm === undefined ? undefined : parseNorm(norm)),
      },
      source: {
        sourceOffset: offset(headers['ce_sourceoffset'] ?? 'missing'),
        acceptedAtMs: offset(headers['ce_acceptedat'] ?? 'missing'),
      },
    };
  } catch (error) {
    throw new Refusal('TEMPLATE_UNUSABLE', 'The template record’s key or headers cannot be read.', undefined, {
      cause: error,
    });
  }
}

/**
 * Which `custody.images` record it came from, as a record that cannot be used may still say, and a tombstone may. Inclusive.
 */
export function templateSourceOffset(headers: Headers): Offset | undefined {
  try {
    return offset(headers['ce_sourceoffset'] ?? 'missing');
  } catch {
    return undefined;
  }
}

/** What cannot be read of it counts as absent: the image is held all the same, and its review must not be lost. */
export function parseTemplateKeeping(headers: Headers): TemplateKeeping {
  const basis = extension(headers, 'lawfulbasis');
  const face = extension(headers, 'face');
  const reviewDue = extension(headers, 'reviewdue');
  const from = extension(headers, 'photographfrom');
  return {
    ...optional('lawfulBasis', basis !== undefined && basis.length <= TEXT_LENGTH_MAX ? basis : undefined),
    ...optional('reviewDue', dateOrInstantSchema.safeParse(reviewDue).success ? reviewDue : undefined),
    ...optional('face', face !== undefined && /^\d{1,3}$/.test(face) ? Number(face) : undefined),
    ...optional('photographFrom', from !== undefined && /^\d{1,15}$/.test(from) ? offset(from) : undefined),
  };
}

/**
 * The value of a template record. Copies, because a record's buffer is a view of a whole fetch response.
 *
 * @throws Refusal TEMPLATE_UNUSABLE when the length is not 4 bytes a component
 */
export function decodeTemplate(value: Buffer, dimension: number): Float32Array {
  if (value.length !== dimension * Float32Array.BYTES_PER_ELEMENT) {
    throw new Refusal('TEMPLATE_UNUSABLE', `The template has ${value.length} bytes, not ${dimension} float32.`);
  }
  const copy = new Float32Array(dimension);
  value.copy(Buffer.from(copy.buffer));
  return copy;
}

export function encodeTemplate(template: Float32Array): Buffer {
  return Buffer.from(template.buffer, template.byteOffset, template.byteLength);
}

function formatBox(box: FaceBox): string {
  return [box.left, box.top, box.right, box.bottom].map((side) => Math.round(side)).join(',');
}

function parseBox(text: string): FaceBox {
  const [left, top, right, bottom] = text.split(',').map(Number);
  if (![left, top, right, bottom].every(Number.isFinite)) throw new Refusal('BAD_METADATA', 'ce_facebox is not a box.');
  return { left: left!, top: top!, right: right!, bottom: bottom! };
}

function parseNorm(text: string): number {
  const norm = Number(text);
  if (text.trim() === '' || !Number.isFinite(norm)) throw new Refusal('BAD_METADATA', 'ce_norm is not a number.');
  return norm;
}

/** A custody image has none longer; a megabyte here would be held in memory, and make replies that nobody can send. */
function text(name: string, headers: Headers): string | undefined {
  const value = headers[name];
  if (value !== undefined && value.length > TEXT_LENGTH_MAX) throw new Refusal('BAD_METADATA', `${name} is too long.`);
  return value;
}

const SEXES_KNOWN: ReadonlySet<string> = new Set(SEXES);
const AGE_BANDS_KNOWN: ReadonlySet<string> = new Set(AGE_BANDS);

/** The field's schema in a reply holds for it too: one odd record must not cost the whole reply that it is in. */
function oneOf<T extends string>(known: ReadonlySet<string>, name: string, headers: Headers): T | undefined {
  const value = headers[name];
  if (value !== undefined && !known.has(value)) throw new Refusal('BAD_METADATA', `${name} is not one that is known.`);
  return value as T | undefined;
}
