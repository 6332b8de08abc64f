import { topicsUsedBy, type OwnPrincipal } from '#contracts/access.js';
import type { DesiredTopic } from '#contracts/topics.js';
import { expectTopics } from './expected-topics.js';
import type { KafkaClient } from './kafka-client.js';
import type { KafkaLog } from './kafka-record.js';

/**
 * Waits until this process has every right in Kafka that it needs, and every topic that it has to do with is what the
 * contracts say; then looks after the rights for as long as the client is open.
 *
 * @param onAccess told what may not be done and should be, and `undefined` when all of it may
 * @throws Failure TOPIC_DIFFERS, KAFKA_UNAVAILABLE, KAFKA_NOT_AUTHENTICATED
 */
export async function expectPrerequisites(
  kafka: KafkaClient,
  principal: OwnPrincipal,
  desired: readonly DesiredTopic[],
  log: KafkaLog,
  onAccess: (missing: string | undefined) => void,
): Promise<void> {
  const topics = topicsUsedBy(principal, desired);
  const access = kafka.ownAccess(principal, topics);
  // Before the topics: one that may not be known of looks as if it were missing.
  await access.granted(onAccess);
  await expectTopics(kafka.topicAdmin(), topics, log);
  // And after: what may be done with a topic that is missing, nobody says.
  await access.granted(onAccess);
  onAccess(undefined);
  void access.watch(onAccess);
}
