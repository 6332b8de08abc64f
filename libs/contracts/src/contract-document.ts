/**
 * The whole contract as one JSON document: what is published with a release, and what a later version is compared with
 * (contract-compatibility.ts). It leaves out words: a summary may change.
 */
import { jsonSchemaOf, withoutWords, type JsonSchema } from './json-schema.js';
import type { Message, Partitioning, TopicMessages } from './message.js';
import { isInbound, isPublic, MESSAGE_REGISTRY, productionTopic } from './message-registry.js';

export interface PublishedBytes {
  readonly contentTypes: readonly string[];
  readonly sizeBytesMax: number;
  readonly mayBeNull: boolean;
}

export interface PublishedMessage {
  /** `inbound`: outside systems send it. `outbound`: they read it. `internal`: neither. */
  readonly direction: 'inbound' | 'outbound' | 'internal';
  readonly headers: JsonSchema;
  /** Of JSON, null included where it means something; `{ "type": "null" }` of what is always null; null of bytes. */
  readonly value: JsonSchema | null;
  readonly bytes: PublishedBytes | null;
}

export interface PublishedTopic {
  readonly partitions: number;
  readonly partitioning: Partitioning;
  /** Null: records have no key. */
  readonly key: JsonSchema | null;
  /** Settings that others rely on: how long records are kept, how large they may be, whose clock stamps them. */
  readonly settings: Readonly<Record<string, string>>;
  /** By CloudEvents type. */
  readonly messages: Readonly<Record<string, PublishedMessage>>;
}

export interface Contract {
  /** Of this software. */
  readonly version: string;
  readonly topics: Readonly<Record<string, PublishedTopic>>;
}

const SETTINGS = ['cleanup.policy', 'retention.ms', 'max.message.bytes', 'message.timestamp.type'];

export function contractOf(version: string, registry: readonly TopicMessages[] = MESSAGE_REGISTRY): Contract {
  return { version, topics: Object.fromEntries(registry.map((topic) => [topic.topic, publishedTopic(topic)])) };
}

function publishedTopic(topic: TopicMessages): PublishedTopic {
  const { partitions, config } = productionTopic(topic);
  return {
    partitions,
    partitioning: topic.partitioning,
    key: topic.key === undefined ? null : withoutWords(jsonSchemaOf(topic.key)),
    settings: Object.fromEntries(
      SETTINGS.flatMap((name) => (config[name] === undefined ? [] : [[name, config[name]]])),
    ),
    messages: Object.fromEntries(topic.messages.map((message) => [message.type, publishedMessage(message, topic)])),
  };
}

function publishedMessage(message: Message, topic: TopicMessages): PublishedMessage {
  const { value } = message;
  return {
    direction: isInbound(message) ? 'inbound' : isPublic(topic) ? 'outbound' : 'internal',
    headers: withoutWords(jsonSchemaOf(message.headers)),
    value: value.kind === 'bytes' ? null : withoutWords(valueSchema(message)!),
    bytes: publishedBytes(message),
  };
}

function publishedBytes({ value, nullMeans }: Message): PublishedBytes | null {
  if (value.kind !== 'bytes') return null;
  const { contentTypes, sizeBytesMax } = value;
  return { contentTypes, sizeBytesMax, mayBeNull: nullMeans !== undefined };
}

/** Of a value that is JSON or null; undefined of bytes. */
export function valueSchema(message: Message, target?: Parameters<typeof jsonSchemaOf>[1]): JsonSchema | undefined {
  const { value, nullMeans } = message;
  if (value.kind === 'bytes') return undefined;
  if (value.kind === 'none') return { type: 'null' };
  const schema = jsonSchemaOf(value.schema, target);
  return nullMeans === undefined ? schema : { anyOf: [schema, { type: 'null', description: nullMeans }] };
}
