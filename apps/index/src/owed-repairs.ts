/**
 * What the log must be told again, by partition, until it is said. Only a key's last record matters to whoever reads a
 * compacted log, so a repair is owed while the record that asks for it is the last one known of its image, and is said
 * when the log has been read to its end: a replay that comes past something long put right says nothing.
 */
import type { ImageId, Offset } from '#domain/ids.js';
import type { ApplyResult, UnusableOverwrite } from '#gallery/template-change.js';
import type { KafkaRecord } from '#kafka/kafka-record.js';

type Repair =
  | { readonly kind: 'resurrection' }
  | { readonly kind: 'stale-overwrite' }
  | { readonly kind: 'unusable-overwrite'; readonly unusable: UnusableOverwrite };

interface Owed {
  readonly repair: Repair;
  /** Of a record at or before the one that asks for it; inclusive. */
  readonly since: Offset;
}

export type Repairs = Pick<ApplyResult, 'resurrections' | 'staleOverwrites' | 'unusableOverwrites'>;

export class OwedRepairs {
  readonly #partitions = new Map<number, Map<ImageId, Owed>>();

  /** @param records of one partition, in order, which the shard has applied with that result */
  note(partition: number, records: readonly Pick<KafkaRecord, 'key' | 'offset'>[], result: Repairs): void {
    const [first] = records;
    if (first === undefined) return;
    const owed = this.#partitions.get(partition) ?? new Map<ImageId, Owed>();
    this.#partitions.set(partition, owed);
    if (owed.size > 0) for (const { key } of records) owed.delete((key?.toString('latin1') ?? '') as ImageId);
    const since = first.offset;
    for (const imageId of result.resurrections) owed.set(imageId, { repair: { kind: 'resurrection' }, since });
    for (const imageId of result.staleOverwrites) owed.set(imageId, { repair: { kind: 'stale-overwrite' }, since });
    for (const unusable of result.unusableOverwrites) {
      owed.set(unusable.imageId, { repair: { kind: 'unusable-overwrite', unusable }, since });
    }
  }

  /** All of the partition; owed still until {@link settle} is called. */
  due(partition: number): Repairs {
    const due: Repairs = { resurrections: [], staleOverwrites: [], unusableOverwrites: [] };
    for (const [imageId, { repair }] of this.#partitions.get(partition) ?? []) {
      if (repair.kind === 'unusable-overwrite') due.unusableOverwrites.push(repair.unusable);
      else if (repair.kind === 'resurrection') due.resurrections.push(imageId);
      else due.staleOverwrites.push(imageId);
    }
    return due;
  }

  /** What was due has been published. */
  settle(partition: number): void {
    this.#partitions.delete(partition);
  }

  /** How far a snapshot may say that the log was handled: only the log remembers what is owed. Exclusive, by partition. */
  handledTo(nextOffsets: ReadonlyMap<number, Offset>): Map<number, Offset> {
    const handled = new Map(nextOffsets);
    for (const [partition, owed] of this.#partitions) {
      for (const { since } of owed.values()) {
        if (since < (handled.get(partition) ?? since)) handled.set(partition, since);
      }
    }
    return handled;
  }
}
