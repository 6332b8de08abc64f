/**
 * Counting by subject: the bound that decides what may still matter, and the final ranking.
 */
import { compareCandidates } from '#domain/gallery.js';
import type { VectorStore } from './vector-store.js';
import type { SlotHit } from './vector-index.js';

/**
 * The k subjects with the greatest lower bounds seen so far, in a binary heap whose root is the least of them.
 * Whatever cannot reach {@link SubjectBound.value} is not among the best k subjects, and not the best image of one.
 */
export class SubjectBound {
  readonly #subjects: number[] = [];
  readonly #scores: number[] = [];
  readonly #positions = new Map<number, number>();

  constructor(readonly k: number) {}

  /** The k-th subject's score, or -Infinity while there are fewer than k subjects. */
  get value(): number {
    return this.#scores.length < this.k ? -Infinity : this.#scores[0]!;
  }

  offer(subject: number, score: number): void {
    const position = this.#positions.get(subject);
    if (position !== undefined) {
      if (score <= this.#scores[position]!) return;
      this.#scores[position] = score;
      this.#sink(position);
    } else if (this.#scores.length < this.k) {
      this.#subjects.push(subject);
      this.#scores.push(score);
      this.#positions.set(subject, this.#scores.length - 1);
      this.#rise(this.#scores.length - 1);
    } else if (score > this.#scores[0]!) {
      this.#positions.delete(this.#subjects[0]!);
      this.#subjects[0] = subject;
      this.#scores[0] = score;
      this.#positions.set(subject, 0);
      this.#sink(0);
    }
  }

  #rise(start: number): void {
    for (let at = start; at > 0;) {
      const parent = (at - 1) >> 1;
      if (this.#scores[parent]! <= this.#scores[at]!) return;
      this.#swap(at, parent);
      at = parent;
    }
  }

  #sink(start: number): void {
    for (let at = start; ;) {
      let least = at;
      for (let child = 2 * at + 1; child <= 2 * at + 2 && child < this.#scores.length; child++) {
        if (this.#scores[child]! < this.#scores[least]!) least = child;
      }
      if (least === at) return;
      this.#swap(at, least);
      at = least;
    }
  }

  #swap(a: number, b: number): void {
    const subject = this.#subjects[a]!;
    const score = this.#scores[a]!;
    this.#subjects[a] = this.#subjects[b]!;
    this.#scores[a] = this.#scores[b]!;
    this.#subjects[b] = subject;
    this.#scores[b] = score;
    this.#positions.set(this.#subjects[a], a);
    this.#positions.set(subject, b);
  }
}

/** Each subject's best image of those offered, by exact score and then imageId. */
export class SubjectRanking {
  readonly #best = new Map<number, SlotHit>();

  constructor(private readonly store: VectorStore) {}

  get subjects(): number {
    return this.#best.size;
  }

  offer(slot: number, score: number): void {
    const subject = this.store.subject(slot);
    const best = this.#best.get(subject);
    if (best === undefined || this.#compare({ slot, score }, best) < 0) this.#best.set(subject, { slot, score });
  }

  /** Best first, at most k. */
  top(k: number): SlotHit[] {
    return [...this.#best.values()].sort((a, b) => this.#compare(a, b)).slice(0, k);
  }

  #compare(a: SlotHit, b: SlotHit): number {
    if (a.score !== b.score) return b.score - a.score;
    return compareCandidates(
      { score: a.score, imageId: this.store.imageId(a.slot) },
      { score: b.score, imageId: this.store.imageId(b.slot) },
    );
  }
}
