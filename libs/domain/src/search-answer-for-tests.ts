/** A whole answer to a search, for the tests of whatever writes, reads or shows one. */
import type { ImageId, ModelId, Offset, SearchId, SubjectId } from './ids.js';
import type { FoundAnswer, FoundCandidate } from './search-answer.js';

/** One of them, with what a test is about. */
export function candidateForTests(rank: number, candidate: Partial<FoundCandidate> = {}): FoundCandidate {
  return {
    rank,
    score: 0.9 - rank / 100,
    aboveThreshold: true,
    subjectId: `sub-${rank}` as SubjectId,
    imageId: `img-${rank}` as ImageId,
    force: null,
    custodyReference: null,
    capturedAt: null,
    sourceOffset: rank as Offset,
    ...candidate,
  };
}

/** @param more what a test is about */
export function foundAnswerForTests(
  searchId: SearchId,
  candidates: readonly FoundCandidate[],
  more: Partial<FoundAnswer> = {},
): FoundAnswer {
  return {
    searchId,
    kind: 'retrospective',
    completedAt: '2026-01-01T00:00:00.000Z',
    complete: true,
    gallery: {
      modelId: 'a0d170a0d170a0d1' as ModelId,
      enrolled: 9,
      watermark: { 0: 7 },
      partitionsAnswered: 24,
      partitionsTotal: 24,
      partitionsMissing: [],
      partitionsStale: [],
      partitionsIncomplete: [],
      unusable: 0,
    },
    mode: 'exact',
    threshold: { version: 1, score: 0.5, evaluated: true },
    probe: {
      quality: { eyeDistancePx: 60, embeddingNorm: 3.2, detectionConfidence: 0.99, warnings: [] },
      faceBox: { left: 1, top: 2, right: 30, bottom: 40 },
      facesFound: 1,
    },
    candidates,
    ...more,
  };
}
