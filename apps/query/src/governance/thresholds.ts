import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { thresholdSetSchema } from '#contracts/threshold-schemas.js';
import { Failure } from '#domain/errors.js';
import { checkThresholds, type ThresholdSet } from '#domain/threshold.js';

/** What the deployment brings along: in force until two people decide otherwise. */
export interface DeployedThresholds {
  readonly thresholds: ThresholdSet;
  /** Of the file's bytes, hexadecimal. */
  readonly fileSha256: string;
}

/** @throws Failure THRESHOLDS_UNREADABLE */
export async function readThresholds(file: string): Promise<DeployedThresholds> {
  try {
    const bytes = await readFile(file);
    const thresholds = thresholdSetSchema.parse(JSON.parse(bytes.toString('utf8')));
    checkThresholds(thresholds, false);
    return { thresholds, fileSha256: createHash('sha256').update(bytes).digest('hex') };
  } catch (error) {
    throw new Failure('THRESHOLDS_UNREADABLE', `The threshold profiles in ${file} cannot be used.`, false, {
      cause: error,
    });
  }
}
