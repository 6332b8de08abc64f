/**
 * Follows `gallery.replicas`: which index processes there are, what each holds, and how far each has destroyed what was
 * erased. Read whole at the start, then with every report.
 */
import { parseReplicaReport } from '#contracts/replica-report.js';
import { GALLERY_REPLICAS } from '#contracts/topics.js';
import { describeError } from '#domain/errors.js';
import type { ReplicaReport } from '#domain/replica-report.js';
import { totalLag } from './disposition-follower.js';
import type { KafkaClient } from './kafka-client.js';
import type { KafkaLog, KafkaRecord } from './kafka-record.js';
import type { LogReader } from './log-reader.js';

/** The topic's only one. */
const PARTITION = 0;
/** Every replica reports every few seconds; nobody waits by the millisecond. */
const LINGER_MS = 100;

/** A replica on record. */
export interface KnownReplica {
  /** Its key on the topic. */
  readonly key: string;
  /** Undefined when its last record cannot be read: then it is there, and has destroyed nothing that anybody knows of. */
  readonly report: ReplicaReport | undefined;
  /** When its last record was written, milliseconds since 1970. */
  readonly heardAtMs: number;
}

export class ReplicaFollower {
  private readonly known = new Map<string, KnownReplica>();
  private readonly reader: LogReader;
  private readonly listeners: ((changed: readonly string[]) => void)[] = [];

  constructor(
    kafka: KafkaClient,
    private readonly log: KafkaLog,
    onFatal: (error: unknown) => void,
  ) {
    this.reader = kafka.logReader({
      topic: GALLERY_REPLICAS,
      partitions: [PARTITION],
      from: 'beginning',
      lingerMs: LINGER_MS,
      onFatal,
      onBatch: ({ records }) => {
        const changed = new Set(records.flatMap((record) => this.apply(record) ?? []));
        if (changed.size > 0) for (const listener of this.listeners) listener([...changed]);
        return Promise.resolve();
      },
    });
  }

  /** Resolves when everything that was in the topic at the start has been read. */
  async start(): Promise<void> {
    await this.reader.start();
    await this.reader.caughtUp();
  }

  get(key: string): KnownReplica | undefined {
    return this.known.get(key);
  }

  /** Every replica that is not retired, silent ones included. By key. */
  all(): readonly KnownReplica[] {
    return [...this.known.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  /** Told of the keys that were reported or retired, after it is known here, from now on. */
  onChange(listener: (changed: readonly string[]) => void): void {
    this.listeners.push(listener);
  }

  lagRecords(): number {
    return totalLag(this.reader);
  }

  close(): Promise<void> {
    return this.reader.close();
  }

  private apply(record: KafkaRecord): string | undefined {
    const key = record.key?.toString('utf8');
    if (key === undefined) return undefined;
    if (record.value === null) this.known.delete(key);
    else this.known.set(key, { key, report: this.parse(record), heardAtMs: record.timestampMs });
    return key;
  }

  private parse(record: KafkaRecord): ReplicaReport | undefined {
    try {
      return parseReplicaReport(record.value!);
    } catch (error) {
      this.log.error('replica-report-unreadable', { offset: record.offset, error: describeError(error) });
      return undefined;
    }
  }
}
