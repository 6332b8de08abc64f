import { expect, test } from 'vitest';
import { isValidTemplate } from './template.js';

const unit = new Float32Array(512).fill(1 / Math.sqrt(512));

test('accepts a normalised template of the dimension', () => {
  expect(isValidTemplate(unit, 512)).toBe(true);
});

test('refuses another dimension, another norm, and what is not finite', () => {
  expect(isValidTemplate(unit, 128)).toBe(false);
  expect(
    isValidTemplate(
      unit.map((v) => v * 1.002),
      512,
    ),
  ).toBe(false);
  expect(isValidTemplate(new Float32Array(512), 512)).toBe(false);
  for (const bad of [NaN, Infinity, -Infinity])
    expect(isValidTemplate(Float32Array.from(unit).fill(bad, 7, 8), 512)).toBe(false);
});
