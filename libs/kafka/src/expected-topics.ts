import { isAsserted, TIMESTAMP_TYPE, type DesiredTopic } from '#contracts/topics.js';
import { Failure } from '#domain/errors.js';
import { pause } from './backoff.js';
import type { KafkaLog } from './kafka-record.js';
import type { TopicAdmin } from './topic-admin.js';
import type { TopicDifference } from './topic-differences.js';

const AGAIN_AFTER_MS = 2_000;

/**
 * Checks, before a service does anything, that the topics are what its contracts say. Missing ones are waited for, since
 * whoever applies them may come later; a partition count that differs would send keys elsewhere, and timestamps of the
 * producers would let an old assertion in, which both are final; other settings that differ are said.
 *
 * @throws Failure TOPIC_DIFFERS
 */
export async function expectTopics(
  admin: Pick<TopicAdmin, 'checkTopics'>,
  desired: readonly DesiredTopic[],
  log: KafkaLog,
): Promise<void> {
  for (;;) {
    const { differing } = await admin.checkTopics(desired);
    for (const difference of differing) refuseFinal(difference);
    const missing = differing.filter(({ setting }) => setting === 'topic').map(({ topic }) => topic);
    if (missing.length === 0) {
      for (const difference of differing) log.warn('topic-setting-differs', { ...difference });
      return;
    }
    log.warn('topics-missing', { topics: missing, mend: 'npm run custody -- topics apply' });
    await pause(AGAIN_AFTER_MS);
  }
}

function refuseFinal({ topic, setting, wanted, found }: TopicDifference): void {
  if (setting === 'partitions') {
    throw new Failure('TOPIC_DIFFERS', `${topic} has ${found} partitions; its keys need ${wanted}, for ever.`, false);
  }
  if (setting === TIMESTAMP_TYPE && isAsserted(topic)) {
    const text = `${topic} has ${setting}=${found}; the age of an assertion can only be judged with ${wanted}.`;
    throw new Failure('TOPIC_DIFFERS', text, false);
  }
}
