/** Looks for single records in a log: at a partition's leader, by their offsets. */
import type { Kafka } from 'kafkajs';
import { describeError, Failure } from '#domain/errors.js';
import type { Offset } from '#domain/ids.js';
import { KafkaConnection } from './kafka-connection.js';
import type { KafkaRecord } from './kafka-record.js';

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
    const records = await this.look(topic, partition, at);
    // A batch that compaction has emptied is sent without a word: then nothing is known yet.
    return records === undefined ? false : records.length === 0 || records.some(({ offset }) => offset === at);
  }

  /**
   * @param at inclusive: the record's own
   * @returns undefined when the log has it no longer
   * @throws Failure KAFKA_UNAVAILABLE (retryable)
   */
  async read(topic: string, partition: number, at: Offset): Promise<KafkaRecord | undefined> {
    return (await this.look(topic, partition, at))?.find(({ offset }) => offset === at);
  }

  /**
   * The first record from there on that its log has. Of a batch that compaction has emptied nothing is known.
   *
   * @param from inclusive
   * @returns undefined as well when the log begins later
   * @throws Failure KAFKA_UNAVAILABLE (retryable), also when the log ends before
   */
  async first(topic: string, partition: number, from: Offset): Promise<KafkaRecord | undefined> {
    return (await this.look(topic, partition, from))?.find(({ offset }) => offset >= from);
  }

  async close(): Promise<void> {
    await this.drop();
    this.onClosed();
  }

  private async look(topic: string, partition: number, at: Offset): Promise<readonly KafkaRecord[] | undefined> {
    try {
      return await this.fetch(topic, partition, at);
    } catch (cause) {
      // Leaders change and connections break: the next look begins anew.
      await this.drop();
      throw new Failure('KAFKA_UNAVAILABLE', `The log cannot be looked into: ${describeError(cause)}`, true, { cause });
    }
  }

  /** @returns the records of the batch that holds this offset or comes after it; undefined when the log begins later */
  private async fetch(topic: string, partition: number, at: Offset): Promise<readonly KafkaRecord[] | undefined> {
    this.connection ??= KafkaConnection.open(this.kafka);
    const connection = await this.connection;
    if (!this.topics.has(topic)) {
      await connection.useTopic(topic);
      this.topics.add(topic);
    }
    const ends = (await connection.logEnds(topic, [partition])).get(partition)!;
    if (at < ends.low) return undefined;
    if (at >= ends.high) throw new Error(`${topic}/${partition} ends at ${ends.high}, before ${at}: it is another log`);
    const leader = connection.leaderOf(topic, partition);
    if (leader === undefined) throw new Error(`${topic}/${partition} has no leader`);
    const limits = { maxWaitMs: MAX_WAIT_MS, maxBytes: MAX_BYTES, maxBytesPerPartition: MAX_BYTES };
    const [fetched] = await connection.fetch(leader, topic, [{ partition, fetchOffset: at }], limits);
    return fetched?.records ?? [];
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
