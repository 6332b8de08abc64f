/** Looks whether single records are in a log still: of a partition's leader, by their offsets. */
import type { Kafka } from 'kafkajs';
import { describeError, Failure } from '#domain/errors.js';
import type { Offset } from '#domain/ids.js';
import { KafkaConnection } from './kafka-connection.js';

/** The record is there or it is not: nothing is waited for. */
const MAX_WAIT_MS = 100;
/** The broker sends one whole batch, however little is asked for. */
const MAX_BYTES = 1;

export class RecordLookup {
  private connection: Promise<KafkaConnection> | undefined;
  private readonly topics = new Set<string>();

  constructor(
    private readonly kafka: Kafka,
    private readonly onClosed: () => void,
  ) {}

  /**
   * @param at inclusive: the record's own
   * @throws Failure KAFKA_UNAVAILABLE (retryable)
   */
  async exists(topic: string, partition: number, at: Offset): Promise<boolean> {
    try {
      return await this.look(topic, partition, at);
    } catch (cause) {
      // Leaders change and connections break: the next look begins anew.
      await this.drop();
      throw new Failure('KAFKA_UNAVAILABLE', `The log cannot be looked into: ${describeError(cause)}`, true, { cause });
    }
  }

  async close(): Promise<void> {
    await this.drop();
    this.onClosed();
  }

  private async look(topic: string, partition: number, at: Offset): Promise<boolean> {
    this.connection ??= KafkaConnection.open(this.kafka);
    const connection = await this.connection;
    if (!this.topics.has(topic)) {
      await connection.useTopic(topic);
      this.topics.add(topic);
    }
    const ends = (await connection.logEnds(topic, [partition])).get(partition)!;
    if (at < ends.low) return false;
    if (at >= ends.high) throw new Error(`${topic}/${partition} ends at ${ends.high}, before ${at}: it is another log`);
    const leader = connection.leaderOf(topic, partition);
    if (leader === undefined) throw new Error(`${topic}/${partition} has no leader`);
    const limits = { maxWaitMs: MAX_WAIT_MS, maxBytes: MAX_BYTES, maxBytesPerPartition: MAX_BYTES };
    const [fetched] = await connection.fetch(leader, topic, [{ partition, fetchOffset: at }], limits);
    const records = fetched?.records ?? [];
    // A batch that compaction has emptied is sent without a word: then nothing is known yet.
    return records.length === 0 || records.some(({ offset }) => offset === at);
  }

  private async drop(): Promise<void> {
    const { connection } = this;
    this.connection = undefined;
    this.topics.clear();
    await connection?.then(
      (open) => open.close(),
      () => undefined,
    );
  }
}
