/**
 * Notices that a consumer hangs, by two signs that it cannot fake: it fetches nothing; or the broker, asked over another
 * connection, has a record for it that it was not handed for too long. Heartbeats count for nothing: a member that only
 * says that it is there keeps its partitions from the others (kafkajs, upstream 659).
 */
import type { Admin, Kafka } from 'kafkajs';
import { describeError } from '#domain/errors.js';
import type { Offset } from '#domain/ids.js';
import { within } from './backoff.js';
import { KafkaConnection } from './kafka-connection.js';
import type { KafkaLog } from './kafka-record.js';

interface Place {
  readonly topic: string;
  readonly partition: number;
}

/** What a member has to do now. */
export interface WatchedMember {
  /** Partitions that are its own and that no handler works on: whoever is handled waits for something, and says so. */
  readonly idle: readonly Place[];
  /** By `topic/partition`, exclusive, as far as this member has come itself. */
  readonly handled: ReadonlyMap<string, number>;
}

const ASK_TIMEOUT_MS = 30_000;
/** One batch says whether there is something to read. */
const PEEK = { maxWaitMs: 100, maxBytes: 1, maxBytesPerPartition: 1 };

export class GroupWatch {
  private lastFetchMs = Date.now();
  /** By `topic/partition`, where it stood while the broker had more, and since when. */
  private waiting = new Map<string, { readonly position: number; readonly sinceMs: number }>();
  private timers: NodeJS.Timeout[] = [];
  private looking = false;

  constructor(
    private readonly kafka: Kafka,
    private readonly log: KafkaLog,
    private readonly groupId: string,
    private readonly stuckMs: number,
    /** undefined while nothing is assigned, or nothing is wanted. */
    private readonly member: () => WatchedMember | undefined,
  ) {}

  /** The consumer has fetched, with an assignment. */
  fetched(): void {
    this.lastFetchMs = Date.now();
  }

  start(onStuck: (why: Error) => void): void {
    this.lastFetchMs = Date.now();
    this.waiting.clear();
    const ofFetches = setInterval(() => {
      const silentMs = Date.now() - this.lastFetchMs;
      if (silentMs > this.stuckMs) onStuck(new Error(`it has fetched nothing for ${silentMs} ms`));
    }, this.stuckMs / 10);
    const ofProgress = setInterval(() => {
      if (this.looking) return;
      this.looking = true;
      void this.look().then((place) => {
        this.looking = false;
        const isWatched = this.timers.includes(ofProgress);
        if (place !== undefined && isWatched) onStuck(new Error(`it is not handed what there is of ${place}`));
      });
    }, this.stuckMs / 3);
    this.timers = [ofFetches, ofProgress];
  }

  stop(): void {
    for (const timer of this.timers.splice(0)) clearInterval(timer);
  }

  /** @returns a place where a record waits for too long; undefined also when the broker cannot be asked */
  private async look(): Promise<string | undefined> {
    const member = this.member();
    if (member === undefined) return undefined;
    try {
      return await this.stuckPlace(member);
    } catch (error) {
      // Away: then nobody is handed anything, and the fetches show it.
      this.log.debug('kafka.group.not_looked', { groupId: this.groupId, error: describeError(error) });
      return undefined;
    }
  }

  private async stuckPlace({ idle, handled }: WatchedMember): Promise<string | undefined> {
    const standing = new Map<string, { readonly position: number; readonly sinceMs: number }>();
    const behind = (await this.positions(idle, handled)).filter(({ name, position, end }) => {
      if (end <= position) return false;
      const before = this.waiting.get(name);
      standing.set(name, before?.position === position ? before : { position, sinceMs: Date.now() });
      return Date.now() - standing.get(name)!.sinceMs >= this.stuckMs;
    });
    this.waiting = standing;
    if (behind.length === 0) return undefined;
    // What is there may be nothing that readers are shown, such as the end of a transaction.
    const connection = await KafkaConnection.open(this.kafka);
    try {
      for (const { name, topic, partition, position } of behind) {
        await connection.useTopic(topic);
        const leader = connection.leaderOf(topic, partition);
        if (leader === undefined) continue;
        const from = [{ partition, fetchOffset: position as Offset }];
        const [found] = await connection.fetch(leader, topic, from, PEEK);
        if ((found?.records.length ?? 0) > 0) return `${name} from ${position}`;
      }
      return undefined;
    } finally {
      void connection.close();
    }
  }

  private async positions(
    idle: readonly Place[],
    handled: ReadonlyMap<string, number>,
  ): Promise<(Place & { readonly name: string; readonly position: number; readonly end: number })[]> {
    const { groupId } = this;
    const topics = [...new Set(idle.map(({ topic }) => topic))];
    return this.withAdmin(async (admin) => {
      const committed = await admin.fetchOffsets({ groupId, topics });
      const all = [];
      for (const topic of topics) {
        const ends = await admin.fetchTopicOffsets(topic);
        for (const { partition, low, high } of ends) {
          if (!idle.some((place) => place.topic === topic && place.partition === partition)) continue;
          const name = `${topic}/${partition}`;
          const ofTopic = committed.find((one) => one.topic === topic)?.partitions ?? [];
          const stored = Number(ofTopic.find((one) => one.partition === partition)?.offset ?? -1);
          const position = Math.max(Number(low), stored, handled.get(name) ?? 0);
          all.push({ topic, partition, name, position, end: Number(high) });
        }
      }
      return all;
    });
  }

  private async withAdmin<T>(ask: (admin: Admin) => Promise<T>): Promise<T> {
    const admin = this.kafka.admin();
    try {
      const answer = admin.connect().then(() => ask(admin));
      return await within(ASK_TIMEOUT_MS, 'the broker did not say how far the group is', answer);
    } finally {
      void admin.disconnect().catch(() => undefined);
    }
  }
}
