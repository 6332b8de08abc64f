/**
 * A member of a consumer group: Kafka shares the partitions of the topics among the members, and remembers how far each
 * was handled.
 *
 * Flow: a batch goes to the handler; when it has resolved, the offset after it is stored here; a timer commits what is
 * stored, so that no batch waits for a commit. While a handler runs, heartbeats keep the membership.
 *
 * Each time the group shares anew, a generation ends: its signal is aborted, what it stored is committed, and whatever
 * its handlers do later is not stored, because the partition may have another owner. So a record is handled at least
 * once, and an offset is never moved past a record that was not handled.
 *
 * kafkajs fetches anew only when every batch of the former answer was handled, so that one handler that waits would hold
 * up all partitions of a broker. One that takes long is therefore let go on beside: its partition is left out of the
 * fetches until it is done, and the others go on.
 *
 * kafkajs gives up in an outage, and can hang after one (upstream 659): the consumer is replaced by a new one whenever
 * it crashes, stops fetching, or is not handed what the broker has for it ({@link GroupWatch}).
 */
import kafkajs, { type Consumer, type EachBatchPayload, type Kafka } from 'kafkajs';
import { describeError } from '#domain/errors.js';
import type { Offset } from '#domain/ids.js';
import { backoffMs, pause, within } from './backoff.js';
import { offsetAfter, type Assignment, type Generation } from './group-generation.js';
import { hasLeft, keepMembership } from './group-membership.js';
import { GroupWatch, type WatchedMember } from './group-watch.js';
import { recordFrom, type FetchedMessage, type KafkaLog, type KafkaRecord } from './kafka-record.js';
import { samePartitionAssigner } from './same-partition-assigner.js';

export interface GroupBatch {
  readonly topic: string;
  readonly partition: number;
  /** In order, never empty. */
  readonly records: readonly KafkaRecord[];
  /** Exclusive end of the partition when the batch was fetched. */
  readonly highWatermark: Offset;
  /** Of the assignment under which the batch was fetched. */
  readonly generation: number;
  /** Aborted when the partition is no longer this member's; what is done afterwards is not stored. */
  readonly signal: AbortSignal;
  /**
   * Stores how far the handler has come before its end, so that what is done is not done again when the partition goes to
   * another member meanwhile.
   *
   * @param nextOffset exclusive: every record of the batch below it is handled
   */
  readonly handledTo: (nextOffset: number) => void;
}

export interface GroupConsumerOptions {
  readonly groupId: string;
  readonly topics: readonly string[];
  /** Awaited, one batch at a time per partition. What it throws while its signal is not aborted is a bug, and ends the consumer. */
  readonly onBatch: (batch: GroupBatch) => Promise<void>;
  /** The consumer has stopped for good. */
  readonly onFatal: (error: unknown) => void;
  /** Awaited before the first batch of the generation. */
  readonly onAssigned?: (assignment: Assignment, generation: number, signal: AbortSignal) => void | Promise<void>;
  /** Called at once; handlers may still be running, with an aborted signal. */
  readonly onRevoked?: (assignment: Assignment, generation: number) => void;
  readonly partitionsConsumedConcurrently?: number;
  readonly maxBytesPerPartition?: number;
  readonly maxWaitMs?: number;
  /** How long a member may be silent before the others take over. */
  readonly sessionTimeoutMs?: number;
  /** A consumer that fetches nothing, or is not handed what there is, for so long is replaced. */
  readonly stuckAfterMs?: number;
}

/** A killed member's partitions are taken over after so long; below it, a garbage collection is not a death. */
const SESSION_TIMEOUT_MS = 10_000;
const HEARTBEATS_PER_SESSION = 4;
const COMMIT_INTERVAL_MS = 1_000;
/** Below the heartbeats' interval, because one is only sent between two fetches. */
const MAX_WAIT_MS = 1_000;
const BYTES_PER_PARTITION_MAX = 1024 * 1024;
/** How long handlers that were told to stop may hold up the group. */
const REVOKE_GRACE_MS = 10_000;
/** Above what kafkajs itself may wait for a broker that does not answer. */
const STUCK_AFTER_MS = 60_000;
/** A handler that takes longer goes on beside the others. An ordinary batch is done by then. */
const HOLDS_UP_AFTER_MS = 2_000;
const DISCONNECT_TIMEOUT_MS = 5_000;
const WAIT_FOR_JOIN_MS = 20;

interface Seen {
  nextOffset: number;
  highWatermark: number;
}

export class GroupConsumer {
  private readonly stopping = new AbortController();
  private readonly heartbeatMs: number;
  private readonly sessionMs: number;
  private readonly stuckMs: number;
  private consumer: Consumer | undefined;
  private generation: Generation | undefined;
  private generations = 0;
  private running: Promise<void> | undefined;
  private readonly handlers = new Set<Promise<void>>();
  private readonly seen = new Map<string, Seen>();
  private readonly watchdog: GroupWatch;
  /** As the group knows the consumer before, whose session it may still wait for. */
  private formerMember: string | undefined;
  private paused = false;
  private fatal = false;

  constructor(
    private readonly kafka: Kafka,
    private readonly log: KafkaLog,
    private readonly options: GroupConsumerOptions,
    private readonly onClosed: () => void = () => {},
  ) {
    this.sessionMs = options.sessionTimeoutMs ?? SESSION_TIMEOUT_MS;
    this.heartbeatMs = Math.floor(this.sessionMs / HEARTBEATS_PER_SESSION);
    this.stuckMs = options.stuckAfterMs ?? STUCK_AFTER_MS;
    this.watchdog = new GroupWatch(kafka, log, options.groupId, this.stuckMs, () => this.watched());
  }

  /** Begins to consume, and returns; Kafka is waited for as long as it takes. */
  start(): void {
    this.running ??= this.run();
  }

  /** The number of the current generation, or undefined while nothing is assigned. */
  get currentGeneration(): number | undefined {
    return this.generation?.number;
  }

  /** By `topic/partition`, how many offsets lie between what was handled here and the end seen at the last fetch. */
  lagRecords(): Map<string, number> {
    const lag = new Map<string, number>();
    for (const [name, { nextOffset, highWatermark }] of this.seen)
      lag.set(name, Math.max(0, highWatermark - nextOffset));
    return lag;
  }

  /** Fetches nothing more until `resume`; stays in the group and keeps its partitions. */
  pause(): void {
    this.paused = true;
    this.applyPauses(this.consumer);
  }

  resume(): void {
    this.paused = false;
    this.applyPauses(this.consumer);
  }

  /** All of them at once: in kafkajs, pausing a partition resumes its topic. */
  private applyPauses(consumer: Consumer | undefined): void {
    const topics = this.options.topics.map((topic) => ({ topic }));
    if (this.paused) {
      consumer?.pause(topics);
      return;
    }
    consumer?.resume(topics);
    const heldUp = this.generation?.heldUp.values() ?? [];
    consumer?.pause([...heldUp].map(({ topic, partition }) => ({ topic, partitions: [partition] })));
  }

  /** Tells the handlers to stop, waits for them (bounded), commits, and leaves the group so that others take over at once. */
  async close(): Promise<void> {
    this.stopping.abort();
    await this.running;
    this.onClosed();
  }

  private async run(): Promise<void> {
    const { signal } = this.stopping;
    for (let attempt = 1; !signal.aborted; attempt++) {
      const startedAtMs = Date.now();
      const cause = await this.consume().catch((error: unknown) => error);
      if (signal.aborted) return;
      // One that worked for a while has earned a fresh start.
      if (Date.now() - startedAtMs > this.stuckMs) attempt = 1;
      const fields = { groupId: this.options.groupId, attempt, cause: describeError(cause) };
      if (attempt === 1 || attempt % 8 === 0) this.log.warn('kafka.group.restarting', fields);
      else this.log.debug('kafka.group.restarting', fields);
      await pause(backoffMs(attempt), signal);
    }
  }

  /** One kafkajs consumer's life. Returns why it ended. */
  private async consume(): Promise<unknown> {
    const { groupId, topics, maxBytesPerPartition, maxWaitMs, partitionsConsumedConcurrently } = this.options;
    if (this.formerMember !== undefined && (await hasLeft(this.kafka, groupId, this.formerMember))) {
      this.formerMember = undefined;
    }
    const consumer = this.kafka.consumer({
      groupId,
      allowAutoTopicCreation: false,
      sessionTimeout: this.sessionMs,
      heartbeatInterval: this.heartbeatMs,
      maxBytesPerPartition: maxBytesPerPartition ?? BYTES_PER_PARTITION_MAX,
      maxWaitTimeInMs: maxWaitMs ?? MAX_WAIT_MS,
      // The second is what members of an earlier version know: a group takes what all of its members know.
      partitionAssigners: [samePartitionAssigner, kafkajs.PartitionAssigners.roundRobin],
      retry: { retries: 3, initialRetryTime: 100, maxRetryTime: 1_000, restartOnFailure: async () => false },
    });
    const watch = this.watch(consumer);
    const commits = setInterval(() => void this.commit(consumer), COMMIT_INTERVAL_MS);
    try {
      await consumer.connect();
      await consumer.subscribe({ topics: [...topics], fromBeginning: true });
      const run = consumer.run({
        autoCommit: false,
        eachBatchAutoResolve: false,
        partitionsConsumedConcurrently: partitionsConsumedConcurrently ?? 1,
        eachBatch: (payload) => this.eachBatch(payload, consumer),
      });
      this.consumer = consumer;
      return await Promise.race([watch.ended, run.then(() => watch.ended)]);
    } finally {
      clearInterval(commits);
      // Also when it never ran, in an outage: each attempt would leave its timer and its consumer behind.
      watch.end(undefined);
      await this.endGeneration(consumer);
      this.consumer = undefined;
      const left = within(DISCONNECT_TIMEOUT_MS, 'the consumer did not disconnect', consumer.disconnect());
      await left.catch((error: unknown) =>
        this.log.warn('kafka.group.disconnect_failed', { groupId, error: describeError(error) }),
      );
    }
  }

  /** Follows the consumer's events until `end`. `ended` has why it ended: crashed, stuck, or told to stop. */
  private watch(consumer: Consumer): { readonly ended: Promise<unknown>; readonly end: (cause: unknown) => void } {
    const { events } = consumer;
    const fetched = () => {
      // Fetching without an assignment is not life: a join that failed silently looks so.
      if (this.generation !== undefined) this.watchdog.fetched();
    };
    consumer.on(events.FETCH, fetched);
    consumer.on(events.GROUP_JOIN, ({ payload }) => {
      this.formerMember = payload.memberId;
      this.beginGeneration(consumer, payload.memberAssignment);
      fetched();
    });
    consumer.on(events.REBALANCING, () => void this.endGeneration(consumer));
    const { promise: ended, resolve } = Promise.withResolvers<unknown>();
    const end = (cause: unknown) => {
      this.watchdog.stop();
      this.stopping.signal.removeEventListener('abort', stopped);
      resolve(cause);
    };
    const stopped = () => end(undefined);
    this.stopping.signal.addEventListener('abort', stopped, { once: true });
    if (this.stopping.signal.aborted) stopped();
    consumer.on(events.CRASH, ({ payload }) => end(payload.error));
    if (!this.stopping.signal.aborted) this.watchdog.start(end);
    return { ended, end };
  }

  private beginGeneration(consumer: Consumer, memberAssignment: Record<string, number[]>): void {
    // Joining again without a rebalance event happens too, for example when the coordinator has forgotten the member.
    void this.endGeneration(consumer);
    const number = ++this.generations;
    const assignment = Object.entries(memberAssignment).flatMap(([topic, partitions]) =>
      partitions.map((partition) => ({ topic, partition })),
    );
    const revoke = new AbortController();
    const ready = this.endOfFormerHandlers().then(() =>
      revoke.signal.aborted ? undefined : this.options.onAssigned?.(assignment, number, revoke.signal),
    );
    ready.catch((error: unknown) => {
      if (!revoke.signal.aborted) this.fail(error);
    });
    this.seen.clear();
    this.generation = {
      number,
      assignment,
      revoke,
      ready,
      toCommit: new Map(),
      handled: new Map(),
      handling: new Set(),
      heldUp: new Map(),
    };
    this.applyPauses(consumer);
    this.log.info('kafka.group.assigned', {
      groupId: this.options.groupId,
      generation: number,
      partitions: assignment.length,
    });
  }

  private watched(): WatchedMember | undefined {
    if (this.generation === undefined || this.paused) return undefined;
    const { assignment, handled, handling } = this.generation;
    return { idle: assignment.filter(({ topic, partition }) => !handling.has(`${topic}/${partition}`)), handled };
  }

  /** The first thing that happens, before anything is awaited, is that the generation can store nothing more. */
  private async endGeneration(consumer: Consumer): Promise<void> {
    const generation = this.generation;
    if (generation === undefined) return;
    this.generation = undefined;
    // A handler that ends within the grace has done its work under the old membership, which holds until we join again.
    generation.revoke.abort();
    try {
      this.options.onRevoked?.(generation.assignment, generation.number);
    } catch (error) {
      this.fail(error);
    }
    this.log.info('kafka.group.revoked', { groupId: this.options.groupId, generation: generation.number });
    await this.commitOf(generation, consumer);
    await this.endOfFormerHandlers();
  }

  /** They were told to stop; a partition that comes back to this member is not handled by two of its own at once. */
  private async endOfFormerHandlers(): Promise<void> {
    const grace = new AbortController();
    await Promise.race([Promise.allSettled([...this.handlers]), pause(REVOKE_GRACE_MS, grace.signal)]);
    grace.abort();
  }

  private async eachBatch(payload: EachBatchPayload, consumer: Consumer): Promise<void> {
    const generation = this.generation;
    if (generation === undefined || !payload.isRunning() || payload.isStale()) {
      // The batch is fetched again under the next generation; until then it would be fetched without a pause.
      await pause(WAIT_FOR_JOIN_MS);
      return;
    }
    const { topic, partition } = payload.batch;
    const name = `${topic}/${partition}`;
    generation.handling.add(name);
    const handling = this.handle(generation, payload);
    this.handlers.add(handling);
    let rebalancing: Error | undefined;
    const endHeartbeats = keepMembership(
      () => payload.heartbeat(),
      this.heartbeatMs,
      (error) => {
        // Stop working, so that the runner can join again.
        rebalancing = error;
        if (this.generation === generation) void this.endGeneration(consumer);
      },
    );
    const revoked = generation.revoke.signal;
    const { promise: gone, resolve } = Promise.withResolvers<boolean>();
    const afterGrace = (): void =>
      void pause(REVOKE_GRACE_MS).then(() => {
        endHeartbeats();
        resolve(true);
      });
    revoked.addEventListener('abort', afterGrace, { once: true });
    const handled = handling.then(() => {
      endHeartbeats();
      // It holds the batch, and a generation may last for weeks.
      revoked.removeEventListener('abort', afterGrace);
      this.handlers.delete(handling);
      generation.handling.delete(name);
      if (generation.heldUp.delete(name) && this.generation === generation) this.applyPauses(consumer);
      return true;
    });
    const given = new AbortController();
    const holdsUp = pause(HOLDS_UP_AFTER_MS, given.signal).then(() => false);
    const isOver = await Promise.race([handled, gone, holdsUp]);
    given.abort();
    if (rebalancing !== undefined) throw rebalancing;
    if (isOver || this.generation !== generation) return;
    // Not resolved, so that it is the next to be fetched if this handler does not come to its end.
    generation.heldUp.set(name, { topic, partition });
    this.applyPauses(consumer);
  }

  /** Never rejects: a handler's bug ends the consumer by another way than kafkajs, which would try for ever. */
  private async handle(generation: Generation, payload: EachBatchPayload): Promise<void> {
    const { batch } = payload;
    const { topic, partition } = batch;
    const { signal } = generation.revoke;
    const name = `${topic}/${partition}`;
    const highWatermark = Number(batch.highWatermark) as Offset;
    const nextOffset = offsetAfter(batch);
    try {
      await generation.ready;
      if (signal.aborted) return;
      const records = batch.messages.map((message) => recordFrom(topic, partition, message as FetchedMessage));
      this.seen.set(name, { nextOffset: records[0]?.offset ?? nextOffset, highWatermark });
      const handledTo = (offset: number): void => {
        if (this.generation !== generation || signal.aborted) return;
        generation.handled.set(name, offset);
        generation.toCommit.set(name, { topic, partition, offset: String(offset) });
      };
      const { number } = generation;
      await this.options.onBatch({ topic, partition, records, highWatermark, generation: number, signal, handledTo });
    } catch (error) {
      if (!signal.aborted) this.fail(error);
      return;
    }
    if (this.generation !== generation || signal.aborted) return;
    payload.resolveOffset(String(nextOffset - 1));
    generation.handled.set(name, nextOffset);
    generation.toCommit.set(name, { topic, partition, offset: String(nextOffset) });
    this.seen.set(name, { nextOffset, highWatermark });
  }

  private async commit(consumer: Consumer): Promise<void> {
    if (this.generation !== undefined) await this.commitOf(this.generation, consumer);
  }

  /** A commit that fails is repeated with the next one; at the end of a generation, its records are handled again. */
  private async commitOf(generation: Generation, consumer: Consumer): Promise<void> {
    if (generation.toCommit.size === 0) return;
    const committing = new Map(generation.toCommit);
    generation.toCommit.clear();
    try {
      await consumer.commitOffsets([...committing.values()]);
    } catch (error) {
      for (const [name, entry] of committing) if (!generation.toCommit.has(name)) generation.toCommit.set(name, entry);
      const fields = { groupId: this.options.groupId, generation: generation.number, error: describeError(error) };
      this.log.warn('kafka.group.commit_failed', fields);
    }
  }

  private fail(error: unknown): void {
    if (this.fatal || this.stopping.signal.aborted) return;
    this.fatal = true;
    this.log.error('kafka.group.fatal', { groupId: this.options.groupId, error: describeError(error) });
    this.stopping.abort();
    this.options.onFatal(error);
  }
}
