/**
 * Every message on every topic: type, headers, value, key, who sends and who reads. What is published about the topics is
 * made from this and from the tables of topics (topics.ts) and rights (access.ts), and from nothing else.
 */
import type { ModelId } from '#domain/ids.js';
import { OUTSIDE_PRINCIPALS, principalsWith, type Principal } from './access.js';
import { AUDIT_MESSAGES } from './audit-messages.js';
import { CUSTODY_MESSAGES } from './custody-messages.js';
import { GALLERY_MESSAGES } from './gallery-messages.js';
import type { Message, TopicMessages } from './message.js';
import { SEARCH_MESSAGES } from './search-messages.js';
import { desiredTopics, type DesiredTopic } from './topics.js';

export const MESSAGE_REGISTRY: readonly TopicMessages[] = [
  ...CUSTODY_MESSAGES,
  ...SEARCH_MESSAGES,
  ...GALLERY_MESSAGES,
  ...AUDIT_MESSAGES,
];

/** Stands for any model where a topic's name has one. */
const ANY_MODEL = '0123456789abcdef' as ModelId;
const REPLICATION = 3;

/** The topic's name for one model. */
export function topicName({ topic }: Pick<TopicMessages, 'topic'>, modelId: ModelId = ANY_MODEL): string {
  return topic.replace('{modelId}', modelId);
}

/** What is wanted of the topic in production. */
export function productionTopic(of: TopicMessages): DesiredTopic {
  const desired = desiredTopics({ modelId: ANY_MODEL, profile: 'production', replication: REPLICATION });
  return desired.find(({ name }) => name === topicName(of))!;
}

export function readersOf(of: TopicMessages): readonly Principal[] {
  return principalsWith('read', topicName(of));
}

/** Whether somebody outside may write or read it: the contract that other systems build against. */
export function isPublic(of: TopicMessages): boolean {
  const name = topicName(of);
  const outside: readonly Principal[] = OUTSIDE_PRINCIPALS;
  return [...principalsWith('read', name), ...principalsWith('write', name)].some((one) => outside.includes(one));
}

/** Whether outside systems send it, and this system alone reads it. */
export function isInbound(message: Message): boolean {
  const outside: readonly Principal[] = OUTSIDE_PRINCIPALS;
  return message.senders.some((sender) => outside.includes(sender));
}
