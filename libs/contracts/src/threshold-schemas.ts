/** Threshold profiles as they are written in JSON; what their figures may be is the domain's rule (`checkThresholds`). */
import { z } from 'zod';
import { SEARCH_KINDS } from '#domain/governance.js';
import type { ThresholdContents, ThresholdSet } from '#domain/threshold.js';
import { modelIdSchema } from './record-schemas.js';

const DESCRIPTION_LENGTH_MAX = 4000;
const GROUPS_MAX = 100;

const groupSchema = z.strictObject({ group: z.string().min(1).max(100), fpir: z.number(), fnir: z.number() });
const bandSchema = z.strictObject({
  enrolledMax: z.number().int().positive(),
  score: z.number(),
  fpir: z.number().nullable(),
  fnir: z.number().nullable(),
  groups: z.array(groupSchema).max(GROUPS_MAX).default([]),
});

const contents = {
  evaluation: z.strictObject({
    reportSha256: z.string(),
    description: z.string().trim().min(10).max(DESCRIPTION_LENGTH_MAX),
  }),
  profiles: z.array(z.strictObject({ modelId: modelIdSchema, kind: z.enum(SEARCH_KINDS), bands: z.array(bandSchema) })),
};

export const thresholdContentsSchema = z.strictObject(contents) satisfies z.ZodType<ThresholdContents>;

export const thresholdSetSchema = z.strictObject({
  version: z.number().int().positive(),
  ...contents,
}) satisfies z.ZodType<ThresholdSet>;
