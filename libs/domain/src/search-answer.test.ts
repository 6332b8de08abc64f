import { expect, it } from 'vitest';
import type { GalleryCandidate } from './gallery.js';
import type { ImageId, Offset, SubjectId } from './ids.js';
import { rankCandidates, shownAnswer, type FoundAnswer } from './search-answer.js';

const candidate = (imageId: string, score: number): GalleryCandidate => ({
  imageId: imageId as ImageId,
  subjectId: 'subject' as SubjectId,
  score,
  sourceOffset: 7 as Offset,
});

it('ranks from 1 and says which reach the threshold, the threshold itself included', () => {
  const ranked = rankCandidates([candidate('a', 0.9), candidate('b', 0.5), candidate('c', 0.4999)], 0.5);
  expect(ranked.map(({ rank, aboveThreshold }) => [rank, aboveThreshold])).toEqual([
    [1, true],
    [2, true],
    [3, false],
  ]);
});

it('keeps on record where a candidate came from, and shows nobody', () => {
  const found = { candidates: rankCandidates([candidate('a', 0.9)], 0.5) } as unknown as FoundAnswer;
  expect(found.candidates[0]!.sourceOffset).toBe(7);
  const shown = shownAnswer(found, () => false);
  expect(shown.candidates[0]).not.toHaveProperty('sourceOffset');
  expect(shown.candidates[0]).toMatchObject({ imageId: 'a', rank: 1 });
});

it('shows of a withdrawn candidate the rank alone', () => {
  const ranked = rankCandidates([candidate('a', 0.9), candidate('b', 0.8)], 0.5);
  const found = { candidates: ranked } as unknown as FoundAnswer;
  const shown = shownAnswer(found, ({ imageId }) => imageId === 'a');
  expect(shown.candidates).toEqual([{ rank: 1, withdrawn: true }, expect.objectContaining({ rank: 2, imageId: 'b' })]);
});
