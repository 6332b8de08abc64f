/**
 * `custody topics check|apply`: the topics as they are against those that the services need, how long the brokers really
 * keep what is to go, and what it costs their disks that the erased goes in time.
 */
import { existsSync } from 'node:fs';
import { desiredTopics, generationTopics, type DesiredTopic } from '#contracts/topics.js';
import { Failure } from '#domain/errors.js';
import type { ModelId } from '#domain/ids.js';
import { loadModelPack } from '#face/model-pack.js';
import { KafkaClient } from '#kafka/kafka-client.js';
import { retentionBound, rewriteRate, slowestOf, type SettingsInForce } from '#kafka/retention-bounds.js';
import type { TopicAdmin, TopicReport } from '#kafka/topic-admin.js';
import { kafkaConnection } from '#platform/kafka-settings.js';
import { createLog } from '#platform/log.js';
import type { Settings } from '#platform/settings.js';
import { localModelPackFolder } from './local-assets.js';
import { printTopics, type ErasureBound, type TopicsResult } from './topics-text.js';

export interface TopicsOptions {
  readonly json?: boolean;
}

/** @throws Failure TOPIC_DIFFERS, ERASURE_BOUND_NOT_KEPT, ERASURE_BOUND_TOO_COSTLY after all of it was printed */
export async function checkTopics(settings: Settings, options: TopicsOptions = {}): Promise<void> {
  const result = await withTopics(settings, async (admin, desired) => ({
    ...(await admin.checkTopics(desired)),
    ...(await measured(admin, desired, settings)),
  }));
  print(result, options);
  if (result.differing.length > 0) {
    throw new Failure('TOPIC_DIFFERS', 'The topics are not what the services need.', false);
  }
  refuseUnsound(result.erasure);
}

/** @throws Failure ERASURE_BOUND_TOO_COSTLY before anything is changed; TOPIC_DIFFERS when something was left alone */
export async function applyTopics(settings: Settings, options: TopicsOptions = {}): Promise<void> {
  const result = await withTopics(settings, async (admin, desired) => {
    refuseTooCostly((await measured(admin, desired, settings)).erasure);
    const report = await admin.applyTopics(desired, true);
    return { ...report, ...(await measured(admin, desired, settings)) };
  });
  print(result, options);
  if (result.differing.length > 0) {
    throw new Failure('TOPIC_DIFFERS', 'Some differences are left for somebody who has looked at them.', false);
  }
  refuseUnsound(result.erasure);
}

async function withTopics(
  settings: Settings,
  run: (admin: TopicAdmin, desired: readonly DesiredTopic[]) => Promise<TopicsResult>,
): Promise<TopicsResult> {
  const { modelId } = await loadModelPack(await localModelPackFolder());
  const next = await nextModel(settings);
  const common = { profile: settings.TOPIC_PROFILE, replication: settings.KAFKA_REPLICATION };
  const desired = [
    ...desiredTopics({ modelId, ...common }),
    ...(next === undefined ? [] : generationTopics({ modelId: next, ...common })),
  ];
  const client = new KafkaClient({
    ...kafkaConnection(settings),
    clientId: 'custody-cli',
    log: createLog('cli', 'error'),
  });
  try {
    // One that this process may not know of looks as if it were missing.
    const hidden = await client.ownAccess('custody-cli', desired).hiddenTopics();
    if (hidden.length > 0) throw new Failure('KAFKA_NOT_AUTHORISED', `may not describe ${hidden.join(', ')}`, false);
    return await run(client.topicAdmin(), desired);
  } finally {
    await client.close();
  }
}

/** Of the pack whose gallery is built beside; undefined when there is none. */
async function nextModel({ NEXT_MODEL_PACK_DIR }: Settings): Promise<ModelId | undefined> {
  return existsSync(NEXT_MODEL_PACK_DIR) ? (await loadModelPack(NEXT_MODEL_PACK_DIR)).modelId : undefined;
}

/** How long, by the settings in force; how much rewriting, by the logs as they are and the settings that are wanted. */
async function measured(
  admin: TopicAdmin,
  desired: readonly DesiredTopic[],
  settings: Settings,
): Promise<Omit<TopicsResult, keyof TopicReport>> {
  const found = await admin.settingsInForce(desired);
  const sizes = await admin.logSizes();
  const brokers = slowestOf(found.brokers);
  const retention = [...found.topics].map(([name, inForce]) => retentionBound(name, inForce, brokers));
  const wanted = (config: Readonly<Record<string, string>>): SettingsInForce => new Map(Object.entries(config));
  const rewriting = desired.map(({ name, config }) => rewriteRate(name, wanted(config), sizes));
  const compacted = retention.flatMap(({ supersededAtMostMs }) => supersededAtMostMs ?? []);
  return {
    retention,
    rewriting: rewriting.filter(({ bytesPerSecond }) => bytesPerSecond > 0),
    erasure: {
      destroyedAfterMs: compacted.length === 0 ? undefined : Math.max(...compacted),
      promisedMs: settings.ERASURE_DESTRUCTION_SECONDS * 1000,
      rewriteBytesPerSecond: rewriting.reduce((sum, { bytesPerSecond }) => sum + bytesPerSecond, 0),
      budgetBytesPerSecond: settings.LOG_REWRITE_BYTES_PER_SECOND,
    },
  };
}

function refuseUnsound(erasure: ErasureBound): void {
  const { destroyedAfterMs, promisedMs } = erasure;
  if (destroyedAfterMs !== undefined && destroyedAfterMs > promisedMs) {
    const text = `The logs hold what is erased for ${destroyedAfterMs / 1000} s, and ERASURE_DESTRUCTION_SECONDS promises ${promisedMs / 1000}.`;
    throw new Failure('ERASURE_BOUND_NOT_KEPT', text, false);
  }
  refuseTooCostly(erasure);
}

function refuseTooCostly({ rewriteBytesPerSecond, budgetBytesPerSecond }: ErasureBound): void {
  if (rewriteBytesPerSecond <= budgetBytesPerSecond) return;
  const [rate, budget] = [rewriteBytesPerSecond, budgetBytesPerSecond].map((bytes) => Math.ceil(bytes));
  throw new Failure(
    'ERASURE_BOUND_TOO_COSTLY',
    `With logs of this size the bound of erasures makes a broker write ${rate} bytes a second, and LOG_REWRITE_BYTES_PER_SECOND allows ${budget}: take TOPIC_PROFILE=production, or a faster disk.`,
    false,
  );
}

function print(result: TopicsResult, { json }: TopicsOptions): void {
  if (json === true) process.stdout.write(`${JSON.stringify(result, finite, 2)}\n`);
  else printTopics(result);
}

/** JSON has no infinity: what is without limit is null. */
function finite(_name: string, value: unknown): unknown {
  return value === Infinity ? null : value;
}
