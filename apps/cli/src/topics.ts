import { desiredTopics } from '#contracts/topics.js';
import { Failure } from '#domain/errors.js';
import { loadModelPack } from '#face/model-pack.js';
import { KafkaClient } from '#kafka/kafka-client.js';
import type { TopicReport } from '#kafka/topic-admin.js';
import { createLog } from '#platform/log.js';
import type { Settings } from '#platform/settings.js';
import { localModelPackFolder } from './local-assets.js';

export async function checkTopics(settings: Settings): Promise<void> {
  const report = await withTopics(settings, (client, desired) => client.topicAdmin().checkTopics(desired));
  print(report);
  if (report.differing.length > 0)
    throw new Failure('TOPIC_DIFFERS', 'The topics are not what the services need.', false);
}

export async function applyTopics(settings: Settings): Promise<void> {
  print(await withTopics(settings, (client, desired) => client.topicAdmin().applyTopics(desired, true)));
}

async function withTopics(
  settings: Settings,
  run: (client: KafkaClient, desired: ReturnType<typeof desiredTopics>) => Promise<TopicReport>,
): Promise<TopicReport> {
  const { modelId } = await loadModelPack(await localModelPackFolder());
  const client = new KafkaClient({
    brokers: settings.KAFKA_BROKERS,
    clientId: 'custody-cli',
    log: createLog('cli', 'warn'),
  });
  try {
    return await run(
      client,
      desiredTopics({ modelId, profile: settings.TOPIC_PROFILE, replication: settings.KAFKA_REPLICATION }),
    );
  } finally {
    await client.close();
  }
}

function print(report: TopicReport): void {
  for (const name of report.created) process.stdout.write(`created    ${name}\n`);
  for (const name of report.altered) process.stdout.write(`altered    ${name}\n`);
  for (const name of report.unchanged) process.stdout.write(`as wanted  ${name}\n`);
  for (const { topic, setting, wanted, found } of report.differing) {
    process.stdout.write(`differs    ${topic}: ${setting} is ${found}, wanted ${wanted}\n`);
  }
}
