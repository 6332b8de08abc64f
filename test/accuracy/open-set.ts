/**
 * Open-set identification, measured on templates in memory: some people are enrolled with one image each, everybody
 * else searches without being there.
 *
 * A *split* draws who is enrolled and with which image. Everybody who is not enrolled is one non-mated probe; everybody
 * who is enrolled and has another image is one mated probe. FPIR is the share of non-mated probes that get any
 * candidate at or above a score; FNIR the share of mated probes whose own image stays below it (ISO/IEC 19795-1).
 * Splits overlap, because there are only so many people: their spread says what chance does to one gallery of that
 * size, not how far these people are from others.
 */

/** Scores of one split. */
export interface Split {
  /** For each non-mated probe, its best score against the gallery. */
  readonly nonMated: Float64Array;
  /** For each mated probe, the score of its own enrolled image. */
  readonly mated: Float64Array;
}

/** Uniform in [0, 1). */
export type Random = () => number;

/** mulberry32: small, and the same on every machine for a seed. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Every person's templates, and the score of each pair of them. */
export class ScoredPeople {
  /** Indices of templates, by person. */
  readonly #ofPerson: readonly (readonly number[])[];
  /** n × n, row by row. */
  readonly #scores: Float32Array;
  readonly #templateCount: number;

  /** @param people for each person the templates: L2-normalised, all of one length, at least one */
  constructor(people: readonly (readonly Float32Array[])[]) {
    const templates = people.flat();
    let next = 0;
    this.#ofPerson = people.map((own) => own.map(() => next++));
    this.#templateCount = templates.length;
    this.#scores = scoreAll(templates);
  }

  get count(): number {
    return this.#ofPerson.length;
  }

  /** @param enrolledCount fewer than there are people, so that somebody is left who is not enrolled */
  draw(enrolledCount: number, random: Random): Split {
    if (enrolledCount >= this.count) throw new RangeError(`${enrolledCount} of ${this.count} people cannot be drawn`);
    const shuffled = shuffle(this.#ofPerson, random);
    const gallery: number[] = [];
    const mated: number[] = [];
    for (const own of shuffled.slice(0, enrolledCount)) {
      const [enrolled, other] = shuffle(own, random);
      gallery.push(enrolled!);
      if (other !== undefined) mated.push(this.#score(other, enrolled!));
    }
    const nonMated = shuffled.slice(enrolledCount).map((own) => {
      const probe = own[Math.floor(random() * own.length)]!;
      let best = -1;
      for (const enrolled of gallery) best = Math.max(best, this.#score(probe, enrolled));
      return best;
    });
    return { nonMated: Float64Array.from(nonMated), mated: Float64Array.from(mated) };
  }

  #score(a: number, b: number): number {
    return this.#scores[a * this.#templateCount + b]!;
  }
}

/**
 * The score that a candidate must exceed for at most this share of the non-mated probes to get one, over all probes of
 * all splits. The mean of the splits' own scores is something else: it depends on how many probes a split has, because
 * 1 % of 148 probes is one probe, and what one probe scores is mostly chance.
 */
export function scoreAtFpir(fpir: number, splits: readonly Split[]): number {
  const best = pool(splits.map(({ nonMated }) => nonMated)).sort();
  return best[best.length - 1 - Math.floor(fpir * best.length)]!;
}

/** False positive identification rate at a score, over all probes of all splits. */
export function fpirAt(score: number, splits: readonly Split[]): number {
  return share(pool(splits.map(({ nonMated }) => nonMated)), (best) => best >= score);
}

/** False negative identification rate at a score, over all probes of all splits. */
export function fnirAt(score: number, splits: readonly Split[]): number {
  return share(pool(splits.map(({ mated }) => mated)), (mate) => mate < score);
}

export interface Spread {
  readonly mean: number;
  /** 5th and 95th percentile. */
  readonly p5: number;
  readonly p95: number;
}

export function spreadOf(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b);
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const at = (quantile: number): number => sorted[Math.round(quantile * (sorted.length - 1))]!;
  return { mean, p5: at(0.05), p95: at(0.95) };
}

function pool(groups: readonly Float64Array[]): Float64Array {
  const pooled = new Float64Array(groups.reduce((length, group) => length + group.length, 0));
  let next = 0;
  for (const group of groups) {
    pooled.set(group, next);
    next += group.length;
  }
  return pooled;
}

function share(values: Float64Array, counts: (value: number) => boolean): number {
  let counted = 0;
  for (const value of values) if (counts(value)) counted++;
  return counted / values.length;
}

function scoreAll(templates: readonly Float32Array[]): Float32Array {
  const n = templates.length;
  const scores = new Float32Array(n * n);
  for (let i = 0; i < n; i++) {
    const a = templates[i]!;
    for (let j = i; j < n; j++) {
      const b = templates[j]!;
      let sum = 0;
      for (let d = 0; d < a.length; d++) sum += a[d]! * b[d]!;
      scores[i * n + j] = sum;
      scores[j * n + i] = sum;
    }
  }
  return scores;
}

/** Fisher–Yates, into a new array. */
function shuffle<T>(items: readonly T[], random: Random): T[] {
  const shuffled = [...items];
  for (let i = shuffled.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [shuffled[i], shuffled[j]] = [shuffled[j]!, shuffled[i]!];
  }
  return shuffled;
}
