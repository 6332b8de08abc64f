/** The score of every pair of images, and whose they are. */

/** n² scores of 4 bytes: 1.6 GB at the limit. */
export const IMAGES_MAX = 20_000;

export class ScoreTable {
  /** Indices of images by subject, in the order in which they were given. */
  readonly imagesOf: readonly (readonly number[])[];
  /** By image. */
  readonly subjectOf: Int32Array;
  /** n × n, row by row. */
  readonly #scores: Float32Array;

  /**
   * @param templatesOf for each subject its templates, at least one: L2-normalised, all of one length. The score is their
   *   dot product, the cosine
   * @throws RangeError beyond IMAGES_MAX
   */
  static ofTemplates(templatesOf: readonly (readonly Float32Array[])[]): ScoreTable {
    const templates = templatesOf.flat();
    return new ScoreTable(
      templatesOf.map((own) => own.length),
      (a, b) => dot(templates[a]!, templates[b]!),
    );
  }

  /**
   * @param imagesBySubject how many images each subject has, at least one
   * @param scoreOf symmetric; asked once for each pair
   */
  constructor(imagesBySubject: readonly number[], scoreOf: (a: number, b: number) => number) {
    const n = imagesBySubject.reduce((sum, count) => sum + count, 0);
    if (n > IMAGES_MAX) throw new RangeError(`${n} images are more than ${IMAGES_MAX}`);
    let next = 0;
    this.imagesOf = imagesBySubject.map((count) => Array.from({ length: count }, () => next++));
    this.subjectOf = new Int32Array(n);
    this.imagesOf.forEach((images, subject) => images.forEach((image) => (this.subjectOf[image] = subject)));
    this.#scores = new Float32Array(n * n);
    for (let a = 0; a < n; a++) {
      for (let b = a; b < n; b++) {
        const score = scoreOf(a, b);
        this.#scores[a * n + b] = score;
        this.#scores[b * n + a] = score;
      }
    }
  }

  get subjects(): number {
    return this.imagesOf.length;
  }

  get images(): number {
    return this.subjectOf.length;
  }

  score(a: number, b: number): number {
    return this.#scores[a * this.images + b]!;
  }

  /** Scores of one image with all, itself included; not to be changed. */
  row(image: number): Float32Array {
    return this.#scores.subarray(image * this.images, (image + 1) * this.images);
  }
}

/** Of two templates of one length. */
export function dot(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let d = 0; d < a.length; d++) sum += a[d]! * b[d]!;
  return sum;
}
