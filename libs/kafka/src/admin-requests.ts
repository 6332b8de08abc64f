/**
 * Requests of Kafka's protocol that kafkajs does not have: what this client may do, and how large the logs are. They go
 * over kafkajs' own connections, in the last version before Kafka's compact encoding, which every broker since 2.3 takes.
 */
import { createRequire } from 'node:module';
import type { Cluster, Kafka } from 'kafkajs';
import { KafkaConnection } from './kafka-connection.js';

const require = createRequire(import.meta.url);

interface Encoder {
  writeInt8(value: number): Encoder;
  writeString(value: string): Encoder;
  writeInt32(value: number): Encoder;
  writeBoolean(value: boolean): Encoder;
  writeNullableArray(values: readonly string[]): Encoder;
  writeArray(values: readonly string[]): Encoder;
}
interface Decoder {
  readInt16(): number;
  readInt32(): number;
  readInt64(): { toString(): string };
  readString(): string;
  readBytes(): Buffer;
  readBoolean(): boolean;
  readArray<T>(read: (decoder: Decoder) => T): T[];
}
const EncoderClass = require('kafkajs/src/protocol/encoder.js') as new () => Encoder;
const DecoderClass = require('kafkajs/src/protocol/decoder.js') as new (data: Buffer) => Decoder;

interface RawBroker {
  readonly versions: Readonly<Record<number, { readonly maxVersion: number }>>;
  readonly connectionPool: { send(request: object): Promise<unknown> };
}

const METADATA = { apiKey: 3, apiVersion: 8, apiName: 'Metadata' };
const FIND_COORDINATOR = { apiKey: 10, apiVersion: 1, apiName: 'GroupCoordinator' };
const DESCRIBE_GROUPS = { apiKey: 15, apiVersion: 3, apiName: 'DescribeGroups' };
const DESCRIBE_LOG_DIRS = { apiKey: 35, apiVersion: 1, apiName: 'DescribeLogDirs' };

/** What is coordinated. */
const OF_A_GROUP = 0;
const NONE = 0;
const TOPIC_AUTHORIZATION_FAILED = 29;
const GROUP_AUTHORIZATION_FAILED = 30;

/** By Kafka's code of each operation, a bit. `denied`: not even to know of it. `unknown`: the broker cannot say. */
export type AuthorisedOperations = number | 'denied' | 'unknown';

export interface LogSize {
  readonly topic: string;
  readonly partition: number;
  /** On the disk of one broker. */
  readonly sizeBytes: number;
}

export class AdminRequests {
  private constructor(private readonly connection: KafkaConnection) {}

  static async open(kafka: Kafka): Promise<AdminRequests> {
    const connection = await KafkaConnection.open(kafka);
    await connection.refreshLeaders();
    return new AdminRequests(connection);
  }

  close(): Promise<void> {
    return this.connection.close();
  }

  /**
   * What this client may do with each topic, and with the cluster where that is asked for: a broker logs it as a refusal
   * when it may do nothing. A topic that does not exist is `unknown`.
   */
  async topicOperations(
    topics: readonly string[],
    withCluster: boolean,
  ): Promise<{
    readonly cluster: AuthorisedOperations;
    readonly topics: ReadonlyMap<string, AuthorisedOperations>;
  }> {
    const request = new EncoderClass().writeNullableArray(topics).writeBoolean(false);
    const answer = await send(
      await this.anyBroker(),
      METADATA,
      request.writeBoolean(withCluster).writeBoolean(true),
      metadata,
    );
    if (answer === undefined) return { cluster: 'unknown', topics: new Map() };
    return {
      // To whoever may not describe the cluster, nothing is said of the rest.
      cluster: answer.clusterOperations === 0 ? 'denied' : answer.clusterOperations,
      topics: new Map(
        answer.topics.map(({ errorCode, name, operations }) => [
          name,
          errorCode === TOPIC_AUTHORIZATION_FAILED ? 'denied' : errorCode === NONE ? operations : 'unknown',
        ]),
      ),
    };
  }

  /** What this client may do with a group, whether it exists or not; `unknown` while no broker coordinates it. */
  async groupOperations(groupId: string): Promise<AuthorisedOperations> {
    // kafkajs' own search tells a refusal from an outage no more.
    const body = new EncoderClass().writeString(groupId).writeInt8(OF_A_GROUP);
    const found = await send(await this.anyBroker(), FIND_COORDINATOR, body, coordinator);
    if (found?.errorCode === GROUP_AUTHORIZATION_FAILED) return 'denied';
    if (found?.errorCode !== NONE) return 'unknown';
    const request = new EncoderClass().writeArray([groupId]).writeBoolean(true);
    const [group] = (await send(await this.broker(found.nodeId), DESCRIBE_GROUPS, request, groups)) ?? [];
    if (group?.errorCode === GROUP_AUTHORIZATION_FAILED) return 'denied';
    return group?.errorCode === NONE ? group.operations : 'unknown';
  }

  /** Of each broker, its replicas of every partition. @returns undefined when this client may not ask */
  async logSizes(): Promise<readonly (readonly LogSize[])[] | undefined> {
    const sizes: (readonly LogSize[])[] = [];
    for (const nodeId of this.connection.cluster.getNodeIds()) {
      const broker = await this.broker(nodeId);
      // Null: all of them.
      const answer = await send(broker, DESCRIBE_LOG_DIRS, new EncoderClass().writeInt32(-1), logDirs);
      // A broker that does not permit it names no folder, and in this version no error.
      if (answer === undefined || answer.length === 0) return undefined;
      sizes.push(answer.flatMap(({ logs }) => logs));
    }
    return sizes;
  }

  private async broker(nodeId: number): Promise<RawBroker> {
    return (await this.connection.cluster.findBroker({ nodeId: String(nodeId) })) as unknown as RawBroker;
  }

  private async anyBroker(): Promise<RawBroker> {
    const { brokerPool } = this.connection.cluster as Cluster & {
      brokerPool: { findConnectedBroker(): Promise<RawBroker> };
    };
    return brokerPool.findConnectedBroker();
  }
}

/** @returns undefined when the broker is older than the request's version */
async function send<T>(
  broker: RawBroker,
  about: typeof METADATA,
  body: Encoder,
  read: (decoder: Decoder) => T,
): Promise<T | undefined> {
  if ((broker.versions[about.apiKey]?.maxVersion ?? -1) < about.apiVersion) return undefined;
  const answer = await broker.connectionPool.send({
    request: { ...about, encode: () => Promise.resolve(body) },
    response: {
      decode: (data: Buffer) => Promise.resolve(read(new DecoderClass(data))),
      parse: (decoded: T) => Promise.resolve(decoded),
    },
  });
  return answer as T;
}

function metadata(decoder: Decoder) {
  decoder.readInt32(); // throttled for so long
  decoder.readArray((broker) => {
    broker.readInt32();
    broker.readString();
    broker.readInt32();
    return broker.readString();
  });
  decoder.readString(); // cluster id
  decoder.readInt32(); // controller
  const topics = decoder.readArray((topic) => {
    const errorCode = topic.readInt16();
    const name = topic.readString();
    topic.readBoolean(); // internal
    topic.readArray((partition) => {
      partition.readInt16();
      for (let field = 0; field < 3; field++) partition.readInt32(); // index, leader, epoch
      for (let list = 0; list < 3; list++) partition.readArray((replica) => replica.readInt32());
      return undefined;
    });
    return { errorCode, name, operations: topic.readInt32() };
  });
  return { topics, clusterOperations: decoder.readInt32() };
}

function coordinator(decoder: Decoder) {
  decoder.readInt32();
  const errorCode = decoder.readInt16();
  decoder.readString(); // in words
  return { errorCode, nodeId: decoder.readInt32() };
}

function groups(decoder: Decoder) {
  decoder.readInt32();
  return decoder.readArray((group) => {
    const errorCode = group.readInt16();
    for (let field = 0; field < 4; field++) group.readString(); // id, state, protocol's type and name
    group.readArray((member) => {
      for (let field = 0; field < 3; field++) member.readString();
      member.readBytes();
      return member.readBytes();
    });
    return { errorCode, operations: group.readInt32() };
  });
}

function logDirs(decoder: Decoder) {
  decoder.readInt32();
  return decoder.readArray((folder) => {
    folder.readInt16(); // an error of the disk
    folder.readString();
    const logs = folder.readArray((topic) => {
      const name = topic.readString();
      return topic.readArray((partition): LogSize => {
        const log = {
          topic: name,
          partition: partition.readInt32(),
          sizeBytes: Number(partition.readInt64().toString()),
        };
        partition.readInt64(); // behind
        partition.readBoolean(); // being moved here
        return log;
      });
    });
    return { logs: logs.flat() };
  });
}
