import { describe, expect, it } from 'vitest';
import type { ModelId } from '#domain/ids.js';
import { OUTSIDE_PRINCIPALS, principalsWith } from './access.js';
import { isInbound, isPublic, MESSAGE_REGISTRY, productionTopic, readersOf, topicName } from './message-registry.js';
import { searchEventSchema, searchEventSchemas } from './search-event-schemas.js';
import { desiredTopics } from './topics.js';

const modelId = '00112233aabbccdd' as ModelId;
const wanted = desiredTopics({ modelId, profile: 'production', replication: 3 }).map(({ name }) => name);

describe('the registry of messages', () => {
  it('has every topic, and no other', () => {
    expect(MESSAGE_REGISTRY.map((topic) => topicName(topic, modelId)).sort()).toEqual([...wanted].sort());
  });

  it.each(MESSAGE_REGISTRY.map((topic) => [topic.topic, topic] as const))(
    'knows who sends and reads %s',
    (_, topic) => {
      const writers = principalsWith('write', topicName(topic));
      for (const { type, senders } of topic.messages) {
        expect(senders, type).not.toHaveLength(0);
        expect(writers, type).toEqual(expect.arrayContaining([...senders]));
      }
      expect(readersOf(topic)).not.toHaveLength(0);
      const outside = writers.filter((one) => OUTSIDE_PRINCIPALS.some((known) => known === one));
      const sending = topic.messages.flatMap(({ senders }) => senders);
      expect(sending).toEqual(expect.arrayContaining(outside));
    },
  );

  it.each(MESSAGE_REGISTRY.map((topic) => [topic.topic, topic] as const))('says how %s is partitioned', (_, topic) => {
    const { partitions } = productionTopic(topic);
    expect(topic.partitioning === 'single').toBe(partitions === 1);
    if (topic.partitioning === 'key' || topic.partitioning === 'searchId') expect(topic.key).toBeDefined();
  });

  it('names each type once, with its version, whatever topics it is on', () => {
    const byType = new Map(MESSAGE_REGISTRY.flatMap(({ messages }) => messages.map((one) => [one.type, one] as const)));
    for (const { messages } of MESSAGE_REGISTRY) {
      for (const { type, ...message } of messages) {
        expect(type).toMatch(/\.v1(\.[A-Z_]+)?$/);
        expect(message.value.kind).toBe(byType.get(type)!.value.kind);
      }
    }
  });

  it('is public where somebody outside reads or writes', () => {
    expect(MESSAGE_REGISTRY.filter(isPublic).map(({ topic }) => topic)).toEqual([
      'custody.images.v1',
      'custody.outcomes.v1',
      'searches.requests.v1',
      'searches.events.v1',
    ]);
    const inbound = MESSAGE_REGISTRY.flatMap(({ messages }) => messages.filter(isInbound).map(({ type }) => type));
    expect(inbound).toEqual(['custody.image.v1', 'custody.erasure.v1', 'searches.request.v1']);
  });

  it('has one schema for each event of a search, and the reader takes the same ones', () => {
    expect(searchEventSchema.options).toEqual(Object.values(searchEventSchemas));
    for (const [type, { shape }] of Object.entries(searchEventSchemas)) expect(shape.type.value).toBe(type);
  });
});
