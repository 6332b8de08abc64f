/**
 * How far a source topic is done with: by partition, the offset below which every record is in the journal. Records are
 * taken in order, and come into the journal in any order, because they go to many partitions.
 */
import type { Offset } from '#domain/ids.js';

interface TakenRecord {
  readonly at: Offset;
  readonly imageId: string;
}

export class TopicPositions {
  private readonly partitions = new Map<
    number,
    { readonly taken: TakenRecord[]; readonly noted: Set<Offset>; end: Offset }
  >();

  /** Until it is {@link noted}, nothing at or above it counts as done. @param imageId as its key has it */
  taken(partition: number, at: Offset, imageId: string): void {
    const state = this.partitions.get(partition);
    if (state === undefined) {
      this.partitions.set(partition, { taken: [{ at, imageId }], noted: new Set(), end: at });
    } else {
      state.taken.push({ at, imageId });
    }
  }

  noted(partition: number, at: Offset): void {
    const state = this.partitions.get(partition);
    if (state === undefined || state.taken[0] === undefined || at < state.taken[0].at) return;
    state.noted.add(at);
    while (state.taken[0] !== undefined && state.noted.delete(state.taken[0].at)) state.taken.shift();
  }

  /** Another partition with a record of this image that is not in the journal yet; undefined for none. */
  otherPartitionOf(imageId: string, partition: number): number | undefined {
    for (const [other, { taken }] of this.partitions) {
      if (other !== partition && taken.some((record) => record.imageId === imageId)) return other;
    }
    return undefined;
  }

  /** @param nextOffset exclusive: no record below it comes any more */
  readTo(partition: number, nextOffset: Offset): void {
    const state = this.partitions.get(partition);
    if (state === undefined) this.partitions.set(partition, { taken: [], noted: new Set(), end: nextOffset });
    else state.end = nextOffset;
  }

  /** By partition. Exclusive. */
  done(): ReadonlyMap<number, Offset> {
    return new Map([...this.partitions].map(([partition, { taken, end }]) => [partition, taken[0]?.at ?? end]));
  }
}
