import { existsSync } from 'node:fs';
import { CUSTODY_IMAGES, desiredTopics, generationTopics, type DesiredTopic } from '#contracts/topics.js';
import { Failure } from '#domain/errors.js';
import { modelId as parseModelId, type ModelId } from '#domain/ids.js';
import { loadModelPack } from '#face/model-pack.js';
import { KafkaClient } from '#kafka/kafka-client.js';
import type { TopicReport } from '#kafka/topic-admin.js';
import { createLog } from '#platform/log.js';
import type { Settings } from '#platform/settings.js';
import { localModelPackFolder } from './local-assets.js';

/** `log.cleaner.backoff.ms`, Kafka's default. */
const CLEANER_LOOKS_EVERY_S = 15;
const GIB_IN_MIB = 1024;

export async function checkTopics(settings: Settings): Promise<void> {
  const report = await withTopics(settings, (client, desired) => client.topicAdmin().checkTopics(desired));
  print(report);
  printCostOfErasures(settings);
  if (report.differing.length > 0)
    throw new Failure('TOPIC_DIFFERS', 'The topics are not what the services need.', false);
}

export async function applyTopics(settings: Settings): Promise<void> {
  print(await withTopics(settings, (client, desired) => client.topicAdmin().applyTopics(desired, true)));
}

async function withTopics(
  settings: Settings,
  run: (client: KafkaClient, desired: readonly DesiredTopic[]) => Promise<TopicReport>,
): Promise<TopicReport> {
  const { modelId } = await loadModelPack(await localModelPackFolder());
  const next = await nextModel(settings);
  const common = { profile: settings.TOPIC_PROFILE, replication: settings.KAFKA_REPLICATION };
  const client = new KafkaClient({
    brokers: settings.KAFKA_BROKERS,
    clientId: 'custody-cli',
    log: createLog('cli', 'warn'),
  });
  try {
    return await run(client, [
      ...desiredTopics({ modelId, ...common }),
      ...(next === undefined ? [] : generationTopics({ modelId: next, ...common })),
    ]);
  } finally {
    await client.close();
  }
}

/** Of the pack whose gallery is built beside; undefined when there is none. */
async function nextModel({ NEXT_MODEL_PACK_DIR }: Settings): Promise<ModelId | undefined> {
  return existsSync(NEXT_MODEL_PACK_DIR) ? (await loadModelPack(NEXT_MODEL_PACK_DIR)).modelId : undefined;
}

/**
 * What the bound of erasures implies: the cleaner rewrites a partition whole in which something was erased, so that the
 * bound is bought with writing.
 */
function printCostOfErasures({ TOPIC_PROFILE: profile, ERASURE_DESTRUCTION_SECONDS: bound }: Settings): void {
  const topics = desiredTopics({ modelId: parseModelId('0'.repeat(16)), profile, replication: 1 });
  const { config } = topics.find(({ name }) => name === CUSTODY_IMAGES)!;
  const [segmentS, lagS] = [Number(config['segment.ms']) / 1000, Number(config['max.compaction.lag.ms']) / 1000];
  const latestS = Math.max(segmentS, lagS) + CLEANER_LOOKS_EVERY_S;
  const mibPerSecond = (GIB_IN_MIB / lagS).toPrecision(2);
  process.stdout.write(
    `erasures   are taken from the logs within ${latestS} s and the time that cleaning takes; the bound is ${bound} s\n` +
      `           each GiB of custody.images and gallery.templates is rewritten every ${lagS} s at most: ${mibPerSecond} MiB/s\n`,
  );
  if (latestS > bound) process.stdout.write('           too late for the bound: raise ERASURE_DESTRUCTION_SECONDS\n');
}

function print(report: TopicReport): void {
  for (const name of report.created) process.stdout.write(`created    ${name}\n`);
  for (const name of report.altered) process.stdout.write(`altered    ${name}\n`);
  for (const name of report.unchanged) process.stdout.write(`as wanted  ${name}\n`);
  for (const { topic, setting, wanted, found } of report.differing) {
    process.stdout.write(`differs    ${topic}: ${setting} is ${found}, wanted ${wanted}\n`);
  }
}
