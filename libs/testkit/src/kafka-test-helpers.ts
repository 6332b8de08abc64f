import { randomUUID } from 'node:crypto';
import { inject } from 'vitest';
import type {} from './broker-for-tests.js';
import { KafkaClient } from '#kafka/kafka-client.js';
import type { KafkaLog } from '#kafka/kafka-record.js';

/** `host:port` of the broker that the integration tests share. */
export function brokersForTests(): string {
  return inject('brokers');
}

/** A name that no other test uses, so that tests can run at the same time on one broker. */
export function uniqueTopic(prefix: string): string {
  return `${prefix}.${randomUUID().slice(0, 8)}`;
}

export const silentLog: KafkaLog = { debug() {}, info() {}, warn() {}, error() {} };

/** A client of the shared broker; the test closes it. */
export function clientForTests(brokers: string = brokersForTests(), log: KafkaLog = silentLog): KafkaClient {
  return new KafkaClient({ brokers: [brokers], clientId: 'test', log });
}

/** A new topic of one's own, ready to be written to. */
export async function createTopic(
  client: KafkaClient,
  prefix: string,
  partitions = 1,
  config: Readonly<Record<string, string>> = {},
): Promise<string> {
  const name = uniqueTopic(prefix);
  await client.topicAdmin().applyTopics([{ name, partitions, replication: 1, config }]);
  return name;
}

/** Repeats `check` until it no longer throws, and returns what it returned; after the timeout its last error is thrown. */
export async function eventually<T>(
  check: () => T | Promise<T>,
  { timeoutMs = 20_000, intervalMs = 25 }: { timeoutMs?: number; intervalMs?: number } = {},
): Promise<T> {
  const deadlineMs = Date.now() + timeoutMs;
  for (;;) {
    try {
      return await check();
    } catch (error) {
      if (Date.now() > deadlineMs) throw error;
      await new Promise((resolve) => setTimeout(resolve, intervalMs));
    }
  }
}
