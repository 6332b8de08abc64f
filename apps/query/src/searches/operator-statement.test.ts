import { describe, expect, it } from 'vitest';
import type { FoundAnswer, GalleryReport } from '#domain/search-answer.js';
import { statementOf } from './operator-statement.js';

function answer(gallery: Partial<GalleryReport>, candidates = 0): FoundAnswer {
  const whole = { partitionsAnswered: 24, partitionsTotal: 24, partitionsStale: [], unusable: 0, ...gallery };
  const complete = whole.partitionsAnswered === 24 && whole.unusable === 0;
  return { gallery: whole, complete, candidates: new Array(candidates).fill({}) } as unknown as FoundAnswer;
}

describe('what is said of an operator-initiated search', () => {
  it('is "not found" only when the whole gallery was searched', () => {
    expect(statementOf(answer({}))).toMatch(/^Not found in the gallery\./);
    for (const part of [{ partitionsAnswered: 23 }, { unusable: 1 }]) {
      expect(statementOf(answer(part))).toMatch(/^No possible match in what was searched\./);
    }
  });

  it('says to search again for parts that did not answer, and not for images that cannot be used', () => {
    const images = '2 image(s) of the gallery could not be searched, until they are enrolled again.';
    expect(statementOf(answer({ unusable: 2 }))).toBe(`No possible match in what was searched. ${images}`);
    const both = statementOf(answer({ unusable: 2, partitionsAnswered: 20 }, 1));
    expect(both).toContain('Only 20 of 24 parts of the gallery were searched: search again.');
    expect(both).toContain(images);
    expect(both).toMatch(/^1 possible match/);
  });

  it('says to search again when nobody can say what an image hid that was erased meanwhile', () => {
    const said = statementOf({ ...answer({}), complete: false });
    expect(said).toBe(
      'No possible match in what was searched. A part of the gallery was changing meanwhile: search again.',
    );
  });
});
