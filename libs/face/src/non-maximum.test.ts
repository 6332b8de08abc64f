import { expect, test } from 'vitest';
import { intersectionOverUnion } from '#domain/face.js';
import { suppressOverlaps } from './non-maximum.js';
import { squareCrop } from './landmarks.js';

const box = (left: number, top: number, right: number, bottom: number) => ({ left, top, right, bottom });

test('intersection over union of boxes that overlap, touch and are apart', () => {
  expect(intersectionOverUnion(box(0, 0, 10, 10), box(5, 0, 15, 10))).toBeCloseTo(1 / 3, 12);
  expect(intersectionOverUnion(box(0, 0, 10, 10), box(10, 0, 20, 10))).toBe(0);
  expect(intersectionOverUnion(box(0, 0, 10, 10), box(30, 30, 40, 40))).toBe(0);
  expect(intersectionOverUnion(box(3, 4, 9, 9), box(3, 4, 9, 9))).toBe(1);
});

test('of boxes on the same face the most confident stays, and a neighbour is not touched', () => {
  const faces = [
    { box: box(1, 0, 11, 10), confidence: 0.91 },
    { box: box(0, 0, 10, 10), confidence: 0.99 },
    { box: box(8, 0, 18, 10), confidence: 0.95 },
  ];
  expect(suppressOverlaps(faces, 0.4)).toEqual([faces[1], faces[2]]);
});

test('never returns more than a hundred faces', () => {
  const faces = Array.from({ length: 150 }, (_, i) => ({
    box: box(20 * i, 0, 20 * i + 10, 10),
    confidence: 0.9 + i / 2000,
  }));
  const kept = suppressOverlaps(faces, 0.4);
  expect(kept.length).toBe(100);
  expect(Math.min(...kept.map((face) => face.confidence))).toBeCloseTo(0.9 + 50 / 2000, 9);
});

test('the landmark crop is a square on the centre of the box, cut off at the edges', () => {
  const image = { width: 200, height: 200 };
  expect(squareCrop(box(80, 50, 120, 110), image)).toEqual({ left: 70, top: 50, width: 60, height: 60 });
  expect(squareCrop(box(0, 50, 40, 110), image)).toEqual({ left: 0, top: 50, width: 50, height: 60 });
  expect(squareCrop(box(180, 50, 200, 150), image)).toEqual({ left: 140, top: 50, width: 60, height: 100 });
});
