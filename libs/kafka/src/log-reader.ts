/**
 * Reads fixed partitions of one topic from known offsets. Nothing is committed: whoever reads keeps the offset together
 * with what it made of the records.
 *
 * Flow: the ends of the logs are asked once, which fixes the positions (`start` resolves then, so that nothing written
 * afterwards is missed); one loop per leading broker long-polls the partitions that have room; each partition's batches
 * go to the handler in order, one at a time, several partitions at once. A partition whose handler is behind is not
 * fetched, so a slow handler slows the reading and nothing else. When a broker goes away, the loops end, and are begun
 * again from the last fetched offset with a new connection.
 */
import type { Kafka } from 'kafkajs';
import { describeError, Failure } from '#domain/errors.js';
import type { Offset } from '#domain/ids.js';
import { backoffMs, pause, unlessAborted } from './backoff.js';
import { KafkaConnection, type FetchedPartition, type LogEnds } from './kafka-connection.js';
import type { KafkaLog, KafkaRecord } from './kafka-record.js';
import { LogFreshness } from './log-freshness.js';

export interface LogBatch {
  readonly partition: number;
  /** In order; empty when only a gap was passed (compaction, control records). */
  readonly records: readonly KafkaRecord[];
  /** Exclusive: where to read on from, past gaps too. */
  readonly nextOffset: Offset;
  /** Exclusive end of the partition when the batch was fetched. */
  readonly highWatermark: Offset;
}

export interface LogReaderOptions {
  readonly topic: string;
  readonly partitions: readonly number[];
  /** The next offset (inclusive) by partition; a missing partition is read from its beginning. */
  readonly from: ReadonlyMap<number, Offset> | 'beginning' | 'end';
  /** Awaited: one batch at a time per partition. What it throws is a bug, and ends the reader. */
  readonly onBatch: (batch: LogBatch) => Promise<void>;
  /** The reader has stopped for good. */
  readonly onFatal: (error: unknown) => void;
  /**
   * A position that the log does not have: below its low end (deleted) or above its high end (another log). Returns
   * where to go on. Without it, a position that was not asked for by number moves to the nearest end, and one that was
   * asked for by number is fatal.
   */
  readonly onOutOfRange?: (partition: number, requested: Offset, low: Offset, high: Offset) => Offset;
  /** Partitions whose handlers run at the same time. */
  readonly concurrency?: number;
  readonly maxBytesPerPartition?: number;
  /**
   * At the end of the log, how long records gather before the next fetch: for streams that nobody waits for by the
   * millisecond, where an answer with one record costs as much as one with a hundred.
   */
  readonly lingerMs?: number;
  /**
   * How long a broker may hold a fetch that has nothing to say. It answers at once when a record arrives; `answeredAtMs`
   * and `behindSinceMs` are as old as that where nothing does.
   */
  readonly maxWaitMs?: number;
}

export interface ReadProgress {
  /** Exclusive: every record below it has been handled. */
  readonly nextOffset: Offset;
  /** Exclusive, of the latest answer of the broker. */
  readonly highWatermark: Offset;
  /** When the broker last answered for this partition, milliseconds since 1970. */
  readonly answeredAtMs: number;
  /**
   * Everything that was in the log at this time has been handled, milliseconds since 1970; undefined when everything
   * below `highWatermark` has been. Whether a record waits in the log, in a fetched batch or for its handler makes no
   * difference. Before the first catching up: when the reader was started.
   */
  readonly behindSinceMs: number | undefined;
}

const CONCURRENCY = 4;
/** A poll that finds nothing costs both sides a look at each partition; a record is answered at once in any case. */
const MAX_WAIT_MS = 5_000;
const BYTES_PER_PARTITION_MAX = 1024 * 1024;
/** One answer. At least one batch is sent however large it is. */
const FETCH_BYTES_MAX = 10 * 1024 * 1024;
/** Batches that wait per partition: one is fetched while another is handled. */
const BATCHES_WAITING_MAX = 2;
/** While a partition is left out because its handler is behind, the others are polled for so long at a time. */
const WAIT_WHILE_BEHIND_MS = 10;
/** Answers without records, though the broker has some, before the partition is asked alone. */
const EMPTY_ANSWERS_MAX = 3;

interface PartitionState {
  readonly partition: number;
  /** Whether the caller asked for the first position by number. */
  readonly explicit: boolean;
  fetchOffset: Offset;
  nextOffset: Offset;
  highWatermark: Offset;
  /** What `caughtUp` waits for. */
  targetOffset: Offset;
  answeredAtMs: number;
  readonly freshness: LogFreshness;
  waiting: LogBatch[];
  handling: Promise<void> | undefined;
  emptyAnswers: number;
}

export class LogReader {
  private readonly states = new Map<number, PartitionState>();
  private readonly stopping = new AbortController();
  private readonly concurrency: number;
  private handlersRunning = 0;
  /** Partitions with a batch and no handler slot, first come first served. */
  private readonly turns: PartitionState[] = [];
  private roomMade: (() => void)[] = [];
  private caughtUpWaiters: { resolve: () => void; reject: (error: Error) => void }[] = [];
  private loop: Promise<void> | undefined;
  private started: Promise<void> | undefined;
  private fatal = false;

  constructor(
    private readonly kafka: Kafka,
    private readonly log: KafkaLog,
    private readonly options: LogReaderOptions,
    private readonly onClosed: () => void = () => {},
  ) {
    this.concurrency = options.concurrency ?? CONCURRENCY;
  }

  /**
   * Resolves when each position is fixed: whatever is written afterwards will be read. Waits for Kafka and for the topic
   * as long as it takes, or until the reader is closed.
   *
   * @throws Failure OFFSET_OUT_OF_RANGE, READER_STOPPED; what `onOutOfRange` throws
   */
  start(): Promise<void> {
    this.started ??= this.fixPositions();
    return this.started;
  }

  /** @throws RangeError for a partition that is not this reader's, or before `start` */
  progress(partition: number): ReadProgress {
    const state = this.states.get(partition);
    if (state === undefined) throw new RangeError(`partition ${partition} of ${this.options.topic} is not read here`);
    const { nextOffset, highWatermark, answeredAtMs, freshness } = state;
    return { nextOffset, highWatermark, answeredAtMs, behindSinceMs: freshness.behindSinceMs };
  }

  /** By partition, exclusive: every record below it has been handled. Empty before `start`. */
  nextOffsets(): Map<number, Offset> {
    return new Map([...this.states].map(([partition, { nextOffset }]) => [partition, nextOffset]));
  }

  /** By partition, how many offsets lie between what was handled and the end that the broker last reported. */
  lagRecords(): Map<number, number> {
    const lag = new Map<number, number>();
    for (const [partition, { nextOffset, highWatermark }] of this.states) {
      lag.set(partition, Math.max(0, highWatermark - nextOffset));
    }
    return lag;
  }

  /**
   * Resolves when each partition has been handled up to the end that it had at the start.
   *
   * @throws Failure READER_STOPPED when that will never be
   */
  async caughtUp(): Promise<void> {
    await this.start();
    if (this.isCaughtUp()) return;
    if (this.stopping.signal.aborted) throw readerStopped(this.options.topic);
    await new Promise<void>((resolve, reject) => this.caughtUpWaiters.push({ resolve, reject }));
  }

  /** Stops reading; resolves when the handlers that were running have ended. */
  async close(): Promise<void> {
    this.stop();
    await this.started?.catch(() => undefined);
    await this.loop;
    await Promise.all([...this.states.values()].map((state) => state.handling ?? Promise.resolve()));
    this.onClosed();
  }

  private async fixPositions(): Promise<void> {
    const { topic, partitions } = this.options;
    const { signal } = this.stopping;
    for (let attempt = 1; !signal.aborted; attempt++) {
      let connection: KafkaConnection | undefined;
      let ends: Map<number, LogEnds>;
      try {
        connection = await KafkaConnection.open(this.kafka);
        await connection.useTopic(topic);
        ends = await connection.logEnds(topic, partitions);
      } catch (error) {
        void connection?.close();
        this.noteOutage(error, attempt);
        await pause(backoffMs(attempt), signal);
        continue;
      }
      for (const partition of partitions) this.states.set(partition, this.firstState(partition, ends.get(partition)!));
      this.loop = this.run(connection);
      return;
    }
    throw readerStopped(topic);
  }

  private firstState(partition: number, { low, high }: LogEnds): PartitionState {
    const { from } = this.options;
    const requested = typeof from === 'string' ? undefined : from.get(partition);
    let position = requested ?? (from === 'end' ? high : low);
    if (position < low || position > high) position = this.moveIntoRange(partition, position, true, { low, high });
    const nowMs = Date.now();
    return {
      partition,
      explicit: requested !== undefined,
      fetchOffset: position,
      nextOffset: position,
      highWatermark: high,
      targetOffset: high,
      answeredAtMs: nowMs,
      freshness: new LogFreshness(position, high, nowMs),
      waiting: [],
      handling: undefined,
      emptyAnswers: 0,
    };
  }

  private moveIntoRange(partition: number, requested: Offset, explicit: boolean, { low, high }: LogEnds): Offset {
    const { topic, onOutOfRange } = this.options;
    this.log.warn('kafka.reader.offset_out_of_range', { topic, partition, requested, low, high });
    if (onOutOfRange !== undefined) return onOutOfRange(partition, requested, low, high);
    if (!explicit) return requested < low ? low : high;
    const text = `Offset ${requested} of ${topic}/${partition} does not exist; the log is from ${low} to ${high}.`;
    throw new Failure('OFFSET_OUT_OF_RANGE', text, false);
  }

  /** Reads until stopped; each turn of the loop is one connection's life. Never rejects. */
  private async run(first: KafkaConnection): Promise<void> {
    const { signal } = this.stopping;
    let connection: KafkaConnection | undefined = first;
    let attempt = 0;
    while (!signal.aborted) {
      try {
        connection ??= await KafkaConnection.open(this.kafka);
        await connection.useTopic(this.options.topic);
        if (attempt > 0) this.log.info('kafka.reader.reconnected', { topic: this.options.topic, attempt });
        await this.readWith(connection, () => (attempt = 0));
      } catch (error) {
        const range = outOfRange(error);
        try {
          if (range !== undefined && connection !== undefined) {
            await this.recoverPosition(connection, range);
            await pause(backoffMs(1), signal);
            continue;
          }
        } catch (unrecoverable) {
          if (unrecoverable instanceof Failure && !unrecoverable.retryable) this.fail(unrecoverable);
        }
        attempt++;
        if (isUnsupported(error)) this.fail(error);
        else if (!signal.aborted) this.noteOutage(error, attempt);
      }
      void connection?.close();
      connection = undefined;
      // A leader that moved is found at once; an outage is asked after ever less often.
      if (!signal.aborted) await pause(backoffMs(Math.max(1, attempt)), signal);
    }
    void connection?.close();
  }

  /** One loop per leading broker. When one fails all end, because the leaders must be looked up again. */
  private async readWith(connection: KafkaConnection, onAnswer: () => void): Promise<void> {
    const byLeader = new Map<string, PartitionState[]>();
    for (const state of this.states.values()) {
      const leader = connection.leaderOf(this.options.topic, state.partition);
      if (leader === undefined) throw new Error(`${this.options.topic}/${state.partition} has no leader`);
      byLeader.set(leader, [...(byLeader.get(leader) ?? []), state]);
    }
    const ended = new AbortController();
    const signal = AbortSignal.any([ended.signal, this.stopping.signal]);
    const loops = [...byLeader].map(async ([nodeId, states]) => {
      try {
        while (!signal.aborted) await this.fetchOnce(connection, nodeId, states, signal, onAnswer);
      } finally {
        ended.abort();
        this.announceRoom();
      }
    });
    const failed = (await Promise.allSettled(loops)).find((result) => result.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
  }

  private async fetchOnce(
    connection: KafkaConnection,
    nodeId: string,
    states: readonly PartitionState[],
    signal: AbortSignal,
    onAnswer: () => void,
  ): Promise<void> {
    const ready = states.filter((state) => state.waiting.length < BATCHES_WAITING_MAX);
    if (ready.length === 0) {
      await new Promise<void>((resolve) => this.roomMade.push(resolve));
      return;
    }
    const suspect = ready.find((state) => state.emptyAnswers >= EMPTY_ANSWERS_MAX);
    const asked = suspect === undefined ? ready : [suspect];
    const maxWaitMs = this.options.maxWaitMs ?? MAX_WAIT_MS;
    const fetching = connection.fetch(nodeId, this.options.topic, asked, {
      maxWaitMs: asked.length < states.length ? Math.min(maxWaitMs, WAIT_WHILE_BEHIND_MS) : maxWaitMs,
      maxBytes: FETCH_BYTES_MAX,
      maxBytesPerPartition: this.options.maxBytesPerPartition ?? BYTES_PER_PARTITION_MAX,
    });
    const answer = await unlessAborted(fetching, signal);
    if (answer === undefined) return;
    onAnswer();
    for (const fetched of answer) this.accept(fetched, suspect !== undefined);
    const { lingerMs } = this.options;
    const atEnd = states.every((state) => state.fetchOffset >= state.highWatermark);
    if (lingerMs !== undefined && answer.length > 0 && atEnd) await pause(lingerMs, signal);
  }

  private accept(fetched: FetchedPartition, alone: boolean): void {
    const state = this.states.get(fetched.partition)!;
    const { records, highWatermark } = fetched;
    let { nextOffset } = fetched;
    state.highWatermark = highWatermark;
    state.answeredAtMs = Date.now();
    state.freshness.sawEnd(highWatermark, state.answeredAtMs);
    if (nextOffset === state.fetchOffset) {
      if (nextOffset >= highWatermark) {
        state.emptyAnswers = 0;
        return;
      }
      // The broker has more, and sent nothing: other partitions filled the answer, or it sent a batch that compaction
      // emptied, of which kafkajs says nothing. Only a partition that was asked alone is sure to be in the second case.
      state.emptyAnswers++;
      if (!alone) return;
      nextOffset = (state.fetchOffset + 1) as Offset;
    } else {
      state.emptyAnswers = 0;
    }
    state.fetchOffset = nextOffset;
    state.waiting.push({ partition: state.partition, records, nextOffset, highWatermark });
    this.handleNext(state);
  }

  private handleNext(state: PartitionState): void {
    if (state.handling !== undefined || state.waiting.length === 0 || this.stopping.signal.aborted) return;
    if (this.handlersRunning >= this.concurrency) {
      if (!this.turns.includes(state)) this.turns.push(state);
      return;
    }
    const batch = state.waiting[0]!;
    this.handlersRunning++;
    state.handling = this.handle(state, batch).finally(() => {
      this.handlersRunning--;
      state.handling = undefined;
      this.announceRoom();
      const turn = this.turns.shift();
      if (turn !== undefined) this.handleNext(turn);
      this.handleNext(state);
    });
  }

  private async handle(state: PartitionState, batch: LogBatch): Promise<void> {
    try {
      await this.options.onBatch(batch);
    } catch (error) {
      this.fail(error);
      return;
    }
    state.waiting.shift();
    state.nextOffset = batch.nextOffset;
    state.freshness.handledTo(batch.nextOffset);
    if (this.caughtUpWaiters.length > 0 && this.isCaughtUp()) {
      for (const { resolve } of this.caughtUpWaiters.splice(0)) resolve();
    }
  }

  /** The log was cut under the reader, by retention or by being replaced. */
  private async recoverPosition(connection: KafkaConnection, partition: number): Promise<void> {
    const state = this.states.get(partition)!;
    // What was fetched before is handled first, so that the position moves only once.
    while (state.handling !== undefined) await state.handling;
    if (this.stopping.signal.aborted) return;
    const ends = (await connection.logEnds(this.options.topic, [partition])).get(partition)!;
    if (state.fetchOffset >= ends.low && state.fetchOffset <= ends.high) return;
    const position = this.moveIntoRange(partition, state.fetchOffset, state.explicit, ends);
    state.fetchOffset = position;
    state.nextOffset = position;
    state.highWatermark = ends.high;
    state.freshness.handledTo(position);
    state.freshness.sawEnd(ends.high, Date.now());
    state.targetOffset = Math.min(state.targetOffset, ends.high) as Offset;
    if (this.isCaughtUp()) for (const { resolve } of this.caughtUpWaiters.splice(0)) resolve();
  }

  private isCaughtUp(): boolean {
    for (const state of this.states.values()) if (state.nextOffset < state.targetOffset) return false;
    return true;
  }

  private announceRoom(): void {
    for (const resolve of this.roomMade.splice(0)) resolve();
  }

  private stop(): void {
    this.stopping.abort();
    this.announceRoom();
    for (const { reject } of this.caughtUpWaiters.splice(0)) reject(readerStopped(this.options.topic));
  }

  private fail(error: unknown): void {
    if (this.fatal || this.stopping.signal.aborted) return;
    this.fatal = true;
    this.log.error('kafka.reader.fatal', { topic: this.options.topic, error: describeError(error) });
    this.stop();
    this.options.onFatal(error);
  }

  private noteOutage(error: unknown, attempt: number): void {
    const fields = { topic: this.options.topic, attempt, error: describeError(error) };
    // The first, then about every tenth second: an outage must be seen, and must not fill the log.
    if (attempt === 1 || attempt % 8 === 0) this.log.warn('kafka.reader.retrying', fields);
    else this.log.debug('kafka.reader.retrying', fields);
  }
}

function readerStopped(topic: string): Failure {
  return new Failure('READER_STOPPED', `The reader of ${topic} was stopped.`, true);
}

/** The partition whose offset does not exist, when that is what the error says. */
function outOfRange(error: unknown): number | undefined {
  const { name, partition } = error as { name?: unknown; partition?: unknown };
  return name === 'KafkaJSOffsetOutOfRange' && typeof partition === 'number' ? partition : undefined;
}

/** A codec that is not built in: trying again changes nothing. */
function isUnsupported(error: unknown): boolean {
  return (error as { name?: unknown }).name === 'KafkaJSNotImplemented';
}
