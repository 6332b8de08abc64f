/**
 * `custody restore <folder>`: a backup into a Kafka and an image store that are empty. Decisions first: what they say is
 * erased is not written at all. While it runs no service does; afterwards they start as ever, and rebuild what follows
 * from the logs.
 */
import {
  desiredTopics,
  generationOf,
  generationTopics,
  CUSTODY_DISPOSITIONS,
  CUSTODY_IMAGES,
  type DesiredTopic,
} from '#contracts/topics.js';
import { Failure } from '#domain/errors.js';
import type { ModelId, Offset } from '#domain/ids.js';
import { KafkaClient } from '#kafka/kafka-client.js';
import type { LogRestore } from '#kafka/log-restore.js';
import type { TopicAdmin } from '#kafka/topic-admin.js';
import { kafkaConnection } from '#platform/kafka-settings.js';
import { createLog } from '#platform/log.js';
import { openImageStore } from '#platform/open-image-store.js';
import type { Settings } from '#platform/settings.js';
import { DECISIONS, INGEST_GROUP, recordOf, RESTORE_SOURCE } from './backup-contents.js';
import { BackupKeys, IMAGE_OBJECTS, openBackup, type BackupManifest, type OpenBackup } from './backup-manifest.js';
import { recordRestore, restoreSealedLeaves } from './restore-audit.js';
import { RestoreExclusions } from './restore-exclusions.js';
import { readPlan, startsOf, writePlan, type RestorePlan } from './restore-plan.js';
import { framesOf, restoreObjects, restoreTopic, type RestoredTopic } from './restore-streams.js';

/** Those of the services that write. */
const GROUPS = [INGEST_GROUP, 'custody-searches', 'custody-directions', 'custody-audit-seal'];
const NO_MODEL = '0'.repeat(16) as ModelId;

export interface RestoreOptions {
  readonly key: string;
  /** A newer backup of the decisions. */
  readonly decisions?: string;
  /** Instead: why there is none, and what is done about it. */
  readonly withoutNewerDecisions?: string;
  readonly by: string;
  readonly marginOffsets: number;
}

/** What is restored of what: the decisions from the newer backup of them, where there is one. */
interface Sources {
  readonly backup: OpenBackup;
  readonly decisions: OpenBackup | undefined;
}

/**
 * @throws Failure BACKUP_KEY_UNREADABLE, BACKUP_KEY_OTHER, BACKUP_DAMAGED, BACKUP_NOT_WHOLE, BACKUP_EXPIRED,
 *   DECISIONS_REQUIRED, DECISIONS_NOT_NEWER, RESTORE_WHILE_RUNNING, RESTORE_NOT_EMPTY, RESTORE_LOG_DIFFERS,
 *   RESTORE_INCOMPLETE, AUDIT_HISTORY_CHANGED; what Kafka and the image store throw
 */
export async function restore(settings: Settings, folder: string, options: RestoreOptions): Promise<void> {
  const sources = await openSources(folder, options);
  const exclusions = new RestoreExclusions(RESTORE_SOURCE);
  for await (const frame of framesOf(sourceOf(sources, CUSTODY_DISPOSITIONS), CUSTODY_DISPOSITIONS)) {
    exclusions.decide(recordOf(frame));
  }
  say(sources, exclusions);
  const kafka = new KafkaClient({
    ...kafkaConnection(settings),
    clientId: 'custody-cli',
    log: createLog('cli', 'error'),
  });
  const logs = kafka.logRestore();
  try {
    const admin = kafka.topicAdmin();
    const busy = await logs.busyGroups(GROUPS);
    if (busy.length > 0) {
      throw new Failure('RESTORE_WHILE_RUNNING', `Services run still (${busy.join(', ')}): stop them all first.`, true);
    }
    const clusterId = await admin.clusterId();
    const topics = wantedTopics(settings, sources.backup.manifest);
    const plan = await planned(settings, clusterId, admin, sources, exclusions, options.marginOffsets);
    const images = await openImageStore(settings);
    await makeTopics(admin, logs, topics);
    const restored: RestoredTopic[] = [];
    for (const { name } of inOrder(sources)) {
      const source = sourceOf(sources, name);
      restored.push(await restoreTopic(logs, source, name, new Map(offsetsOf(plan.starts[name]!)), exclusions));
      const { records, leftOut } = restored.at(-1)!;
      process.stdout.write(`${name.padEnd(44)} ${records}${leftOut === 0 ? '' : `, ${leftOut} left out as erased`}\n`);
    }
    await logs.setGroupOffsets(INGEST_GROUP, CUSTODY_IMAGES, new Map(offsetsOf(plan.starts[CUSTODY_IMAGES] ?? {})));
    const objects = await restoreObjects(images, sources.backup, exclusions, plan.objectSegments, async (segments) =>
      writePlan(settings.DATA_DIR, clusterId, { ...plan, objectSegments: segments }),
    );
    process.stdout.write(
      `${'objects of the image store'.padEnd(44)} ${objects.written}, ${objects.leftOut} left out as erased\n`,
    );
    await expectWhole(logs, sources, restored);
    const leaves = await restoreSealedLeaves(kafka, logs, settings);
    if (leaves > 0) {
      process.stdout.write(
        `${leaves} leaves of the audit put back from ${settings.AUDIT_CHECKPOINT_DIR}: the entries of these are lost, and "audit verify" names each\n`,
      );
    }
    const { backup, decisions } = sources;
    await recordRestore(kafka, options.by, {
      backupId: backup.manifest.backupId,
      backupOf: cutOf(backup),
      decisionsOf: cutOf(decisions ?? backup),
      ...(options.withoutNewerDecisions !== undefined && { withoutNewerDecisions: options.withoutNewerDecisions }),
    });
    await logs.settle(topics);
    await writePlan(settings.DATA_DIR, clusterId, { ...plan, done: true });
    process.stdout.write(
      'Restored. Start the services; then verify the audit, and search for somebody who is enrolled.\n',
    );
  } finally {
    await kafka.close();
  }
}

async function openSources(folder: string, options: RestoreOptions): Promise<Sources> {
  const keys = await BackupKeys.read(options.key);
  const backup = await openWhole(folder, keys, ['everything']);
  if (options.decisions === undefined) {
    if (options.withoutNewerDecisions === undefined) {
      throw new Failure(
        'DECISIONS_REQUIRED',
        `Who was erased after ${cutOf(backup)} would come back: give the newest backup of the decisions (--decisions), or say why there is none (--without-newer-decisions).`,
        false,
      );
    }
    return { backup, decisions: undefined };
  }
  const decisions = await openWhole(options.decisions, keys, ['decisions', 'everything']);
  if (decisions.manifest.clusterId !== backup.manifest.clusterId || cutOf(decisions) <= cutOf(backup)) {
    throw new Failure(
      'DECISIONS_NOT_NEWER',
      `${options.decisions} has the decisions of ${cutOf(decisions)}, of another Kafka or older than those of the backup (${cutOf(backup)}).`,
      false,
    );
  }
  return { backup, decisions };
}

async function openWhole(
  folder: string,
  keys: BackupKeys,
  kinds: readonly BackupManifest['kind'][],
): Promise<OpenBackup> {
  const found = await openBackup(folder, keys);
  if (found === undefined || found.manifest.completedAt === null || !kinds.includes(found.manifest.kind)) {
    throw new Failure('BACKUP_NOT_WHOLE', `${folder} holds no whole backup of ${kinds.join(' or ')}.`, false);
  }
  if (Date.parse(found.manifest.expiresAt) <= Date.now()) {
    throw new Failure(
      'BACKUP_EXPIRED',
      `${folder} was to be deleted by ${found.manifest.expiresAt}: it holds whom receipts call destroyed.`,
      false,
    );
  }
  return found;
}

/** When its decisions were fixed. ISO 8601, so compared as text. */
function cutOf({ manifest }: OpenBackup): string {
  return manifest.streams.find(({ name }) => name === CUSTODY_DISPOSITIONS)?.cutAt ?? manifest.startedAt;
}

function sourceOf({ backup, decisions }: Sources, topic: string): OpenBackup {
  return decisions !== undefined && DECISIONS.includes(topic) ? decisions : backup;
}

/** Decisions before everything else. */
function inOrder(sources: Sources): BackupManifest['streams'] {
  const logs = sources.backup.manifest.streams.filter(({ name }) => name !== IMAGE_OBJECTS);
  const decides = logs.filter(({ name }) => DECISIONS.includes(name)).toReversed();
  return [...decides, ...logs.filter(({ name }) => !DECISIONS.includes(name))];
}

function say(sources: Sources, exclusions: RestoreExclusions): void {
  const { backup, decisions } = sources;
  process.stdout.write(`backup of ${cutOf(backup)}, decisions of ${cutOf(decisions ?? backup)}\n`);
  process.stdout.write(`${exclusions.erased} images are erased in part or whole: nothing of that is restored\n`);
  process.stdout.write(
    `What was decided after ${cutOf(decisions ?? backup)} is lost: erasures, restrictions and holds since must be given again.\n`,
  );
}

function wantedTopics(settings: Settings, { streams }: BackupManifest): DesiredTopic[] {
  const names = new Set(streams.map(({ name }) => name));
  const models = [...names].flatMap((name) => generationOf(name) ?? []);
  const common = { profile: settings.TOPIC_PROFILE, replication: settings.KAFKA_REPLICATION };
  const all = [
    ...desiredTopics({ modelId: models[0] ?? NO_MODEL, ...common }),
    ...models.slice(1).flatMap((modelId) => generationTopics({ modelId, ...common })),
  ];
  return all.filter(({ name }) => names.has(name));
}

async function planned(
  settings: Settings,
  clusterId: string,
  admin: TopicAdmin,
  sources: Sources,
  exclusions: RestoreExclusions,
  marginOffsets: number,
): Promise<RestorePlan> {
  const backupId = sources.backup.manifest.backupId;
  const decisionsId = sources.decisions?.manifest.backupId ?? null;
  const begun = await readPlan(settings.DATA_DIR, clusterId);
  const isThis = begun?.backupId === backupId && begun.decisionsId === decisionsId && !begun.done;
  if (isThis) return begun;
  const there = new Set(await admin.topicNames());
  for (const { name } of inOrder(sources).filter((stream) => there.has(stream.name))) {
    const ends = await admin.topicOffsets(name);
    if ([...ends.values()].some(({ high }) => high > 0)) {
      throw new Failure(
        'RESTORE_NOT_EMPTY',
        `The topic ${name} has records already: restore into an empty Kafka.`,
        false,
      );
    }
  }
  const starts = inOrder(sources).map(({ name }) => {
    const stream = sourceOf(sources, name).manifest.streams.find((one) => one.name === name)!;
    return [name, startsOf(stream, (partition) => exclusions.beyondDecisions(partition), marginOffsets)] as const;
  });
  const plan = { backupId, decisionsId, starts: Object.fromEntries(starts), objectSegments: 0, done: false };
  await writePlan(settings.DATA_DIR, clusterId, plan);
  return plan;
}

async function makeTopics(admin: TopicAdmin, logs: LogRestore, topics: readonly DesiredTopic[]): Promise<void> {
  const { differing } = await admin.applyTopics(topics);
  const partitions = differing.find(({ setting }) => setting === 'partitions');
  if (partitions !== undefined) {
    const { topic, found, wanted } = partitions;
    throw new Failure(
      'TOPIC_DIFFERS',
      `${topic} has ${found} partitions and must have ${wanted}: delete it while it is empty.`,
      false,
    );
  }
  await logs.prepare(topics);
}

/** Each log has as many records as were written to it, and the backup as many as it says. */
async function expectWhole(logs: LogRestore, sources: Sources, restored: readonly RestoredTopic[]): Promise<void> {
  for (const { name, records, leftOut, ends } of restored) {
    const stream = sourceOf(sources, name).manifest.streams.find((one) => one.name === name)!;
    const listed = Object.values(stream.records).reduce((sum, one) => sum + one, 0);
    for (const [partition, { high }] of await logs.ends(name, [...ends.keys()])) {
      const end = ends.get(partition)!;
      if (high >= end && records + leftOut === listed) continue;
      throw new Failure(
        'RESTORE_INCOMPLETE',
        `${name} has ${records} records of ${listed}, and partition ${partition} ends at ${high} rather than ${end}.`,
        false,
      );
    }
  }
}

function offsetsOf(offsets: Readonly<Record<string, number>>): [number, Offset][] {
  return Object.entries(offsets).map(([partition, offset]) => [Number(partition), offset as Offset]);
}
