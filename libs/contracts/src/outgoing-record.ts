/** A record to write, whoever publishes it. */
export interface OutgoingRecord {
  readonly topic: string;
  /** Decides the partition (murmur2), and orders the record after earlier ones of the same key. */
  readonly key: string | Buffer | null;
  /** null is a tombstone. */
  readonly value: Buffer | string | null;
  readonly headers?: Readonly<Record<string, string>>;
  /** Only where the partition is not a matter of the key. */
  readonly partition?: number;
}
