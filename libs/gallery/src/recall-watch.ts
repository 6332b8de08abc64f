/**
 * How much the approximate engine really finds: a sample of its searches is done again by the exact engine, a block at a
 * time when the shard has nothing else to do. Recall alone hides lost people, so the first candidate is compared too.
 */
import type { GalleryAnswer, GalleryQuery } from './gallery-contents.js';
import type { GalleryShard } from './gallery-shard.js';

/** Of the last so many samples: an hour of a busy shard, and enough to tell 99 % from 98 %. */
const WINDOW_SAMPLES = 1000;
/** More are not taken while these wait, so that a rush costs no memory and keeps no probe long. */
const WAITING_MAX = 8;

export interface RecallStats {
  /** Searches done again since the shard was opened. */
  readonly samples: number;
  /** Share of the exact answers' subjects that were found, over the last samples; undefined when there are none. */
  readonly recallRatio: number | undefined;
  /** Share of the last samples whose first candidate is the exact one. */
  readonly mateTop1Ratio: number | undefined;
}

interface Sample {
  readonly found: readonly string[];
  readonly again: Generator<undefined, readonly string[] | undefined>;
}

export class RecallWatch {
  readonly #waiting: Sample[] = [];
  readonly #recalls: number[] = [];
  readonly #mates: number[] = [];
  #samples = 0;

  /** @param share of the approximate searches, 0 to 1 */
  constructor(
    private readonly share: number,
    private readonly random: () => number = Math.random,
  ) {}

  get waiting(): number {
    return this.#waiting.length;
  }

  /** Told of each approximate answer, before anything in the shard changes. */
  observe(shard: GalleryShard, { probe, k }: Pick<GalleryQuery, 'probe' | 'k'>, { candidates }: GalleryAnswer): void {
    if (this.#waiting.length >= WAITING_MAX || this.random() >= this.share) return;
    this.#waiting.push({ found: candidates.map(({ imageId }) => imageId), again: shard.searchAgain(probe, k) });
  }

  /** Goes on with what waits until the clock says so; a block is always searched. @param deadlineMs by `performance.now()` */
  work(deadlineMs: number): void {
    for (let sample = this.#waiting[0]; sample !== undefined; sample = this.#waiting[0]) {
      const { done, value } = sample.again.next();
      if (done === true) {
        this.#waiting.shift();
        if (value !== undefined) this.#count(sample.found, value);
      }
      if (performance.now() >= deadlineMs) return;
    }
  }

  /** Forgets what waits, because its shard is given up. */
  drop(): void {
    this.#waiting.length = 0;
  }

  stats(): RecallStats {
    return { samples: this.#samples, recallRatio: mean(this.#recalls), mateTop1Ratio: mean(this.#mates) };
  }

  #count(found: readonly string[], exact: readonly string[]): void {
    if (exact.length === 0) return;
    const at = this.#samples++ % WINDOW_SAMPLES;
    const known = new Set(found);
    this.#recalls[at] = exact.filter((imageId) => known.has(imageId)).length / exact.length;
    this.#mates[at] = found[0] === exact[0] ? 1 : 0;
  }
}

function mean(values: readonly number[]): number | undefined {
  if (values.length === 0) return undefined;
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
