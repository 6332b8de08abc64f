/** Pieces that several records' schemas share. The branded ids check what the domain's constructors check. */
import { z } from 'zod';
import type { FaceBox, FaceChoice } from '#domain/face.js';
import type { AgeBand, GalleryFilter, Sex } from '#domain/gallery.js';
import type { ImageId, ModelId, Offset, SearchId, SubjectId } from '#domain/ids.js';

/**
 * One of these values, or of those that a later version adds: a reader takes what it does not know for a text. Published
 * as `x-extensible-enum`.
 */
export function extensibleEnum<T extends string>(values: readonly T[]): z.ZodType<T, T> {
  return z.string().meta({ 'x-extensible-enum': values }) as unknown as z.ZodType<T, T>;
}

const externalId = z.string().regex(/^[\x21-\x7e]{1,128}$/);

export const imageIdSchema = externalId as unknown as z.ZodType<ImageId>;
export const subjectIdSchema = externalId as unknown as z.ZodType<SubjectId>;
/** Any UUID in lower case: `z.uuid()` takes upper case, and refuses versions that a system may well use. */
export const searchIdSchema = z
  .string()
  .regex(/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/) as unknown as z.ZodType<SearchId>;
export const modelIdSchema = z.string().regex(/^[0-9a-f]{16}$/) as unknown as z.ZodType<ModelId>;
export const offsetSchema = z.number().int().nonnegative() as unknown as z.ZodType<Offset>;
export const partitionSchema = z.number().int().nonnegative();
/** Where a record lies in its topic. */
export const placeSchema = z.object({ partition: partitionSchema, offset: offsetSchema });
export const instantSchema = z.iso.datetime({ offset: true });
/** A date or an instant: custody systems know either. */
export const dateOrInstantSchema = z.union([z.iso.date(), instantSchema]);

export const SEXES = ['female', 'male', 'other', 'unknown'] as const satisfies readonly Sex[];
export const AGE_BANDS = [
  '10-17',
  '18-24',
  '25-34',
  '35-49',
  '50-64',
  '65+',
  'unknown',
] as const satisfies readonly AgeBand[];
export const sexSchema = z.enum(SEXES);
export const ageBandSchema = z.enum(AGE_BANDS);

export const faceBoxSchema: z.ZodType<FaceBox> = z.object({
  left: z.number(),
  top: z.number(),
  right: z.number(),
  bottom: z.number(),
});

export const faceChoiceSchema: z.ZodType<FaceChoice> = z.union([
  z.number().int().nonnegative(),
  z.enum(['largest', 'central']),
]);

export const faceQualitySchema = z.object({
  eyeDistancePx: z.number(),
  embeddingNorm: z.number(),
  detectionConfidence: z.number(),
  yawDegrees: z.number().optional(),
  pitchDegrees: z.number().optional(),
  rollDegrees: z.number().optional(),
  sharpness: z.number().optional(),
  luminanceMean: z.number().optional(),
  underExposedShare: z.number().optional(),
  overExposedShare: z.number().optional(),
  warnings: z.array(z.string()),
  advice: z.array(z.string()).optional(),
});

export const detectedFaceSchema = z.object({
  index: z.number().int().nonnegative(),
  box: faceBoxSchema,
  confidence: z.number(),
  quality: faceQualitySchema.optional(),
});

/** Clockwise degrees. */
export const rotationSchema = z.union([z.literal(0), z.literal(90), z.literal(180), z.literal(270)]);

export const uprightPictureSchema = z.object({
  width: z.number().int().positive(),
  height: z.number().int().positive(),
  rotation: rotationSchema,
});

/** More image ids than this to leave out are a search of another kind. */
const EXCLUDED_IMAGES_MAX = 1000;

export const galleryFilterSchema = z
  .object({
    force: z.string().min(1).max(64),
    capturedFrom: dateOrInstantSchema,
    capturedTo: dateOrInstantSchema,
    sex: sexSchema,
    ageBand: ageBandSchema,
    excludeImageIds: z.array(imageIdSchema).max(EXCLUDED_IMAGES_MAX),
  })
  .partial()
  .strict() as unknown as z.ZodType<GalleryFilter>;
