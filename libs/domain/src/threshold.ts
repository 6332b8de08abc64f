/**
 * At which score a candidate counts as a possible match. The threshold for a wanted false positive identification rate
 * rises with the gallery, so a profile has bands by gallery size, each measured; above the largest measured band the
 * last score is used and every answer says that it was not evaluated there.
 *
 * A set of profiles is changed as a whole, by two people (governance.ts), and names the report of its evaluation.
 */
import { Failure, Refusal } from './errors.js';
import type { ModelId } from './ids.js';
import type { AppliedThreshold, SearchKind } from './search-answer.js';

/** Error rates in one group of people, so that nobody can say later that a difference was not known. */
export interface GroupRates {
  /** As the evaluation report names it, for example `female, 18-24`. */
  readonly group: string;
  readonly fpir: number;
  readonly fnir: number;
}

export interface ThresholdBand {
  /** Inclusive. */
  readonly enrolledMax: number;
  readonly score: number;
  /** False positive identification rate at `score` in a gallery of `enrolledMax`, above 0 to 1; null: not measured. */
  readonly fpir: number | null;
  /** False negative identification rate, likewise. */
  readonly fnir: number | null;
  /** Empty: not measured for groups of people. */
  readonly groups: readonly GroupRates[];
}

export interface ThresholdProfile {
  readonly modelId: ModelId;
  readonly kind: SearchKind;
  /** Ascending by enrolledMax. */
  readonly bands: readonly ThresholdBand[];
}

export interface ThresholdEvaluation {
  /** SHA-256 of the evaluation report's bytes, 64 lower-case hexadecimal digits. */
  readonly reportSha256: string;
  /** On whom and how the rates were measured, in words. */
  readonly description: string;
}

/** What is proposed and approved as a whole. */
export interface ThresholdContents {
  readonly evaluation: ThresholdEvaluation;
  readonly profiles: readonly ThresholdProfile[];
}

export interface ThresholdSet extends ThresholdContents {
  readonly version: number;
}

/** More than a force has models and kinds; more than an evaluation has gallery sizes. */
export const PROFILES_MAX = 16;
export const BANDS_MAX = 64;

/**
 * What a set must be for answers to be judged by it. Rates may be unknown in the set that a deployment brings along; a
 * set that two people put in force names them.
 *
 * @throws Refusal THRESHOLDS_INVALID naming the place
 */
export function checkThresholds({ evaluation, profiles }: ThresholdContents, ratesRequired: boolean): void {
  const known = new Set<string>();
  if (!/^[0-9a-f]{64}$/.test(evaluation.reportSha256)) {
    throw invalid('evaluation.reportSha256', 'is the SHA-256 of the evaluation report in lower-case hexadecimal');
  }
  if (profiles.length === 0 || profiles.length > PROFILES_MAX) throw invalid('profiles', `are 1 to ${PROFILES_MAX}`);
  profiles.forEach(({ modelId, kind, bands }, p) => {
    const name = `${modelId} ${kind}`;
    if (known.has(name)) throw invalid(`profiles.${p}`, 'repeats a model and kind of search');
    known.add(name);
    if (bands.length === 0 || bands.length > BANDS_MAX) throw invalid(`profiles.${p}.bands`, `are 1 to ${BANDS_MAX}`);
    bands.forEach((band, b) => {
      const place = `profiles.${p}.bands.${b}`;
      if (b > 0 && band.enrolledMax <= bands[b - 1]!.enrolledMax) {
        throw invalid(`${place}.enrolledMax`, 'is greater than that of the band before');
      }
      if (!(band.score >= -1 && band.score <= 1)) throw invalid(`${place}.score`, 'is a cosine, from -1 to 1');
      for (const rate of ['fpir', 'fnir'] as const) {
        const value = band[rate];
        if (value === null ? ratesRequired : !isRate(value)) throw invalid(`${place}.${rate}`, RATE_RULE);
      }
      band.groups.forEach((group, g) => {
        for (const rate of ['fpir', 'fnir'] as const) {
          if (!isRate(group[rate])) throw invalid(`${place}.groups.${g}.${rate}`, RATE_RULE);
        }
      });
    });
  });
}

/** A rate of exactly 0 is not measured but promised: a larger test would have found an error. */
const RATE_RULE = 'is a measured rate, above 0 and at most 1';

function isRate(value: number): boolean {
  return value > 0 && value <= 1;
}

function invalid(place: string, rule: string): Refusal {
  return new Refusal('THRESHOLDS_INVALID', `${place} ${rule}.`, { place });
}

/** @throws Failure THRESHOLD_MISSING when the model has no profile for this kind of search */
export function thresholdFor(
  set: ThresholdSet,
  model: ModelId,
  kind: SearchKind,
  enrolled: number,
): Omit<AppliedThreshold, 'override'> {
  const profile = set.profiles.find((candidate) => candidate.modelId === model && candidate.kind === kind);
  const last = profile?.bands.at(-1);
  if (profile === undefined || last === undefined) {
    throw new Failure('THRESHOLD_MISSING', `No threshold is approved for model ${model} and ${kind} search.`, false);
  }
  const band = profile.bands.find((candidate) => enrolled <= candidate.enrolledMax);
  return { version: set.version, score: (band ?? last).score, evaluated: band !== undefined };
}
