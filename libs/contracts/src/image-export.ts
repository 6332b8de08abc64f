/**
 * The export of what became of every image, by which a custody system reconciles: a JSON object a line. The first line
 * says what it is, the last one has the kind `end`, by which whoever reads it knows that nothing is missing.
 */
import { z } from 'zod';
import { Refusal } from '#domain/errors.js';
import {
  dateOrInstantSchema,
  imageIdSchema,
  instantSchema,
  modelIdSchema,
  placeSchema,
  subjectIdSchema,
} from './record-schemas.js';

/** What is held, searchable or not; then what is not. */
export const HELD_STATES = ['enrolled', 'restricted', 'retired'] as const;
export const UNHELD_STATES = ['refused', 'failed', 'erased'] as const;
export const IMAGE_STATES = [...HELD_STATES, ...UNHELD_STATES] as const;

const text = z.string().optional();

export const imageExportLineSchema = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('image-export'),
    version: z.literal(1),
    exportedAt: instantSchema,
    /** Whose gallery holds the images. */
    modelId: modelIdSchema,
    /** Since when refusals are known: the oldest outcome that is kept; null when there is none. */
    outcomesSince: instantSchema.nullable(),
    /** Records of `custody.images` that had no outcome yet, at most; null when that could not be found out. */
    imagesWaiting: z.number().int().nullable(),
  }),
  z.object({
    kind: z.literal('image'),
    imageId: imageIdSchema,
    state: z.enum(IMAGE_STATES),
    /** Of one that was refused or failed. */
    code: text,
    /** Since when it is in this state. Of one that is held and searchable: when its record was accepted. */
    at: instantSchema,
    /** The record on `custody.images` that it follows from. Inclusive. */
    source: placeSchema,
    /** This and what follows: of an image that is held. */
    subjectId: subjectIdSchema.optional(),
    force: text,
    custodyReference: text,
    capturedAt: dateOrInstantSchema.optional(),
    lawfulBasis: text,
    reviewDue: dateOrInstantSchema.optional(),
    /** A later record of the image that was refused, or failed: what is held is from the record before. */
    later: z
      .object({ state: z.enum(['refused', 'failed']), code: z.string(), at: instantSchema, source: placeSchema })
      .optional(),
  }),
  z.object({ kind: z.literal('end'), images: z.number().int() }),
]);

export type ImageExportLine = z.infer<typeof imageExportLineSchema>;
export type ExportedImage = Extract<ImageExportLine, { kind: 'image' }>;

export function formatImageExportLine(line: ImageExportLine): string {
  return `${JSON.stringify(line)}\n`;
}

/** @throws Refusal IMAGE_EXPORT_UNREADABLE */
export function parseImageExportLine(line: string): ImageExportLine {
  try {
    return imageExportLineSchema.parse(JSON.parse(line));
  } catch (cause) {
    throw new Refusal('IMAGE_EXPORT_UNREADABLE', 'A line of the export is not one that is known here.', undefined, {
      cause,
    });
  }
}

/** Whether a photograph of it, and its template, are here. */
export function isHeldState(state: ExportedImage['state']): boolean {
  return (HELD_STATES as readonly string[]).includes(state);
}
