import { expect, it } from 'vitest';
import { degradedFigures } from './degraded.js';

const level = { kind: 'dark', level: 0.5, text: 'brightness × 0.5' };
const gallery = [Float32Array.of(1, 0), Float32Array.of(0, 1), Float32Array.of(0.6, 0.8)];

it('counts who comes first, who reaches the threshold, and whose photograph gave no template as missed', () => {
  const probes = [
    // Its own 1, others less.
    { subject: 0, outcome: Float32Array.of(1, 0) },
    // Its own .8; the third person .96 is better.
    { subject: 1, outcome: Float32Array.of(0.6, 0.8) },
    { subject: 2, outcome: 'NO_FACE' },
  ];
  const figures = degradedFigures(level, gallery, probes, 0.9, 0.95);
  expect(figures).toMatchObject({ ...level, probes: 3, noTemplate: [{ code: 'NO_FACE', count: 1 }] });
  expect(figures.rank1).toMatchObject({ count: 1, of: 3 });
  expect(figures.rank10).toMatchObject({ count: 2, of: 3 });
  expect(figures.missed).toMatchObject({ count: 2, of: 3 });
});
