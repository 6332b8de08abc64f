import { describe, expect, it } from 'vitest';
import { codeOf } from './codes-for-tests.js';
import type { GalleryCandidate } from './gallery.js';
import type { ModelId } from './ids.js';
import { rankCandidates } from './search-answer.js';
import { thresholdFor, type ThresholdSet } from './threshold.js';

const model = '00112233aabbccdd' as ModelId;
const set: ThresholdSet = {
  version: 3,
  evaluation: 'measured',
  profiles: [
    { modelId: model, kind: 'retrospective', bands: [{ enrolledMax: 10, score: 0.1 }] },
    {
      modelId: model,
      kind: 'operator',
      bands: [
        { enrolledMax: 1000, score: 0.3 },
        { enrolledMax: 10_000, score: 0.4 },
        { enrolledMax: 100_000, score: 0.5 },
      ],
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
