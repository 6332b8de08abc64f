/**
 * At which score a candidate counts as a possible match. The threshold for a wanted false positive identification rate
 * rises with the gallery, so a profile has bands by gallery size, each measured; above the largest measured band the
 * last score is used and every answer says that it was not evaluated there.
 */
import { Failure } from './errors.js';
import type { ModelId } from './ids.js';
import type { SearchKind } from './search-answer.js';

export interface ThresholdBand {
  /** Inclusive. */
  readonly enrolledMax: number;
  readonly score: number;
}

export interface ThresholdProfile {
  readonly modelId: ModelId;
  readonly kind: SearchKind;
  /** Ascending by enrolledMax. */
  readonly bands: readonly ThresholdBand[];
}

export interface ThresholdSet {
  readonly version: number;
  /** Where the scores were measured, in words. */
  readonly evaluation: string;
  readonly profiles: readonly ThresholdProfile[];
}

export interface Threshold {
  readonly version: number;
  readonly score: number;
  /** Whether the score was measured at a gallery of this size. */
  readonly evaluated: boolean;
}

/** @throws Failure THRESHOLD_MISSING when the model has no profile for this kind of search */
export function thresholdFor(set: ThresholdSet, model: ModelId, kind: SearchKind, enrolled: number): Threshold {
  const profile = set.profiles.find((candidate) => candidate.modelId === model && candidate.kind === kind);
  const last = profile?.bands.at(-1);
  if (profile === undefined || last === undefined) {
    throw new Failure('THRESHOLD_MISSING', `No threshold is approved for model ${model} and ${kind} search.`, false);
  }
  const band = profile.bands.find((candidate) => enrolled <= candidate.enrolledMax);
  return { version: set.version, score: (band ?? last).score, evaluated: band !== undefined };
}
