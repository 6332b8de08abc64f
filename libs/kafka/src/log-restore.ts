/**
 * Writes logs again as a backup has them: each record with its own timestamp, in its order, and so placed that a log ends
 * at the offset that is asked for.
 *
 * Offsets are facts here (an erasure covers what came from an offset or before), and Kafka gives them out itself, from 0.
 * So a log is filled with empty records up to where its first record is to stand, and these are deleted; the log then
 * begins there. Until {@link LogRestore.settle}, nothing is compacted, nothing expires, and the producer sets the times.
 */
import kafkajs, { type Admin, type Kafka } from 'kafkajs';
import type { DesiredTopic } from '#contracts/topics.js';
import { CodedError, describeError, Failure } from '#domain/errors.js';
import type { Offset } from '#domain/ids.js';
import { withAdmin } from './admin-session.js';
import { backoffMs, pause } from './backoff.js';
import { KafkaConnection, type LogEnds } from './kafka-connection.js';
import type { KafkaRecord } from './kafka-record.js';

export type RestoredRecord = Pick<KafkaRecord, 'key' | 'value' | 'headers' | 'timestampMs'>;

/** A request with so many takes a broker a few milliseconds; each has some ten bytes. */
const FILLERS_PER_REQUEST = 10_000;
const ATTEMPTS_MAX = 20;
/** While the records are written. Only a log that deletes can be emptied from its front. */
const WHILE_WRITTEN: Readonly<Record<string, string>> = {
  'cleanup.policy': 'delete',
  'retention.ms': '-1',
  'message.timestamp.type': 'CreateTime',
};
/** A group without members, and one that is not there. */
const IDLE_GROUPS = new Set(['Empty', 'Dead']);

export class LogRestore {
  private connection: KafkaConnection | undefined;

  constructor(
    private readonly kafka: Kafka,
    private readonly onClosed: () => void = () => {},
  ) {}

  async close(): Promise<void> {
    await this.connection?.close();
    this.connection = undefined;
    this.onClosed();
  }

  /** Those of these groups that have members now. @throws Failure KAFKA_UNAVAILABLE, KAFKA_NOT_AUTHORISED */
  async busyGroups(groupIds: readonly string[]): Promise<string[]> {
    return this.withCoordinator(async (admin) => {
      const { groups } = await admin.describeGroups([...groupIds]);
      return groups.filter(({ state }) => !IDLE_GROUPS.has(state)).map(({ groupId }) => groupId);
    });
  }

  /**
   * Has these topics, which must be there, as {@link begin} and {@link append} need them.
   *
   * @throws Failure KAFKA_UNAVAILABLE, KAFKA_NOT_AUTHORISED, TOPIC_CHANGE_FAILED
   */
  async prepare(topics: readonly DesiredTopic[]): Promise<void> {
    await this.setSettings(topics.map((topic) => ({ ...topic, config: openSettings(topic) })));
  }

  /** The topics as the services want them. @throws as {@link prepare} */
  async settle(topics: readonly DesiredTopic[]): Promise<void> {
    await this.setSettings(topics);
  }

  /**
   * Has each empty log of a topic begin, and end, at its offset; one that ends elsewhere was begun by an earlier run.
   *
   * @param starts by partition. Inclusive
   * @returns by partition, where the log ends now. Exclusive
   * @throws Failure KAFKA_UNAVAILABLE, TOPIC_CHANGE_FAILED, RESTORE_LOG_DIFFERS
   */
  async begin(topic: string, starts: ReadonlyMap<number, Offset>): Promise<Map<number, Offset>> {
    const before = await this.ends(topic, [...starts.keys()]);
    for (const [partition, start] of starts) {
      let { high } = before.get(partition)!;
      while (high < start) {
        const fillers = Array.from({ length: Math.min(FILLERS_PER_REQUEST, start - high) }, () => FILLER);
        high = await this.append(topic, partition, high, fillers);
      }
    }
    const toGo = [...starts].filter(([partition, start]) => before.get(partition)!.low < start);
    if (toGo.length > 0) {
      const partitions = toGo.map(([partition, start]) => ({ partition, offset: String(start) }));
      await withAdmin(this.kafka, async (admin) => {
        // kafkajs deletes only in topics that it has heard of.
        await admin.fetchTopicOffsets(topic);
        await admin.deleteTopicRecords({ topic, partitions });
      });
    }
    const after = await this.ends(topic, [...starts.keys()]);
    return new Map([...after].map(([partition, { high }]) => [partition, high]));
  }

  /** @throws Failure KAFKA_UNAVAILABLE */
  async ends(topic: string, partitions: readonly number[]): Promise<Map<number, LogEnds>> {
    return this.patiently((connection) => connection.logEnds(topic, partitions), topic);
  }

  /**
   * @param at where the first of the records must come to stand. Inclusive
   * @returns where the next one will stand
   * @throws Failure KAFKA_UNAVAILABLE, RESTORE_LOG_DIFFERS when somebody else has written to the log
   */
  async append(topic: string, partition: number, at: Offset, records: readonly RestoredRecord[]): Promise<Offset> {
    const messages = records.map(({ key, value, headers, timestampMs }) => ({
      key,
      value,
      headers: { ...headers },
      timestamp: String(timestampMs),
    }));
    const next = (at + records.length) as Offset;
    return this.patiently(async (connection, attempt) => {
      // What was not acknowledged may have been written nevertheless.
      const end = attempt === 1 ? at : (await connection.logEnds(topic, [partition])).get(partition)!.high;
      if (end === next) return next;
      if (end !== at) throw differs(topic, partition);
      const leader = connection.leaderOf(topic, partition);
      if (leader === undefined) throw new Error(`partition ${partition} of ${topic} has no leader`);
      const [outcome] = await connection.produce(leader, [{ topic, partition, messages }]);
      if (outcome?.errorCode !== 0) throw new Error(`Kafka refused the records with its code ${outcome?.errorCode}`);
      if (outcome.baseOffset !== at) throw differs(topic, partition);
      return next;
    }, topic);
  }

  /** How far a group has handled a topic, exclusive. @throws Failure KAFKA_UNAVAILABLE, TOPIC_CHANGE_FAILED */
  async setGroupOffsets(groupId: string, topic: string, offsets: ReadonlyMap<number, Offset>): Promise<void> {
    if (offsets.size === 0) return;
    const partitions = [...offsets].map(([partition, offset]) => ({ partition, offset: String(offset) }));
    await this.withCoordinator((admin) => admin.setOffsets({ groupId, topic, partitions }));
  }

  /** A Kafka that never had a group makes the topic of their offsets when it is first asked, and takes seconds for that. */
  private async withCoordinator<T>(use: (admin: Admin) => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await withAdmin(this.kafka, use);
      } catch (error) {
        const cause = error instanceof Failure ? describeError(error.cause) : '';
        if (!/coordinator/i.test(cause) || attempt === ATTEMPTS_MAX) throw error;
        await pause(backoffMs(attempt));
      }
    }
  }

  private async setSettings(topics: readonly DesiredTopic[]): Promise<void> {
    await withAdmin(this.kafka, (admin) =>
      admin.alterConfigs({
        validateOnly: false,
        resources: topics.map(({ name, config }) => ({
          type: kafkajs.ConfigResourceTypes.TOPIC,
          name,
          configEntries: Object.entries(config).map(([key, value]) => ({ name: key, value })),
        })),
      }),
    );
  }

  private async patiently<T>(
    use: (connection: KafkaConnection, attempt: number) => Promise<T>,
    topic: string,
  ): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        this.connection ??= await KafkaConnection.open(this.kafka);
        await this.connection.useTopic(topic);
        return await use(this.connection, attempt);
      } catch (cause) {
        if (cause instanceof CodedError) throw cause;
        await this.connection?.close();
        this.connection = undefined;
        if (attempt === ATTEMPTS_MAX) {
          throw new Failure('KAFKA_UNAVAILABLE', `Kafka did not take what is restored of ${topic}.`, true, { cause });
        }
        await pause(backoffMs(attempt));
      }
    }
  }
}

const FILLER: RestoredRecord = { key: null, value: null, headers: {}, timestampMs: 0 };

function openSettings({ config }: DesiredTopic): Record<string, string> {
  const kept = ['min.insync.replicas', 'unclean.leader.election.enable', 'max.message.bytes', 'compression.type'];
  const own = Object.entries(config).filter(([name]) => kept.includes(name));
  return { ...Object.fromEntries(own), ...WHILE_WRITTEN, 'message.timestamp.before.max.ms': '9223372036854775807' };
}

function differs(topic: string, partition: number): Failure {
  return new Failure(
    'RESTORE_LOG_DIFFERS',
    `Partition ${partition} of ${topic} has other records than this restore wrote: stop whatever writes to it, and begin with empty topics.`,
    false,
  );
}
