import { describe, expect, it } from 'vitest';
import { codeOf } from './codes-for-tests.js';
import { chooseFace, describeFaces, parseFaceChoice, sameFace, type DetectedFace, type FaceChoice } from './face.js';
import { Refusal } from './errors.js';

function face(left: number, top: number, side: number, confidence = 0.9): DetectedFace {
  return { box: { left, top, right: left + side, bottom: top + side }, confidence };
}

const size = { width: 200, height: 100 };
const small = face(0, 0, 10);
const large = face(150, 40, 50);
const central = face(90, 40, 20);

describe('choosing a face', () => {
  it.each<FaceChoice | undefined>([undefined, 0, 'largest', 'central'])(
    'refuses an image without a face with NO_FACE, whatever the choice (%s)',
    (choice) => {
      expect(codeOf(() => chooseFace([], size, choice))).toBe('NO_FACE');
    },
  );

  it('takes the only face when no choice is stated', () => {
    expect(chooseFace([small], size, undefined)).toBe(0);
  });

  it('never decides between faces: MULTIPLE_FACES with every box in the order shown', () => {
    const faces = [small, large, central];
    try {
      chooseFace(faces, size, undefined);
      expect.unreachable();
    } catch (error) {
      expect(error).toBeInstanceOf(Refusal);
      expect((error as Refusal).code).toBe('MULTIPLE_FACES');
      expect((error as Refusal).details).toEqual({ faces: describeFaces(faces) });
      expect(describeFaces(faces).map((described) => described.index)).toEqual([0, 1, 2]);
    }
  });

  it('takes the face of the stated index', () => {
    expect([0, 1, 2].map((index) => chooseFace([small, large, central], size, index))).toEqual([0, 1, 2]);
  });

  it('refuses an index that no returned box has with FACE_INDEX_OUT_OF_RANGE, also when there is just one face', () => {
    expect(codeOf(() => chooseFace([small, large], size, 2))).toBe('FACE_INDEX_OUT_OF_RANGE');
    expect(codeOf(() => chooseFace([small], size, 1))).toBe('FACE_INDEX_OUT_OF_RANGE');
  });

  it('takes the largest area and the nearest to the centre', () => {
    expect(chooseFace([small, large, central], size, 'largest')).toBe(1);
    expect(chooseFace([small, large, central], size, 'central')).toBe(2);
  });

  it('takes the first of equals, so that the same image gives the same face', () => {
    const twins = [face(80, 40, 20), face(100, 40, 20)];
    expect(chooseFace(twins, size, 'largest')).toBe(0);
    expect(chooseFace(twins, size, 'central')).toBe(0);
  });
});

describe('a face choice in words', () => {
  it.each<[string, FaceChoice]>([
    ['0', 0],
    ['17', 17],
    ['largest', 'largest'],
    ['central', 'central'],
  ])('reads %j', (text, expected) => {
    expect(parseFaceChoice(text)).toBe(expected);
  });

  it.each(['', '-1', '1.5', 'first', '1000', ' 1', 'LARGEST'])('refuses %j with BAD_FACE_CHOICE', (text) => {
    expect(codeOf(() => parseFaceChoice(text))).toBe('BAD_FACE_CHOICE');
  });
});

describe('the face that was found there before', () => {
  const box = { left: 10, top: 10, right: 30, bottom: 40 };
  const shifted = (by: number): { box: typeof box } => ({
    box: { ...box, left: box.left + by, right: box.right + by },
  });

  it('is the one that covers its box best, whatever its index is now', () => {
    expect(sameFace([shifted(-200), shifted(6), shifted(1), shifted(100)], box)).toBe(2);
    expect(sameFace([{ box }], box)).toBe(0);
  });

  it('is none where no box covers half of it', () => {
    expect(sameFace([shifted(8), shifted(-8)], box)).toBeUndefined();
    expect(sameFace([], box)).toBeUndefined();
  });
});
