import { expect, test } from 'vitest';
import type { FaceLandmarks } from '#domain/face.js';
import { judgeQuality } from './quality.js';

function face(scale = 1): FaceLandmarks {
  const at = (x: number, y: number) => ({ x: x * scale, y: y * scale });
  return {
    leftEye: at(30, 40),
    rightEye: at(70, 40),
    noseTip: at(50, 60),
    leftMouthCorner: at(35, 80),
    rightMouthCorner: at(65, 80),
  };
}

test('a large, confident, upright face has no warnings', () => {
  expect(judgeQuality(face(), 3.9, 0.999)).toEqual({
    eyeDistancePx: 40,
    embeddingNorm: 3.9,
    confidence: 0.999,
    warnings: [],
  });
});

test('warns of small faces, low norms and low confidence at their limits', () => {
  expect(judgeQuality(face(0.499), 3.9, 0.999).warnings).toEqual(['FACE_SMALL']);
  expect(judgeQuality(face(), 2.79, 0.999).warnings).toEqual(['EMBEDDING_NORM_LOW']);
  expect(judgeQuality(face(), 3.9, 0.969).warnings).toEqual(['CONFIDENCE_LOW']);
  expect(judgeQuality(face(0.5), 2.8, 0.97).warnings).toEqual([]);
});

test('warns when the mouth is above the eyes or the eyes are exchanged', () => {
  const { leftEye, rightEye, leftMouthCorner, rightMouthCorner, noseTip } = face();
  const upsideDown = {
    leftEye: leftMouthCorner,
    rightEye: rightMouthCorner,
    noseTip,
    leftMouthCorner: leftEye,
    rightMouthCorner: rightEye,
  };
  expect(judgeQuality(upsideDown, 3.9, 0.999).warnings).toEqual(['LANDMARKS_IMPLAUSIBLE']);
  expect(judgeQuality({ ...face(), leftEye: rightEye, rightEye: leftEye }, 3.9, 0.999).warnings).toEqual([
    'LANDMARKS_IMPLAUSIBLE',
  ]);
});
