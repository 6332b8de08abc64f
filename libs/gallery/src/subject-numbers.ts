import type { SubjectId } from '#domain/ids.js';

/** Small numbers for the subjects of a shard, counted, so that nothing of a subject stays when the last image goes. */
export class SubjectNumbers {
  readonly #held = new Map<SubjectId, { readonly number: number; images: number }>();
  readonly #free: number[] = [];
  #end = 0;

  /** The subject's number, counting one image more. */
  take(subjectId: SubjectId): number {
    const held = this.#held.get(subjectId);
    if (held !== undefined) {
      held.images++;
      return held.number;
    }
    const number = this.#free.pop() ?? this.#end++;
    this.#held.set(subjectId, { number, images: 1 });
    return number;
  }

  /** Counts one image less; the number of a subject without images is given away again. */
  release(subjectId: SubjectId): void {
    const held = this.#held.get(subjectId);
    if (held === undefined) throw new RangeError('a subject was released that has no image');
    held.images--;
    if (held.images > 0) return;
    this.#held.delete(subjectId);
    this.#free.push(held.number);
  }
}
