/**
 * The plain protocol operations under the publisher and the log reader: which broker leads a partition, produce,
 * fetch, and the ends of a log. No groups, no retries, no state beyond the metadata: whoever uses a connection retries,
 * with a new one when this one is broken.
 *
 * kafkajs has these operations, typed, on the cluster that it hands to a consumer's partition assigner; a consumer is
 * made to get that cluster, and never joins a group. So a reader that knows its partitions needs no coordinator, is
 * never rebalanced, and learns of an offset that does not exist instead of being moved silently.
 */
import type { Cluster, Kafka, Message } from 'kafkajs';
import { Failure } from '#domain/errors.js';
import type { Offset } from '#domain/ids.js';
import { within } from './backoff.js';
import { partialProduceResponse, withoutAborted, type ProduceResponse } from './kafkajs-workarounds.js';
import { endOfMessages, recordFrom, type KafkaRecord, type RawMessage } from './kafka-record.js';

/** A broker that does not answer for so long is treated as gone, although its connection stands (upstream 659). */
const ANSWER_TIMEOUT_MS = 20_000;
/** How long a broker may wait for its replicas; less than the answer's timeout, so that the broker's error arrives. */
const REPLICATION_TIMEOUT_MS = 12_000;
const READ_COMMITTED = 1;
const ALL_REPLICAS = -1;

export interface PartitionBatch {
  readonly topic: string;
  readonly partition: number;
  readonly messages: readonly Message[];
}

export interface ProduceOutcome {
  readonly topic: string;
  readonly partition: number;
  /** Kafka's; 0 is success. */
  readonly errorCode: number;
  /** The first record's, when the code is 0. */
  readonly baseOffset: number;
}

export interface FetchedPartition {
  readonly partition: number;
  readonly records: KafkaRecord[];
  /** Exclusive: past every record that the broker sent, also those that readers are not shown. Equal to the offset asked for when it sent none. */
  readonly nextOffset: Offset;
  /** Exclusive end of what committed readers may see now. */
  readonly highWatermark: Offset;
}

export interface LogEnds {
  /** Inclusive: the first offset that exists. */
  readonly low: Offset;
  /** Exclusive: the offset that the next record will get. */
  readonly high: Offset;
}

interface LeavableGroup {
  leaveGroup(member: { readonly groupId: string; readonly memberId: string }): Promise<unknown>;
}

interface RawPartition {
  readonly partition: number;
  readonly highWatermark: string;
  readonly lastStableOffset?: string;
  readonly abortedTransactions?: unknown[];
  readonly messages: RawMessage[];
}

export class KafkaConnection {
  private readonly topics = new Set<string>();

  private constructor(
    /** For requests of a kind that are not here. */
    readonly cluster: Cluster,
  ) {}

  static async open(kafka: Kafka): Promise<KafkaConnection> {
    let cluster: Cluster | undefined;
    kafka.consumer({
      groupId: 'never-joined',
      allowAutoTopicCreation: false,
      partitionAssigners: [
        (given) => {
          cluster = given.cluster;
          return {
            name: 'none',
            version: 0,
            assign: async () => [],
            protocol: () => ({ name: 'none', metadata: Buffer.alloc(0) }),
          };
        },
      ],
    });
    if (cluster === undefined) throw new Error('kafkajs no longer hands its cluster to the partition assigner');
    await within(ANSWER_TIMEOUT_MS, 'no broker answered', cluster.connect());
    return new KafkaConnection(cluster);
  }

  /** @throws a kafkajs error UNKNOWN_TOPIC_OR_PARTITION when the topic does not exist, which leaves the others alone */
  async useTopic(topic: string): Promise<void> {
    await within(ANSWER_TIMEOUT_MS, 'no metadata', this.cluster.addTargetTopic(topic));
    this.topics.add(topic);
  }

  async refreshLeaders(): Promise<void> {
    await within(ANSWER_TIMEOUT_MS, 'no metadata', this.cluster.refreshMetadata());
  }

  /** 0 while the topic is not in use. */
  partitionCount(topic: string): number {
    if (!this.topics.has(topic)) return 0;
    return this.cluster.findTopicPartitionMetadata(topic).length;
  }

  /** @returns the leader's node id, or undefined while there is none */
  leaderOf(topic: string, partition: number): string | undefined {
    const leader = this.cluster.findTopicPartitionMetadata(topic).find((p) => p.partitionId === partition)?.leader;
    return leader === undefined || leader < 0 ? undefined : String(leader);
  }

  /** One request. Rejects only when the broker did not answer; what it refused is in the outcomes. */
  async produce(nodeId: string, batches: readonly PartitionBatch[]): Promise<ProduceOutcome[]> {
    const byTopic = new Map<string, { partition: number; firstSequence: number; messages: Message[] }[]>();
    for (const { topic, partition, messages } of batches) {
      const partitions = byTopic.get(topic) ?? [];
      partitions.push({ partition, firstSequence: 0, messages: messages as Message[] });
      byTopic.set(topic, partitions);
    }
    const topicData = [...byTopic].map(([topic, partitions]) => ({ topic, partitions }));
    const broker = await this.broker(nodeId);
    let response: ProduceResponse | undefined;
    try {
      response = await within(
        ANSWER_TIMEOUT_MS,
        'the broker did not answer a produce request',
        // Untyped upstream.
        broker.produce({ topicData, acks: ALL_REPLICAS, timeout: REPLICATION_TIMEOUT_MS }) as Promise<ProduceResponse>,
      );
    } catch (error) {
      response = partialProduceResponse(error);
      if (response === undefined) throw error;
    }
    const outcomes: ProduceOutcome[] = [];
    for (const { topicName, partitions } of response.topics) {
      for (const { partition, errorCode, baseOffset } of partitions) {
        outcomes.push({ topic: topicName, partition, errorCode, baseOffset: Number(baseOffset) });
      }
    }
    return outcomes;
  }

  /** One long poll: answers as soon as there is a byte to read, at the latest after `maxWaitMs`. */
  async fetch(
    nodeId: string,
    topic: string,
    positions: readonly { readonly partition: number; readonly fetchOffset: Offset }[],
    limits: { readonly maxWaitMs: number; readonly maxBytes: number; readonly maxBytesPerPartition: number },
  ): Promise<FetchedPartition[]> {
    const broker = await this.broker(nodeId);
    const request = {
      isolationLevel: READ_COMMITTED,
      maxWaitTime: limits.maxWaitMs,
      minBytes: 1,
      maxBytes: limits.maxBytes,
      topics: [
        {
          topic,
          partitions: positions.map(({ partition, fetchOffset }) => ({
            partition,
            fetchOffset: String(fetchOffset),
            maxBytes: limits.maxBytesPerPartition,
          })),
        },
      ],
    };
    const timeoutMs = limits.maxWaitMs + ANSWER_TIMEOUT_MS;
    const answer = (await within(timeoutMs, 'the broker did not answer a fetch', broker.fetch(request))) as {
      responses: { topicName: string; partitions: RawPartition[] }[];
    };
    const asked = new Map(positions.map(({ partition, fetchOffset }) => [partition, fetchOffset]));
    return answer.responses.flatMap((response) =>
      response.partitions.map((raw) => fetchedPartition(topic, raw, asked.get(raw.partition)!)),
    );
  }

  /** The ends of the logs of these partitions. The topic must be in use. */
  async logEnds(topic: string, partitions: readonly number[]): Promise<Map<number, LogEnds>> {
    const wanted = partitions.map((partition) => ({ partition }));
    const ask = (fromBeginning: boolean) =>
      within(
        ANSWER_TIMEOUT_MS,
        'the broker did not say where the log ends',
        this.cluster.fetchTopicsOffset([{ topic, partitions: wanted, fromBeginning }]),
      );
    // The low end first: a log only grows, so the pair is consistent.
    const [lows] = await ask(true);
    const [highs] = await ask(false);
    const ends = new Map<number, LogEnds>();
    for (const { partition, offset } of lows?.partitions ?? []) {
      const high = highs?.partitions.find((p) => p.partition === partition)?.offset;
      if (high !== undefined) ends.set(partition, { low: Number(offset) as Offset, high: Number(high) as Offset });
    }
    for (const partition of partitions) {
      if (!ends.has(partition)) {
        throw new Failure(
          'PARTITION_MISSING',
          `Partition ${partition} of ${topic} has no leader or does not exist.`,
          true,
        );
      }
    }
    return ends;
  }

  /** Ends the membership of a consumer that is no more: its group need not wait until its session times out. */
  async leaveGroup(groupId: string, memberId: string): Promise<void> {
    const coordinator = await within(
      ANSWER_TIMEOUT_MS,
      'no coordinator of the group',
      this.cluster.findGroupCoordinator({ groupId }),
    );
    // Untyped upstream.
    const leaving = (coordinator as unknown as LeavableGroup).leaveGroup({ groupId, memberId });
    await within(ANSWER_TIMEOUT_MS, 'the group was not left', leaving);
  }

  /** Closes when the requests in flight have ended; nobody needs to wait for it. */
  close(): Promise<void> {
    return this.cluster.disconnect().catch(() => undefined);
  }

  private broker(nodeId: string) {
    return within(ANSWER_TIMEOUT_MS, `broker ${nodeId} cannot be reached`, this.cluster.findBroker({ nodeId }));
  }
}

function fetchedPartition(topic: string, raw: RawPartition, fetchOffset: Offset): FetchedPartition {
  const nextOffset = Math.max(fetchOffset, endOfMessages(raw.messages)) as Offset;
  // A batch is sent whole, also when the offset asked for is in its middle.
  const asked = raw.messages.filter((message) => Number(message.offset) >= fetchOffset);
  const visible = withoutAborted({ messages: asked, abortedTransactions: raw.abortedTransactions });
  const records: KafkaRecord[] = [];
  for (const message of visible) {
    if (!message.isControlRecord) records.push(recordFrom(topic, raw.partition, message));
  }
  const stable = Number(raw.lastStableOffset ?? -1);
  const highWatermark = (stable >= 0 ? stable : Number(raw.highWatermark)) as Offset;
  return { partition: raw.partition, records, nextOffset, highWatermark };
}
