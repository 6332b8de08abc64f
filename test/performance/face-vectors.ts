/**
 * Galleries of any size whose scores are spread as those of real faces are. Cosines of random directions are not: they
 * have no neighbours worth losing, so that every approximate index looks perfect on them.
 *
 * Fitted to the templates that the reference pipeline makes of people with several photographs: the mean, the covariance
 * of people's means, and that of the differences within a person, normal both. Enrolled = mean + between + within;
 * the probe for it = the same mean + between, and a within of its own, exp(.42 n) times as wide. Without the photographs,
 * a power law takes the covariances' place.
 */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, open, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cacheFolder } from '#platform/cache-folder.js';
import { seededRandom } from '#gallery/vectors-for-tests.js';
import { localModelPackFolder } from '../../apps/cli/src/local-assets.js';
import { haveFaces, people } from '../accuracy/faces.js';
import { centred, choleskyOf, covarianceOf, leadingDirections, projected, traceOf, type Matrix } from './matrices.js';
import { ReferencePipeline } from './reference/pipeline.js';

/** Changes whenever the same seed would give other vectors. */
const GENERATOR_VERSION = 1;
const REAL_DIMENSION = 512;
/** How much the width of what differs between two photographs varies from probe to probe (of a logarithm). */
const PROBE_WIDTH_SPREAD = 0.42;
const ROWS_PER_WRITE = 2000;

/** Row by row, dimension x dimension. `between` and `within` are lower triangular factors of covariances. */
interface Fit {
  readonly dimension: number;
  readonly mean: Float64Array;
  readonly between: Matrix;
  readonly within: Matrix;
  readonly from: string;
}

export class FaceVectors {
  private constructor(
    private readonly fit: Fit,
    private readonly seed: number,
  ) {}

  /** @param dimension below 512, the directions in which real templates differ most */
  static async open(dimension: number, say: (line: string) => void, seed = 1): Promise<FaceVectors> {
    return new FaceVectors(reduced(await fitted(say), dimension), seed);
  }

  /** What they are fitted to, in words. */
  get source(): string {
    return this.fit.from;
  }

  /** Of them in a cache. */
  get name(): string {
    const fit = createHash('sha256').update(this.fit.from).digest('hex').slice(0, 8);
    return `faces-${GENERATOR_VERSION}-${fit}-${this.seed}`;
  }

  /** The first `count` of the gallery, one after the other; cached, as they take a minute. */
  async enrolled(count: number, say: (line: string) => void): Promise<Float32Array> {
    const { dimension } = this.fit;
    const path = await benchCacheFile(`${this.name}-${dimension}x${count}.f32`);
    if (!existsSync(path)) await this.write(path, count, say);
    const bytes = await readFile(path);
    if (bytes.length !== count * dimension * 4) throw new Error(`${path} has another length than it should: remove it`);
    return new Float32Array(bytes.buffer, bytes.byteOffset, count * dimension);
  }

  /** Another photograph of whoever is the n-th in the gallery. @param slot from 0 */
  probe(slot: number): Float32Array {
    const { between, random } = this.person(slot);
    this.add(between, this.fit.within, 1, random);
    const width = Math.exp(PROBE_WIDTH_SPREAD * gaussian(random));
    const probe = this.personAlone(slot);
    this.add(probe, this.fit.within, width, random);
    return normalisedFrom(probe);
  }

  private async write(path: string, count: number, say: (line: string) => void): Promise<void> {
    const { dimension } = this.fit;
    const rows = new Float32Array(ROWS_PER_WRITE * dimension);
    const file = await open(`${path}.tmp`, 'w');
    try {
      for (let start = 0; start < count; start += ROWS_PER_WRITE) {
        const end = Math.min(count, start + ROWS_PER_WRITE);
        for (let slot = start; slot < end; slot++) {
          const { between, random } = this.person(slot);
          this.add(between, this.fit.within, 1, random);
          rows.set(normalisedFrom(between), (slot - start) * dimension);
        }
        await file.writeFile(new Uint8Array(rows.buffer, 0, (end - start) * dimension * 4));
        if (end % 20_000 === 0) say(`${end} of ${count} templates of ${dimension} dimensions drawn`);
      }
    } finally {
      await file.close();
    }
    await rename(`${path}.tmp`, path);
  }

  /** Drawn from the slot's own sequence, so that nobody depends on who was drawn before. */
  private person(slot: number): { between: Float64Array; random: () => number } {
    const random = seededRandom(this.seed * 1_000_003 + slot);
    const between = this.fit.mean.slice();
    this.add(between, this.fit.between, 1, random);
    return { between, random };
  }

  private personAlone(slot: number): Float64Array {
    return this.person(slot).between;
  }

  /** Adds factor x normal x width. */
  private add(to: Float64Array, factor: Matrix, width: number, random: () => number): void {
    const { dimension } = this.fit;
    const normal = new Float64Array(dimension);
    for (let i = 0; i < dimension; i++) normal[i] = gaussian(random) * width;
    for (let row = 0; row < dimension; row++) {
      const start = row * dimension;
      let even = 0;
      let odd = 0;
      let column = 0;
      for (; column < row; column += 2) {
        even += factor[start + column]! * normal[column]!;
        odd += factor[start + column + 1]! * normal[column + 1]!;
      }
      if (column === row) even += factor[start + column]! * normal[column]!;
      to[row]! += even + odd;
    }
  }
}

/** A file of the benches' own in the cache; its folder is there. */
export async function benchCacheFile(name: string): Promise<string> {
  const folder = join(cacheFolder(), 'bench');
  await mkdir(folder, { recursive: true });
  return join(folder, name);
}

async function fitted(say: (line: string) => void): Promise<Fit> {
  if (!haveFaces) return powerLaw();
  const path = await benchCacheFile(`real-templates-${GENERATOR_VERSION}.f32`);
  const several = (await people()).filter(({ images }) => images.length > 1);
  const counts = several.map(({ images }) => images.length);
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (!existsSync(path)) {
    say(`${total} photographs go through the pipeline, once; about a minute`);
    const pipeline = await ReferencePipeline.open(await localModelPackFolder(say));
    const templates = new Float32Array(total * REAL_DIMENSION);
    let row = 0;
    for (const { images } of several) {
      for (const image of images) {
        const { template } = await pipeline.run(await readFile(image), 'central');
        templates.set(template, row++ * REAL_DIMENSION);
      }
    }
    await pipeline.close();
    await writeFile(`${path}.tmp`, new Uint8Array(templates.buffer));
    await rename(`${path}.tmp`, path);
  }
  const bytes = await readFile(path);
  const templates = new Float32Array(bytes.buffer, bytes.byteOffset, total * REAL_DIMENSION);
  const means: Float64Array[] = [];
  const differences: Float64Array[] = [];
  let differencesDegrees = 0;
  let row = 0;
  for (const count of counts) {
    const own = Array.from({ length: count }, () =>
      Float64Array.from(templates.subarray(row * REAL_DIMENSION, ++row * REAL_DIMENSION)),
    );
    const { mean, differences: left } = centred(own);
    means.push(mean);
    differences.push(...left);
    differencesDegrees += count - 1;
  }
  const { mean, differences: ofMeans } = centred(means);
  const within = covarianceOf(differences, differencesDegrees);
  const measured = covarianceOf(ofMeans, means.length - 1);
  // The mean of n photographs still has a n-th of what differs within a person: the total is put right, not the shape.
  const ofWithin = counts.reduce((sum, count) => sum + 1 / count, 0) / counts.length;
  const share = 1 - (ofWithin * traceOf(within, REAL_DIMENSION)) / traceOf(measured, REAL_DIMENSION);
  return {
    dimension: REAL_DIMENSION,
    mean,
    between: measured.map((value) => value * share),
    within,
    from: `${total} photographs of ${counts.length} people`,
  };
}

/** Impostors' scores spread by .09, as measured on real templates; half the variance is within a person. */
function powerLaw(): Fit {
  const between = new Float64Array(REAL_DIMENSION ** 2);
  const within = new Float64Array(REAL_DIMENSION ** 2);
  for (let i = 0; i < REAL_DIMENSION; i++) {
    between[i * REAL_DIMENSION + i] = 0.65 / (i + 8);
    within[i * REAL_DIMENSION + i] = 0.35 / (i + 8);
  }
  const mean = new Float64Array(REAL_DIMENSION);
  return { dimension: REAL_DIMENSION, mean, between, within, from: 'a power law, for want of photographs' };
}

/** Covariances in, factors of them out. */
function reduced(fit: Fit, dimension: number): Fit {
  const { mean, between, within, from } = fit;
  if (dimension === REAL_DIMENSION) {
    return { ...fit, between: choleskyOf(between, dimension), within: choleskyOf(within, dimension) };
  }
  const both = between.map((value, i) => value + within[i]!);
  const directions = leadingDirections(both, REAL_DIMENSION, dimension);
  const centre = Float64Array.from(directions, (direction) =>
    direction.reduce((sum, value, i) => sum + value * mean[i]!, 0),
  );
  return {
    dimension,
    mean: centre,
    between: choleskyOf(projected(between, directions), dimension),
    within: choleskyOf(projected(within, directions), dimension),
    from,
  };
}

function gaussian(random: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

function normalisedFrom(values: Float64Array): Float32Array {
  let sum = 0;
  for (const value of values) sum += value * value;
  const norm = Math.sqrt(sum);
  return Float32Array.from(values, (value) => value / norm);
}
