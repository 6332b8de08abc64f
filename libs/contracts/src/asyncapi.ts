/** The registry as an AsyncAPI 3.0 document: https://www.asyncapi.com/docs/reference/specification/v3.0.0 */
import { accessOf, covers, OUTSIDE_PRINCIPALS, OWN_PRINCIPALS, principalsWith, type Principal } from './access.js';
import { valueSchema } from './contract-document.js';
import { jsonSchemaOf, type JsonSchema } from './json-schema.js';
import type { Message, MessageValue, Partitioning, TopicMessages } from './message.js';
import { isPublic, MESSAGE_REGISTRY, productionTopic, topicName } from './message-registry.js';

const PARTITIONING: Readonly<Record<Partitioning, string>> = {
  key: 'The partition is murmur2 of the key, as the Java client’s default partitioner has it. librdkafka: partitioner=murmur2_random.',
  searchId: 'The partition is murmur2 of the searchId, with which the key begins.',
  single: 'One partition.',
  asked: 'The partition is the one that the query names.',
};

const DESCRIPTION = `What the services of Custody Face Search tell each other and other systems through Kafka: CloudEvents 1.0 in binary
mode, attributes as ce_ headers, the value as the data. Generated from libs/contracts; docs/kafka.md says how versions
come. Channels with the tag "public" are for other systems; those with "internal" may change with any release, as long as
two versions of this software can run beside each other.`;

type Node = Readonly<Record<string, unknown>>;

export function asyncApiDocument(version: string): Node {
  return {
    asyncapi: '3.0.0',
    info: {
      title: 'Custody Face Search',
      version,
      description: DESCRIPTION,
      license: { name: 'Apache 2.0', identifier: undefined, url: 'https://www.apache.org/licenses/LICENSE-2.0' },
      tags: [
        { name: 'public', description: 'Other systems send or read it.' },
        { name: 'internal', description: 'Between the services of this system alone.' },
      ],
    },
    defaultContentType: 'application/json',
    channels: Object.fromEntries(MESSAGE_REGISTRY.map((topic) => [channelId(topic), channel(topic)])),
    operations: Object.fromEntries(MESSAGE_REGISTRY.flatMap(operations)),
    components: {
      messages: Object.fromEntries(
        MESSAGE_REGISTRY.flatMap((topic) =>
          topic.messages.map((message) => [message.type, messageNode(message, topic)]),
        ),
      ),
    },
  };
}

function channelId({ topic }: TopicMessages): string {
  return topic.replace('{modelId}.', '');
}

function channel(topic: TopicMessages): Node {
  const { partitions, replication, config } = productionTopic(topic);
  return {
    address: topic.topic,
    summary: topic.summary,
    description: PARTITIONING[topic.partitioning],
    ...(topic.topic.includes('{modelId}') && {
      parameters: { modelId: { description: 'Of the model pack: 16 lower-case hexadecimal digits.' } },
    }),
    tags: [{ name: isPublic(topic) ? 'public' : 'internal' }],
    messages: Object.fromEntries(topic.messages.map(({ type }) => [type, { $ref: `#/components/messages/${type}` }])),
    bindings: {
      kafka: {
        partitions,
        replicas: replication,
        topicConfiguration: {
          'cleanup.policy': config['cleanup.policy']!.split(','),
          ...asNumber(config, 'retention.ms'),
          ...asNumber(config, 'delete.retention.ms'),
          ...asNumber(config, 'max.message.bytes'),
        },
        bindingVersion: '0.5.0',
      },
    },
    'x-outside': outside(topic),
  };
}

/** Which systems outside may send and receive. */
function outside(topic: TopicMessages): Node | undefined {
  const of = (operation: 'read' | 'write'): readonly Principal[] =>
    principalsWith(operation, topicName(topic)).filter((one) => OUTSIDE_PRINCIPALS.some((known) => known === one));
  const [send, receive] = [of('write'), of('read')];
  return send.length + receive.length === 0 ? undefined : { send, receive };
}

/** This system's own, a service each. */
function operations(topic: TopicMessages): [string, Node][] {
  const channelName = channelId(topic);
  return OWN_PRINCIPALS.flatMap((principal) =>
    (['write', 'read'] as const).flatMap((right): [string, Node][] => {
      const grants = accessOf(principal).filter(
        ({ operation, resource }) => operation === right && covers(resource, 'topic', topicName(topic)),
      );
      const messages = topic.messages.filter(({ senders }) => right === 'read' || senders.includes(principal));
      if (grants.length === 0 || messages.length === 0) return [];
      const action = right === 'write' ? 'send' : 'receive';
      return [
        [
          `${principal}.${action}.${channelName}`,
          {
            action,
            channel: { $ref: `#/channels/${channelName}` },
            summary: [...new Set(grants.map(({ purpose }) => purpose))].join('; '),
            messages: messages.map(({ type }) => ({ $ref: `#/channels/${channelName}/messages/${type}` })),
          },
        ],
      ];
    }),
  );
}

function messageNode(message: Message, topic: TopicMessages): Node {
  const { type, summary, headers, value, key = topic.key } = message;
  return {
    name: type,
    summary,
    ...(value.kind === 'bytes' && { contentType: value.contentTypes[0] }),
    headers: readable(jsonSchemaOf(headers, 'draft-7')),
    payload: readable(valueSchema(message, 'draft-7') ?? bytesSchema(message, value)),
    ...(key !== undefined && {
      bindings: { kafka: { key: readable(jsonSchemaOf(key, 'draft-7')), bindingVersion: '0.5.0' } },
    }),
  };
}

/** Without the form that a date has, where its name says it: the schemas in docs/schemas have both. */
function readable(schema: JsonSchema): JsonSchema {
  const { pattern, ...rest } = schema;
  const isDate = rest['format'] === 'date' || rest['format'] === 'date-time';
  const inside = Object.entries(isDate || pattern === undefined ? rest : schema).map(([keyword, value]) => {
    if (Array.isArray(value)) return [keyword, value.map((one: unknown) => (isNode(one) ? readable(one) : one))];
    return [keyword, isNode(value) ? readable(value) : value];
  });
  return Object.fromEntries(inside) as JsonSchema;
}

function isNode(value: unknown): value is JsonSchema {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function bytesSchema({ nullMeans }: Message, value: MessageValue): JsonSchema {
  if (value.kind !== 'bytes') throw new Error('only bytes have no schema of JSON');
  const description =
    value.contentTypes.length > 1 ? `${value.description} ${value.contentTypes.join(', ')}.` : value.description;
  const bytes = { type: 'string', format: 'binary', maxLength: value.sizeBytesMax, description };
  return nullMeans === undefined ? bytes : { anyOf: [bytes, { type: 'null', description: nullMeans }] };
}

function asNumber(config: Readonly<Record<string, string>>, name: string): Node {
  return config[name] === undefined ? {} : { [name]: Number(config[name]) };
}
