/**
 * Writes records: all replicas acknowledge, order per partition is kept, and an outage is waited out.
 *
 * Flow: what is published within one tick of the event loop is one request per leading broker, bounded in bytes. One
 * round of requests is in flight at a time and the next one gathers meanwhile, so batches grow with load and latency
 * stays a round trip. What a broker refuses for now goes back to the front of the queue, and its partition waits; other
 * partitions go on. Delivery is at least once: a write whose acknowledgement was lost is written again.
 */
import type { Kafka, Message } from 'kafkajs';
import type { OutgoingRecord } from '#contracts/outgoing-record.js';
import { withTrace } from '#contracts/trace-context.js';
import { describeError, Failure } from '#domain/errors.js';
import type { Offset } from '#domain/ids.js';
import { backoffMs, pause } from './backoff.js';
import { KafkaConnection, type PartitionBatch, type ProduceOutcome } from './kafka-connection.js';
import { protocolError } from './kafkajs-workarounds.js';
import type { KafkaLog, RecordPosition } from './kafka-record.js';
import { choosePartition, invalidRecord, notAuthorised, shuttingDown, sizeOf, tooLarge } from './outgoing-record.js';

export interface PublisherOptions {
  /** After so long without an acknowledgement a record is rejected. Without it, an outage is waited out for ever. */
  readonly deadlineMs?: number;
  /**
   * How long records gather before they are written: for streams, where a batch costs the broker as much as a record.
   * Without it, what is published within one tick of the event loop shares a request.
   */
  readonly lingerMs?: number;
  /** What may wait, in bytes of records. */
  readonly maxQueueBytes?: number;
  /** The largest record. At most the broker's `message.max.bytes`, less the batch's own 100 bytes. */
  readonly maxRecordBytes?: number;
}

/** Some seconds of a service's own traffic; more only hides that Kafka is away. */
const QUEUE_BYTES_MAX = 64 * 1024 * 1024;
/** The local broker takes 12 MiB: an image of 8 MiB, and room for its headers and the batch around it. */
const RECORD_BYTES_MAX = 12 * 1024 * 1024 - 1024;
/** One broker request. Far below `socket.request.max.bytes` (100 MiB); larger ones only add latency. */
const REQUEST_BYTES_MAX = 8 * 1024 * 1024;
/** One partition's share of it: below Kafka's default `max.message.bytes` (1 MiB), which applies to a whole batch. */
const PARTITION_BATCH_BYTES_MAX = 900 * 1024;
/** A topic that is unknown for so long is not one that a restarting broker has yet to load. */
const TOPIC_MISSING_AFTER_MS = 60_000;
/** How long `close` waits for what was accepted. */
const CLOSE_DEADLINE_MS = 10_000;

/** A partition that takes batches of so many again has no culprit left near the front. */
const NARROWED_RECORDS_MAX = 256;
/** The name under which trouble with the connection itself is noted. */
const CONNECTION = 'connection';

const MESSAGE_TOO_LARGE = 10;
const RECORD_LIST_TOO_LARGE = 18;
const TOPIC_AUTHORIZATION_FAILED = 29;
const INVALID_RECORD = 87;

interface Entry {
  readonly record: OutgoingRecord;
  readonly message: Message;
  readonly bytes: number;
  readonly resolve: (position: RecordPosition) => void;
  readonly reject: (error: Error) => void;
  /** Rejected at its deadline, or acknowledged. */
  settled: boolean;
  partition: number | undefined;
  timer: NodeJS.Timeout | undefined;
}

/** What is known of a topic or partition that does not take records at present. */
interface Trouble {
  attempt: number;
  sinceMs: number;
  notBeforeMs: number;
}

export class Publisher {
  private readonly queueBytesMax: number;
  private readonly recordBytesMax: number;
  private queue: Entry[] = [];
  private queuedBytes = 0;
  private draining: Promise<void> | undefined;
  private connection: KafkaConnection | undefined;
  private readonly troubles = new Map<string, Trouble>();
  /** Partitions where a batch was refused as a whole: at most so many records at a time, until the culprit is found. */
  private readonly narrowed = new Map<string, number>();
  private closing = false;
  private closed = false;

  constructor(
    private readonly kafka: Kafka,
    private readonly log: KafkaLog,
    private readonly options: PublisherOptions = {},
    private readonly onClosed: () => void = () => {},
  ) {
    this.queueBytesMax = options.maxQueueBytes ?? QUEUE_BYTES_MAX;
    this.recordBytesMax = options.maxRecordBytes ?? RECORD_BYTES_MAX;
  }

  /** Bytes that wait for an acknowledgement. */
  get pendingBytes(): number {
    return this.queuedBytes;
  }

  /**
   * The record is sent in the trace of what is under way, if there is one.
   *
   * @param deadlineMs this record's own, instead of the publisher's
   * @throws Refusal RECORD_TOO_LARGE, RECORD_INVALID; Failure PUBLISHER_FULL, KAFKA_UNAVAILABLE (the record may have
   *   been written nevertheless), KAFKA_NOT_AUTHORISED, TOPIC_MISSING, PARTITION_MISSING, KAFKA_REJECTED, PUBLISHER_CLOSED
   */
  publish(given: OutgoingRecord, deadlineMs: number | undefined = this.options.deadlineMs): Promise<RecordPosition> {
    const record = withTrace(given);
    return new Promise((resolve, reject) => {
      const bytes = sizeOf(record);
      const refusal = this.refuse(bytes);
      if (refusal !== undefined) {
        reject(refusal);
        return;
      }
      const message: Message = { key: record.key, value: record.value };
      if (record.headers !== undefined) message.headers = record.headers;
      const { partition } = record;
      const entry: Entry = { record, message, bytes, resolve, reject, settled: false, partition, timer: undefined };
      if (deadlineMs !== undefined) entry.timer = setTimeout(() => this.expire(entry, deadlineMs), deadlineMs);
      this.queue.push(entry);
      this.queuedBytes += bytes;
      // After the tick, so that whatever else is published in it shares the request.
      this.draining ??= this.gather().then(() => this.drain());
    });
  }

  /** Resolves when all are acknowledged, in the records' order; rejects with the first error otherwise. */
  publishAll(records: readonly OutgoingRecord[], deadlineMs?: number): Promise<RecordPosition[]> {
    return Promise.all(records.map((record) => this.publish(record, deadlineMs ?? this.options.deadlineMs)));
  }

  /** Writes what was accepted, for at most 10 s; the rest is rejected. */
  async close(): Promise<void> {
    this.closing = true;
    const given = new AbortController();
    await Promise.race([this.draining ?? Promise.resolve(), pause(CLOSE_DEADLINE_MS, given.signal)]);
    given.abort();
    this.closed = true;
    for (const entry of this.queue) this.fail(entry, shuttingDown());
    this.dropConnection();
    this.onClosed();
  }

  private refuse(bytes: number): Error | undefined {
    if (this.closing) return shuttingDown();
    if (bytes > this.recordBytesMax) return tooLarge(bytes);
    if (this.queuedBytes + bytes > this.queueBytesMax) {
      return new Failure('PUBLISHER_FULL', 'Too much waits to be written to Kafka; try again later.', true);
    }
    return undefined;
  }

  private expire(entry: Entry, deadlineMs: number): void {
    const text = `Kafka did not acknowledge within ${deadlineMs} ms. The record may have been written nevertheless.`;
    this.fail(entry, new Failure('KAFKA_UNAVAILABLE', text, true));
  }

  private gather(): Promise<void> {
    const { lingerMs } = this.options;
    return new Promise((run) =>
      lingerMs === undefined || this.closing ? setImmediate(run) : setTimeout(run, lingerMs),
    );
  }

  private async drain(): Promise<void> {
    try {
      for (;;) {
        this.queue = this.queue.filter((entry) => !entry.settled);
        if (this.queue.length === 0) return;
        if (this.closed) {
          for (const entry of this.queue) this.fail(entry, shuttingDown());
          return;
        }
        await this.round();
        if (this.options.lingerMs !== undefined && this.queue.length > 0) await this.gather();
      }
    } finally {
      this.draining = undefined;
    }
  }

  /** One request to each leader that is concerned; never throws. */
  private async round(): Promise<void> {
    try {
      this.connection ??= await KafkaConnection.open(this.kafka);
      const connection = this.connection;
      await this.learnTopics(connection);
      const byLeader = this.takeBatches(connection);
      if (byLeader.size === 0) {
        await this.waitForTroubled();
        return;
      }
      const requests = [...byLeader].map(([nodeId, batches]) => this.send(connection, nodeId, batches));
      const failed = (await Promise.allSettled(requests)).find((result) => result.status === 'rejected');
      if (failed !== undefined) throw failed.reason;
      this.clearTrouble(CONNECTION);
      if (this.troubles.size > 0) await connection.refreshLeaders();
    } catch (error) {
      this.dropConnection();
      const trouble = this.noteTrouble(CONNECTION, describeError(error));
      await pause(trouble.notBeforeMs - Date.now());
    }
  }

  /** Loads the metadata of topics that are new to the connection. One that does not exist does not hold up the others. */
  private async learnTopics(connection: KafkaConnection): Promise<void> {
    const now = Date.now();
    for (const topic of new Set(this.queue.map((entry) => entry.record.topic))) {
      if (connection.partitionCount(topic) > 0 || this.isTroubled(topic, now)) continue;
      try {
        await connection.useTopic(topic);
        if (connection.partitionCount(topic) === 0) throw new Error('the topic has no partitions');
        this.clearTrouble(topic);
      } catch (error) {
        const type = (error as { type?: unknown }).type;
        if (type === 'TOPIC_AUTHORIZATION_FAILED') {
          this.failAll(topic, notAuthorised(topic));
        } else if (type === 'UNKNOWN_TOPIC_OR_PARTITION' || type === 'INVALID_TOPIC_EXCEPTION') {
          const trouble = this.noteTrouble(topic, type);
          if (Date.now() - trouble.sinceMs > TOPIC_MISSING_AFTER_MS || type === 'INVALID_TOPIC_EXCEPTION') {
            this.clearTrouble(topic);
            this.failAll(topic, new Failure('TOPIC_MISSING', `The topic ${topic} does not exist.`, false));
          }
        } else {
          throw error;
        }
      }
    }
  }

  /** Takes from the front of the queue what one request per leader may carry. */
  private takeBatches(connection: KafkaConnection): Map<string, Batch[]> {
    const batches = new Map<string, Batch>();
    const blocked = new Set<string>();
    const sticky = new Map<string, number>();
    const rest: Entry[] = [];
    const now = Date.now();
    let requestBytes = 0;
    for (const entry of this.queue) {
      if (entry.settled) continue;
      const { topic } = entry.record;
      const partitions = connection.partitionCount(topic);
      if (partitions === 0) {
        rest.push(entry);
        continue;
      }
      const partition = (entry.partition ??= choosePartition(entry.record, partitions, sticky));
      if (partition >= partitions) {
        this.fail(entry, new Failure('PARTITION_MISSING', `Partition ${partition} of ${topic} does not exist.`, false));
        continue;
      }
      const name = `${topic}/${partition}`;
      const batch = batches.get(name) ?? { name, topic, partition, entries: [], bytes: 0 };
      const full =
        (requestBytes > 0 && requestBytes + entry.bytes > REQUEST_BYTES_MAX) ||
        (batch.bytes > 0 && batch.bytes + entry.bytes > PARTITION_BATCH_BYTES_MAX) ||
        batch.entries.length >= (this.narrowed.get(name) ?? Infinity);
      // Once a record of a partition waits, nothing behind it may overtake it.
      if (full || blocked.has(name) || this.isTroubled(name, now)) {
        blocked.add(name);
        rest.push(entry);
        continue;
      }
      batch.entries.push(entry);
      batch.bytes += entry.bytes;
      requestBytes += entry.bytes;
      batches.set(name, batch);
    }
    this.queue = rest;
    return this.byLeader(connection, batches.values());
  }

  private byLeader(connection: KafkaConnection, batches: Iterable<Batch>): Map<string, Batch[]> {
    const byLeader = new Map<string, Batch[]>();
    for (const batch of batches) {
      const leader = connection.leaderOf(batch.topic, batch.partition);
      if (leader === undefined) {
        this.noteTrouble(batch.name, 'LEADER_NOT_AVAILABLE');
        this.requeue(batch);
        continue;
      }
      const ofLeader = byLeader.get(leader) ?? [];
      ofLeader.push(batch);
      byLeader.set(leader, ofLeader);
    }
    return byLeader;
  }

  /** Rejects, after putting everything back, when the broker did not answer. */
  private async send(connection: KafkaConnection, nodeId: string, batches: readonly Batch[]): Promise<void> {
    let outcomes: ProduceOutcome[];
    try {
      const request = batches.map(({ topic, partition, entries }): PartitionBatch => ({
        topic,
        partition,
        messages: entries.map((e) => e.message),
      }));
      outcomes = await connection.produce(nodeId, request);
    } catch (error) {
      for (const batch of batches) this.requeue(batch);
      throw error;
    }
    const byName = new Map(outcomes.map((outcome) => [`${outcome.topic}/${outcome.partition}`, outcome]));
    for (const batch of batches) {
      const outcome = byName.get(batch.name);
      if (outcome?.errorCode === 0) this.acknowledge(batch, outcome.baseOffset);
      else this.handleRefused(batch, outcome?.errorCode ?? -1);
    }
  }

  private acknowledge(batch: Batch, baseOffset: number): void {
    this.clearTrouble(batch.name);
    const narrowedTo = this.narrowed.get(batch.name);
    if (narrowedTo !== undefined) {
      // The culprit is not here; widen again, so that the neighbours are not written one by one for ever.
      if (narrowedTo >= NARROWED_RECORDS_MAX) this.narrowed.delete(batch.name);
      else this.narrowed.set(batch.name, narrowedTo * 2);
    }
    batch.entries.forEach((entry, i) => {
      if (!this.settle(entry)) return;
      entry.resolve({ partition: batch.partition, offset: (baseOffset + i) as Offset });
    });
  }

  private handleRefused(batch: Batch, code: number): void {
    const { name, topic, entries } = batch;
    const aboutOneRecord = code === MESSAGE_TOO_LARGE || code === RECORD_LIST_TOO_LARGE || code === INVALID_RECORD;
    if (aboutOneRecord && entries.length > 1) {
      // The broker refuses a batch whole and does not say why: halve it until the culprit is alone.
      this.narrowed.set(name, Math.floor(entries.length / 2));
      this.requeue(batch);
      return;
    }
    const { type, retriable } = protocolError(code);
    if (retriable) {
      this.noteTrouble(name, type);
      this.requeue(batch);
      return;
    }
    this.clearTrouble(name);
    for (const entry of entries) {
      if (code === INVALID_RECORD) this.fail(entry, invalidRecord(topic));
      else if (aboutOneRecord) this.fail(entry, tooLarge(entry.bytes));
      else if (code === TOPIC_AUTHORIZATION_FAILED) this.fail(entry, notAuthorised(topic));
      else this.fail(entry, new Failure('KAFKA_REJECTED', `Kafka rejected a record of ${topic}: ${type}.`, false));
    }
  }

  private requeue(batch: Batch): void {
    this.queue = batch.entries.concat(this.queue);
  }

  private failAll(topic: string, error: Error): void {
    for (const entry of this.queue) if (entry.record.topic === topic) this.fail(entry, error);
  }

  private fail(entry: Entry, error: Error): void {
    if (this.settle(entry)) entry.reject(error);
  }

  /** @returns false when it was settled before */
  private settle(entry: Entry): boolean {
    if (entry.settled) return false;
    entry.settled = true;
    clearTimeout(entry.timer);
    this.queuedBytes -= entry.bytes;
    return true;
  }

  private isTroubled(name: string, nowMs: number): boolean {
    return (this.troubles.get(name)?.notBeforeMs ?? 0) > nowMs;
  }

  private noteTrouble(name: string, cause: string): Trouble {
    const now = Date.now();
    const trouble = this.troubles.get(name) ?? { attempt: 0, sinceMs: now, notBeforeMs: 0 };
    trouble.attempt++;
    trouble.notBeforeMs = now + backoffMs(trouble.attempt);
    this.troubles.set(name, trouble);
    const fields = {
      what: name,
      cause,
      attempt: trouble.attempt,
      forMs: now - trouble.sinceMs,
      pendingBytes: this.queuedBytes,
    };
    // The first, then about every tenth second: an outage must be seen, and must not fill the log.
    if (trouble.attempt === 1 || trouble.attempt % 8 === 0) this.log.warn('kafka.publish.retrying', fields);
    else this.log.debug('kafka.publish.retrying', fields);
    return trouble;
  }

  private clearTrouble(name: string): void {
    const trouble = this.troubles.get(name);
    if (trouble === undefined) return;
    this.troubles.delete(name);
    this.log.info('kafka.publish.recovered', { what: name, afterMs: Date.now() - trouble.sinceMs });
  }

  /** Nothing can be sent now: waits for the first partition or topic that may be tried again. */
  private async waitForTroubled(): Promise<void> {
    const now = Date.now();
    let earliest = now + backoffMs(1);
    for (const { notBeforeMs } of this.troubles.values()) {
      if (notBeforeMs > now) earliest = Math.min(earliest, notBeforeMs);
    }
    await pause(Math.max(1, earliest - now));
    if (this.troubles.size > 0 && this.connection !== undefined) await this.connection.refreshLeaders();
  }

  private dropConnection(): void {
    void this.connection?.close();
    this.connection = undefined;
  }
}

interface Batch {
  readonly name: string;
  readonly topic: string;
  readonly partition: number;
  readonly entries: Entry[];
  bytes: number;
}
