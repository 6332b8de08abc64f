/** What every holder of templates may rely on, and therefore checks at its edge. */

/** float32 rounding over 512 components stays far below; anything that was never normalised is far above. */
const NORM_TOLERANCE = 1e-3;

/** Whether this is a template of the model's dimension: every component finite, L2 norm 1 within 1e-3. */
export function isValidTemplate(values: Float32Array, dimension: number): boolean {
  if (values.length !== dimension) return false;
  let sumOfSquares = 0;
  for (let i = 0; i < values.length; i++) sumOfSquares += values[i]! * values[i]!;
  // A component that is not finite makes the sum so, and the comparison false.
  return Math.abs(Math.sqrt(sumOfSquares) - 1) <= NORM_TOLERANCE;
}

/** Euclidean length, accumulated in double precision. */
export function l2Norm(values: Float32Array): number {
  let sumOfSquares = 0;
  for (let i = 0; i < values.length; i++) sumOfSquares += values[i]! * values[i]!;
  return Math.sqrt(sumOfSquares);
}
