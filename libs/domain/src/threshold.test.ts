import { describe, expect, it } from 'vitest';
import { codeOf } from './codes-for-tests.js';
import type { GalleryCandidate } from './gallery.js';
import type { ModelId } from './ids.js';
import { rankCandidates } from './search-answer.js';
import {
  checkThresholds,
  thresholdFor,
  type ThresholdBand,
  type ThresholdContents,
  type ThresholdSet,
} from './threshold.js';

const model = '00112233aabbccdd' as ModelId;
const band = (enrolledMax: number, score: number): ThresholdBand => ({
  enrolledMax,
  score,
  fpir: 0.01,
  fnir: 0.05,
  groups: [{ group: 'female', fpir: 0.01, fnir: 0.06 }],
});
const set: ThresholdSet = {
  version: 3,
  evaluation: { reportSha256: '0a'.repeat(32), description: 'measured' },
  profiles: [
    { modelId: model, kind: 'retrospective', bands: [band(10, 0.1)] },
    {
      modelId: model,
      kind: 'operator',
      bands: [band(1000, 0.3), band(10_000, 0.4), band(100_000, 0.5)],
    },
    { modelId: 'ffffffffffffffff' as ModelId, kind: 'operator', bands: [] },
  ],
};

describe('the threshold', () => {
  it.each([
    [0, 0.3, true],
    [1000, 0.3, true],
    [1001, 0.4, true],
    [10_000, 0.4, true],
    [10_001, 0.5, true],
    [100_000, 0.5, true],
    [100_001, 0.5, false],
  ])('for %i enrolled is %f, evaluated: %s', (enrolled, score, evaluated) => {
    expect(thresholdFor(set, model, 'operator', enrolled)).toEqual({ version: 3, score, evaluated });
  });

  it('is missing for a model or kind without a measured band, rather than another one’s', () => {
    const other = 'ffffffffffffffff' as ModelId;
    expect(codeOf(() => thresholdFor(set, other, 'operator', 1))).toBe('THRESHOLD_MISSING');
    expect(codeOf(() => thresholdFor(set, other, 'retrospective', 1))).toBe('THRESHOLD_MISSING');
    expect(thresholdFor(set, model, 'retrospective', 1).score).toBe(0.1);
  });

  it('is reached by a candidate at exactly its score', () => {
    const candidates = [0.5, 0.4, 0.3999].map(
      (score, i) => ({ score, imageId: `i${i}`, subjectId: `s${i}`, sourceOffset: 0 }) as unknown as GalleryCandidate,
    );
    const ranked = rankCandidates(candidates, 0.4);
    expect(ranked.map(({ rank, aboveThreshold }) => [rank, aboveThreshold])).toEqual([
      [1, true],
      [2, true],
      [3, false],
    ]);
    expect(ranked[0]).toMatchObject({ force: null, custodyReference: null, capturedAt: null });
  });
});

describe('a set of thresholds', () => {
  const profile = set.profiles[1]!;
  const good: ThresholdContents = { evaluation: set.evaluation, profiles: set.profiles.slice(0, 2) };
  const withBand = (changed: object): ThresholdContents => ({
    ...good,
    profiles: [{ ...profile, bands: [{ ...band(1000, 0.3), ...changed }] }],
  });
  const placeOf = (contents: ThresholdContents, ratesRequired = true): unknown => {
    try {
      checkThresholds(contents, ratesRequired);
    } catch (error) {
      expect(error).toMatchObject({ code: 'THRESHOLDS_INVALID' });
      return (error as { details: { place: string } }).details.place;
    }
    return undefined;
  };

  it('is taken when every band is measured', () => {
    expect(placeOf(good)).toBeUndefined();
  });

  it.each<[string, ThresholdContents, string]>([
    ['no profile', { ...good, profiles: [] }, 'profiles'],
    ['too many profiles', { ...good, profiles: Array.from({ length: 17 }, () => profile) }, 'profiles'],
    ['a model and kind twice', { ...good, profiles: [profile, profile] }, 'profiles.1'],
    ['no band', { ...good, profiles: [{ ...profile, bands: [] }] }, 'profiles.0.bands'],
    [
      'bands that do not ascend',
      { ...good, profiles: [{ ...profile, bands: [band(10, 0.1), band(10, 0.2)] }] },
      'profiles.0.bands.1.enrolledMax',
    ],
    ['a score that is no cosine', withBand({ score: 1.1 }), 'profiles.0.bands.0.score'],
    ['a score below -1', withBand({ score: -1.1 }), 'profiles.0.bands.0.score'],
    ['an FPIR of 0', withBand({ fpir: 0 }), 'profiles.0.bands.0.fpir'],
    ['an FPIR above 1', withBand({ fpir: 1.01 }), 'profiles.0.bands.0.fpir'],
    ['an FPIR that is no number', withBand({ fpir: Number.NaN }), 'profiles.0.bands.0.fpir'],
    ['an FNIR of 0', withBand({ fnir: 0 }), 'profiles.0.bands.0.fnir'],
    ['an FNIR below 0', withBand({ fnir: -0.1 }), 'profiles.0.bands.0.fnir'],
    [
      'a group without a rate',
      withBand({ groups: [{ group: 'f', fpir: 0, fnir: 0.1 }] }),
      'profiles.0.bands.0.groups.0.fpir',
    ],
    [
      'a report that is not named',
      { ...good, evaluation: { reportSha256: 'report.pdf', description: 'measured' } },
      'evaluation.reportSha256',
    ],
  ])('with %s is refused, and the place is named', (_, contents, place) => {
    expect(placeOf(contents)).toBe(place);
    expect(placeOf(contents, false)).toBe(place);
  });

  it('may leave a rate open only where nobody approves it', () => {
    expect(placeOf(withBand({ fnir: null }))).toBe('profiles.0.bands.0.fnir');
    expect(placeOf(withBand({ fpir: null }))).toBe('profiles.0.bands.0.fpir');
    expect(placeOf(withBand({ fpir: null, fnir: null }), false)).toBeUndefined();
  });

  it('takes the ends of the scale', () => {
    for (const changed of [{ score: 1 }, { score: -1 }, { fpir: 1, fnir: 1 }]) {
      expect(placeOf(withBand(changed))).toBeUndefined();
    }
  });
});
