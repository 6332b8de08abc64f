import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { modelIdSchema } from '#contracts/record-schemas.js';
import { Failure } from '#domain/errors.js';
import type { ThresholdSet } from '#domain/threshold.js';

const thresholdSetSchema = z.object({
  version: z.number().int().positive(),
  evaluation: z.string(),
  profiles: z.array(
    z.object({
      modelId: modelIdSchema,
      kind: z.enum(['operator', 'retrospective']),
      bands: z.array(z.object({ enrolledMax: z.number().int().positive(), score: z.number().min(-1).max(1) })).min(1),
    }),
  ),
}) satisfies z.ZodType<ThresholdSet>;

/** @throws Failure THRESHOLDS_UNREADABLE */
export async function readThresholds(file: string): Promise<ThresholdSet> {
  try {
    const set = thresholdSetSchema.parse(JSON.parse(await readFile(file, 'utf8')));
    for (const { bands } of set.profiles) {
      if (bands.some((band, i) => i > 0 && band.enrolledMax <= bands[i - 1]!.enrolledMax)) {
        throw new RangeError('bands must ascend by enrolledMax');
      }
    }
    return set;
  } catch (error) {
    throw new Failure('THRESHOLDS_UNREADABLE', `The threshold profiles in ${file} cannot be used.`, false, {
      cause: error,
    });
  }
}
