/** Seeded vectors that look like what the model makes, and like what makes trouble. For tests and benchmarks. */

/** A small generator of numbers from 0 (inclusive) to 1 (exclusive), the same on every machine (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/**
 * A random direction whose dimensions shrink by a power law, so that strangers' scores spread as real ones do (about
 * .09 at 512 dimensions).
 */
export function faceLikeVector(random: () => number, dimension: number): Float32Array {
  const vector = new Float32Array(dimension);
  for (let i = 0; i < dimension; i++) {
    const gaussian = Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
    vector[i] = gaussian * (i + 8) ** -0.5;
  }
  return normalised(vector);
}

/** The same face again: `amount` of another direction mixed in. */
export function variantOf(vector: Float32Array, random: () => number, amount: number): Float32Array {
  const other = faceLikeVector(random, vector.length);
  return normalised(vector.map((value, i) => value + amount * other[i]!));
}

/** @returns the same array, scaled to an L2 norm of 1 in double precision */
export function normalised(vector: Float32Array): Float32Array {
  let sum = 0;
  for (const value of vector) sum += value * value;
  const norm = Math.sqrt(sum);
  for (let i = 0; i < vector.length; i++) vector[i] = vector[i]! / norm;
  return vector;
}
