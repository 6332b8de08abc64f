/**
 * Dispositions decide what may be searched. Every ingest, index and query replica reads them whole before it is ready.
 *
 * `restricted` and `retired` suppress an image until they are lifted. `erased` is a bound and stays for ever: whatever
 * came from a `custody.images` record at or below `sourceOffset` is gone; an image that was enrolled again afterwards
 * has a greater source offset and is active. So an erasure is never taken back, by a late template or by a new one.
 */
import { offset, type ImageId, type Offset } from './ids.js';

export type DispositionKind = 'restricted' | 'retired' | 'erased';

export interface Disposition {
  readonly imageId: ImageId;
  readonly kind: DispositionKind;
  /** ISO 8601. */
  readonly since: string;
  readonly authority: string;
  readonly reason: string;
  /** The `custody.images` record that this follows from, or the latest one when it was decided. Inclusive. */
  readonly sourceOffset: Offset;
  /** For `restricted` and `retired`: an erasure of the same image that is still in force. Inclusive. */
  readonly erasedThrough?: Offset;
  /** ISO 8601: the `since` of that erasure. Absent in records of before it was said. */
  readonly erasedSince?: string;
  /** The direction that it follows from, which alone may lift it; absent when it was decided elsewhere. */
  readonly directionId?: string;
  /**
   * Of an `erased` record that is written after a null: the direction whose suppression both lift. Compaction may drop
   * the null between two reads of somebody who has read the suppression, so this one says it again. Never in force.
   */
  readonly lifts?: string;
}

/** The greatest source offset that is erased, or undefined when nothing of the image is. Inclusive. */
export function erasedThrough(disposition: Disposition | undefined): Offset | undefined {
  if (disposition === undefined) return undefined;
  return disposition.kind === 'erased' ? disposition.sourceOffset : disposition.erasedThrough;
}

/** When the erasure that is in force was decided, ISO 8601; undefined when there is none, or it is not said. */
export function erasedSince(disposition: Disposition | undefined): string | undefined {
  return disposition?.kind === 'erased' ? disposition.since : disposition?.erasedSince;
}

/** Whether what came from this source offset must be destroyed, and never be applied again. */
export function isErased(disposition: Disposition | undefined, sourceOffset: Offset): boolean {
  const through = erasedThrough(disposition);
  return through !== undefined && sourceOffset <= through;
}

/** Whether what came from this source offset must not be returned by a search. */
export function isSuppressed(disposition: Disposition | undefined, sourceOffset: Offset): boolean {
  if (disposition === undefined) return false;
  return disposition.kind === 'erased' ? sourceOffset <= disposition.sourceOffset : true;
}

/**
 * What is in force once `next` has been read after `known`; null is an image made active again. The greatest bound of
 * an erasure wins and none is lifted: a null leaves it as an `erased` disposition, `restricted` and `retired` carry it.
 * Nor does an erasure lift a restriction: what is enrolled under the id later stays suppressed until that is done.
 */
export function mergeDisposition(known: Disposition | undefined, next: Disposition | null): Disposition | undefined {
  if (next?.lifts !== undefined) {
    const { lifts, ...bound } = next;
    const isLifted = known !== undefined && isSuppressedForGood(known) && known.directionId === lifts;
    return mergeDisposition(isLifted ? mergeDisposition(known, null) : known, bound);
  }
  if (known === undefined) return next ?? undefined;
  const before = erasedThrough(known);
  if (next === null) {
    if (before === undefined) return undefined;
    if (known.kind === 'erased') return known;
    const { erasedThrough: _bound, erasedSince: since, ...rest } = known;
    return { ...rest, kind: 'erased', sourceOffset: before, ...(since !== undefined && { since }) };
  }
  const after = erasedThrough(next);
  const isWider = after !== undefined && (before === undefined || after > before);
  if (next.kind !== 'erased') return before === undefined || isWider ? next : carrying(next, known);
  if (!isWider) return known;
  return known.kind === 'erased' ? next : carrying(known, next);
}

/** The suppression with the erasure that the other one is or carries, in place of its own. */
function carrying({ erasedSince: _own, ...suppression }: Disposition, other: Disposition): Disposition {
  const through = erasedThrough(other)!;
  const since = erasedSince(other);
  return { ...suppression, erasedThrough: through, ...(since !== undefined && { erasedSince: since }) };
}

/**
 * Whether a record that says `written` says less than what is in force, because it was merged with something stronger.
 * Compaction keeps a key's last record only, so the log must be told again.
 */
export function saysLess(written: Disposition | null, inForce: Disposition | undefined): boolean {
  return (
    inForce !== undefined &&
    (written === null ||
      erasedThrough(written) !== erasedThrough(inForce) ||
      isSuppressedForGood(written) !== isSuppressedForGood(inForce))
  );
}

/**
 * What counts instead of a record that cannot be read. It may be an erasure, so the image is kept out of searches until
 * somebody has looked.
 *
 * @param sinceMs when the log took it
 */
export function unreadableDisposition(imageId: ImageId, sinceMs: number): Disposition {
  return {
    imageId,
    kind: 'restricted',
    since: new Date(sinceMs).toISOString(),
    authority: 'custody-face-search',
    reason: 'The disposition record cannot be read.',
    sourceOffset: offset(0),
  };
}

/** Whatever its offset, until it is lifted. */
function isSuppressedForGood({ kind }: Disposition): boolean {
  return kind !== 'erased';
}
