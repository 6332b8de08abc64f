import type { DesiredTopic } from '#contracts/topics.js';
import { Failure } from '#domain/errors.js';
import { pause } from './backoff.js';
import type { KafkaLog } from './kafka-record.js';
import type { TopicAdmin } from './topic-admin.js';

const AGAIN_AFTER_MS = 2_000;

/**
 * Checks, before a service does anything, that the topics are what its contracts say. Missing ones are waited for, since
 * whoever applies them may come later; a partition count that differs would send keys elsewhere, and is final; other
 * settings that differ are said.
 *
 * @throws Failure TOPIC_DIFFERS
 */
export async function expectTopics(admin: TopicAdmin, desired: readonly DesiredTopic[], log: KafkaLog): Promise<void> {
  for (;;) {
    const { differing } = await admin.checkTopics(desired);
    const partitions = differing.find(({ setting }) => setting === 'partitions');
    if (partitions !== undefined) {
      const { topic, wanted, found } = partitions;
      throw new Failure('TOPIC_DIFFERS', `${topic} has ${found} partitions; its keys need ${wanted}, for ever.`, false);
    }
    const missing = differing.filter(({ setting }) => setting === 'topic').map(({ topic }) => topic);
    if (missing.length === 0) {
      for (const difference of differing) log.warn('topic-setting-differs', { ...difference });
      return;
    }
    log.warn('topics-missing', { topics: missing, mend: 'npm run custody -- topics apply' });
    await pause(AGAIN_AFTER_MS);
  }
}
