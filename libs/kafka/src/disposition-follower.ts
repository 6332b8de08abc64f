/**
 * Follows `custody.dispositions`: read whole before the service is ready, then at once with every change. Suppression
 * never waits for an index. Every record is merged with what is known, so that no later one lifts an erasure.
 */
import { parseDisposition } from '#contracts/disposition-record.js';
import { CUSTODY_DISPOSITIONS } from '#contracts/topics.js';
import { mergeDisposition, saysLess, unreadableDisposition, type Disposition } from '#domain/disposition.js';
import { describeError } from '#domain/errors.js';
import { TEMPLATE_PARTITIONS } from '#domain/gallery.js';
import type { ImageId, Offset } from '#domain/ids.js';
import type { KafkaClient } from './kafka-client.js';
import type { KafkaLog, KafkaRecord, RecordPosition } from './kafka-record.js';
import type { LogReader } from './log-reader.js';

/** Records that are in the topic and not yet handled, over all partitions. */
export function totalLag(reader: { lagRecords(): { values(): Iterable<number> } }): number {
  let sum = 0;
  for (const records of reader.lagRecords().values()) sum += records;
  return sum;
}

export interface DispositionChange {
  readonly imageId: ImageId;
  /** What is in force now, merged; null for an image that is active. */
  readonly disposition: Disposition | null;
  /** The record says less than that: when compaction keeps no other, a service that starts would not know. */
  readonly outlivesRecord: boolean;
  /**
   * The direction whose suppression the record has lifted, a null: what is written behind it says so again, for those
   * that come after compaction has dropped the null.
   */
  readonly lifted?: string;
}

export class DispositionFollower {
  private readonly dispositions = new Map<ImageId, Disposition>();
  private readonly places = new Map<ImageId, RecordPosition>();
  private readonly reader: LogReader;
  private readonly listeners: ((changes: readonly DispositionChange[]) => void)[] = [];

  /** @param applyChanges awaited before the next batch is read */
  constructor(
    kafka: KafkaClient,
    private readonly log: KafkaLog,
    onFatal: (error: unknown) => void,
    private readonly applyChanges: (changes: readonly DispositionChange[]) => Promise<void> = () => Promise.resolve(),
  ) {
    this.reader = kafka.logReader({
      topic: CUSTODY_DISPOSITIONS,
      partitions: Array.from({ length: TEMPLATE_PARTITIONS }, (_, partition) => partition),
      from: 'beginning',
      onFatal,
      onBatch: async ({ records }) => {
        const changes = records.filter((record) => record.key !== null).map((record) => this.apply(record));
        if (changes.length === 0) return;
        for (const listener of this.listeners) listener(changes);
        await this.applyChanges(changes);
      },
    });
  }

  /** Resolves when everything that was in the topic at the start has been read and handed on. */
  async start(): Promise<void> {
    await this.reader.start();
    await this.reader.caughtUp();
  }

  get(id: ImageId): Disposition | undefined {
    return this.dispositions.get(id);
  }

  /** Of the last record about the image that was read: whoever has read that far knows what is in force. */
  placeOf(id: ImageId): RecordPosition | undefined {
    return this.places.get(id);
  }

  /** Every disposition in force. */
  all(): Iterable<Disposition> {
    return this.dispositions.values();
  }

  /** Told of every change after it is known here, from now on. */
  onChange(listener: (changes: readonly DispositionChange[]) => void): void {
    this.listeners.push(listener);
  }

  /** The record's place in the log: a reader that has passed it knows the disposition. */
  hasRead(partition: number, recordOffset: number): boolean {
    return this.reader.progress(partition).nextOffset > recordOffset;
  }

  /** By partition, exclusive: what every record below it says has been handed on. */
  nextOffsets(): ReadonlyMap<number, Offset> {
    return this.reader.nextOffsets();
  }

  lagRecords(): number {
    return totalLag(this.reader);
  }

  close(): Promise<void> {
    return this.reader.close();
  }

  private apply(record: KafkaRecord): DispositionChange {
    const id = record.key!.toString('utf8') as ImageId;
    const written = record.value === null ? null : this.parse(id, record.value, record);
    const before = this.dispositions.get(id);
    const inForce = mergeDisposition(before, written);
    const lifted = written === null && before?.kind !== 'erased' ? before?.directionId : undefined;
    if (inForce === undefined) this.dispositions.delete(id);
    else this.dispositions.set(id, inForce);
    if (inForce === undefined) this.places.delete(id);
    else this.places.set(id, { partition: record.partition, offset: record.offset });
    return {
      imageId: id,
      disposition: inForce ?? null,
      outlivesRecord: saysLess(written, inForce),
      ...(lifted !== undefined && { lifted }),
    };
  }

  /** One that cannot be read is said, and kept to the safe side. */
  private parse(id: ImageId, value: Buffer, record: KafkaRecord): Disposition {
    try {
      return parseDisposition(value);
    } catch (error) {
      this.log.error('disposition-unreadable', {
        partition: record.partition,
        offset: record.offset,
        error: describeError(error),
      });
      return unreadableDisposition(id, record.timestampMs);
    }
  }
}
