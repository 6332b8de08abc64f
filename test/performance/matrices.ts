/** The little linear algebra that fitting a distribution takes. Square matrices are row by row. */

export type Matrix = Float64Array;

export function centred(vectors: readonly Float64Array[]): { mean: Float64Array; differences: Float64Array[] } {
  const mean = new Float64Array(vectors[0]!.length);
  for (const vector of vectors) for (let i = 0; i < mean.length; i++) mean[i]! += vector[i]! / vectors.length;
  return { mean, differences: vectors.map((vector) => vector.map((value, i) => value - mean[i]!)) };
}

/** @param degrees of freedom: what the sum of products is divided by */
export function covarianceOf(differences: readonly Float64Array[], degrees: number): Matrix {
  const dimension = differences[0]!.length;
  const covariance = new Float64Array(dimension ** 2);
  for (const difference of differences) {
    for (let row = 0; row < dimension; row++) {
      const factor = difference[row]! / degrees;
      const start = row * dimension;
      for (let column = 0; column < dimension; column++) covariance[start + column]! += factor * difference[column]!;
    }
  }
  return covariance;
}

export function traceOf(matrix: Matrix, dimension: number): number {
  let trace = 0;
  for (let i = 0; i < dimension; i++) trace += matrix[i * dimension + i]!;
  return trace;
}

/** The lower triangular L with L x transposed L = the covariance, whose rank may be less than its size. */
export function choleskyOf(covariance: Matrix, dimension: number): Matrix {
  const lower = new Float64Array(dimension ** 2);
  for (let row = 0; row < dimension; row++) {
    for (let column = 0; column <= row; column++) {
      let rest = covariance[row * dimension + column]!;
      for (let k = 0; k < column; k++) rest -= lower[row * dimension + k]! * lower[column * dimension + k]!;
      const pivot = lower[column * dimension + column]!;
      if (row === column) lower[row * dimension + row] = Math.sqrt(Math.max(rest, 1e-9));
      else lower[row * dimension + column] = rest / pivot;
    }
  }
  return lower;
}

/** Orthonormal directions of the greatest variance, by repeated multiplication. */
export function leadingDirections(covariance: Matrix, dimension: number, count: number): Float64Array[] {
  let directions: Float64Array[] = Array.from({ length: count }, (_, k) =>
    Float64Array.from({ length: dimension }, (_unused, i) => Math.cos((k + 1) * (i + 0.5) * 0.7) + (i === k ? 1 : 0)),
  );
  for (let round = 0; round < 30; round++) {
    directions = directions.map((direction) => times(covariance, dimension, direction));
    orthonormalise(directions);
  }
  return directions;
}

/** The covariance along other directions. */
export function projected(covariance: Matrix, directions: readonly Float64Array[]): Matrix {
  const count = directions.length;
  const dimension = directions[0]!.length;
  const result = new Float64Array(count ** 2);
  directions.forEach((direction, column) => {
    const product = times(covariance, dimension, direction);
    directions.forEach((other, row) => (result[row * count + column] = dot(other, product)));
  });
  return result;
}

function orthonormalise(directions: readonly Float64Array[]): void {
  directions.forEach((direction, k) => {
    for (let before = 0; before < k; before++) {
      const other = directions[before]!;
      const share = dot(direction, other);
      for (let i = 0; i < direction.length; i++) direction[i]! -= share * other[i]!;
    }
    const norm = Math.sqrt(dot(direction, direction));
    for (let i = 0; i < direction.length; i++) direction[i]! /= norm;
  });
}

function times(matrix: Matrix, dimension: number, vector: Float64Array): Float64Array {
  const product = new Float64Array(dimension);
  for (let row = 0; row < dimension; row++) {
    product[row] = dot(matrix.subarray(row * dimension, (row + 1) * dimension), vector);
  }
  return product;
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}
