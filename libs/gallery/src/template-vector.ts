/**
 * What is done with a single template: checked before anything native sees it, and compared in double precision.
 */
import { Refusal } from '#domain/errors.js';

/**
 * How far the L2 norm of a template may be from 1. Ingest normalises in float32 (1e-6 off at most); anything further off
 * is not one of our templates, and an unnormalised one would take rank 1 of every search.
 */
export const NORM_TOLERANCE = 1e-3;

/** The int8 kernel adds up in 32 bits: 1024 x 127 x 16383 is the greatest sum that fits. */
export const DIMENSION_MAX = 1024;

/**
 * Says what is wrong with a template, or undefined when it can be used.
 *
 * @param vector Float32Array of length `dimension`
 */
export function vectorFault(vector: Float32Array, dimension: number): string | undefined {
  if (vector.length !== dimension) return `has ${vector.length} dimensions, not ${dimension}`;
  const whole = dimension - (dimension % 4);
  let a = 0;
  let b = 0;
  let c = 0;
  let d = 0;
  // Four sums, of which none waits for another: three times as quick as one.
  for (let i = 0; i < whole; i += 4) {
    a += vector[i]! * vector[i]!;
    b += vector[i + 1]! * vector[i + 1]!;
    c += vector[i + 2]! * vector[i + 2]!;
    d += vector[i + 3]! * vector[i + 3]!;
  }
  for (let i = whole; i < dimension; i++) a += vector[i]! * vector[i]!;
  const sum = a + b + (c + d);
  if (!Number.isFinite(sum)) return 'has a value that is not finite';
  const norm = Math.sqrt(sum);
  if (Math.abs(norm - 1) > NORM_TOLERANCE) return `has the norm ${norm.toPrecision(6)}, not 1`;
  return undefined;
}

/** @throws Refusal TEMPLATE_NOT_USABLE */
export function requireUsableProbe(probe: Float32Array, dimension: number): void {
  const fault = vectorFault(probe, dimension);
  if (fault !== undefined) throw new Refusal('TEMPLATE_NOT_USABLE', `The probe's template ${fault}.`);
}

/**
 * The cosine of two normalised vectors. float32 products are exact in double precision, and they are added in one fixed
 * order, four partial sums by index modulo 4, so that every engine, replica and machine gets the same bits. Clamped to
 * -1..1, which rounding in the norms may exceed.
 *
 * @param probe `dimension` values, from index 0
 * @param vectors holds the other vector from index `start`
 */
export function cosine(probe: Float64Array, vectors: Float32Array, start: number, dimension: number): number {
  let a = 0;
  let b = 0;
  let c = 0;
  let d = 0;
  const whole = dimension - (dimension % 4);
  for (let i = 0; i < whole; i += 4) {
    const at = start + i;
    a += probe[i]! * vectors[at]!;
    b += probe[i + 1]! * vectors[at + 1]!;
    c += probe[i + 2]! * vectors[at + 2]!;
    d += probe[i + 3]! * vectors[at + 3]!;
  }
  for (let i = whole; i < dimension; i++) a += probe[i]! * vectors[start + i]!;
  const sum = a + b + (c + d);
  return sum > 1 ? 1 : sum < -1 ? -1 : sum;
}

/** A random direction, to overwrite what is erased: nothing of the template can be told from it. */
export function randomUnitVector(dimension: number): Float32Array {
  const vector = new Float32Array(dimension);
  let sum = 0;
  for (let i = 0; i < dimension; i++) {
    const value = Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
    vector[i] = value;
    sum += value * value;
  }
  const norm = Math.sqrt(sum);
  for (let i = 0; i < dimension; i++) vector[i] = vector[i]! / norm;
  return vector;
}
