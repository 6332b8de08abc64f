/**
 * `custody restore <folder>`: a backup into a Kafka and an image store that are empty. Decisions first: what they say is
 * erased is not written at all. While it runs no service does; afterwards they start as ever, and rebuild what follows
 * from the logs.
 */
import {
  CUSTODY_DIRECTIONS,
  CUSTODY_DISPOSITIONS,
  CUSTODY_IMAGES,
  desiredTopics,
  generationOf,
  generationTopics,
  GOVERNANCE_DECISIONS,
  SEARCHES_EVENTS,
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
import {
  cutOf,
  DECISIONS,
  INGEST_GROUP,
  isNewer,
  lostSince,
  recordOf,
  RESTORE_SOURCE,
  type BackedUpRecord,
} from './backup-contents.js';
import { BackupKeys, IMAGE_OBJECTS, openBackup, type BackupManifest, type OpenBackup } from './backup-manifest.js';
import { readSurvivingSeals, recordRestore, restoreSealedLeaves } from './restore-audit.js';
import { RestoredDirections } from './restore-directions.js';
import { RestoreExclusions } from './restore-exclusions.js';
import { galleryNotWhole, type GalleryNotWhole } from './restore-galleries.js';
import { readPlan, startsOf, writePlan, type RestorePlan } from './restore-plan.js';
import { deleteLostProbes, framesOf, restoreObjects, restoreTopic, type RestoredTopic } from './restore-streams.js';

/** Those of the services that write. */
const GROUPS = [INGEST_GROUP, 'custody-searches', 'custody-directions', 'custody-audit-seal'];
const UNREADABLE_SHOWN_MAX = 10;
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

/** What follows from the decisions, known before anything is written. */
interface Consequences {
  readonly exclusions: RestoreExclusions;
  readonly directions: RestoredDirections;
  readonly notWhole: GalleryNotWhole | undefined;
}

/**
 * Ends with 1 when everything is restored and the gallery in force is not whole.
 *
 * @throws Failure BACKUP_KEY_UNREADABLE, BACKUP_KEY_OTHER, BACKUP_DAMAGED, BACKUP_NOT_WHOLE, BACKUP_EXPIRED,
 *   DECISIONS_REQUIRED, DECISIONS_NOT_NEWER, RESTORE_WHILE_RUNNING, RESTORE_NOT_EMPTY, RESTORE_LOG_DIFFERS,
 *   RESTORE_INCOMPLETE, AUDIT_HISTORY_CHANGED; Refusal AUDIT_FILE_UNREADABLE, HELD_CHECKPOINT_INVALID; what Kafka and the
 *   image store throw
 */
export async function restore(settings: Settings, folder: string, options: RestoreOptions): Promise<void> {
  const sources = await openSources(folder, options);
  const consequences = await readDecisions(sources);
  const { exclusions, directions, notWhole } = consequences;
  say(sources, consequences);
  const seals = await readSurvivingSeals(settings);
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
    const keptFromMs = imagesKeptFromMs(topics);
    let outdated = 0;
    for (const { name } of inOrder(sources)) {
      const starts = new Map(offsetsOf(plan.starts[name]!));
      const topic = await restoreTopic(logs, sourceOf(sources, name), name, starts, (record) => {
        if (name === CUSTODY_DIRECTIONS) return directions.restorable(record);
        const written = exclusions.restorable(name, record);
        if (name === CUSTODY_IMAGES && written !== undefined && written.timestampMs < keptFromMs) outdated++;
        return written;
      });
      restored.push(topic);
      process.stdout.write(`${lineOf(name, topic.records, topic.leftOut)}\n`);
    }
    await logs.setGroupOffsets(INGEST_GROUP, CUSTODY_IMAGES, new Map(offsetsOf(plan.starts[CUSTODY_IMAGES] ?? {})));
    const objects = await restoreObjects(images, sources.backup, exclusions, plan.objectSegments, async (segments) =>
      writePlan(settings.DATA_DIR, clusterId, { ...plan, objectSegments: segments }),
    );
    const why = 'as erased, or of a search that is lost';
    process.stdout.write(`${lineOf('objects of the image store', objects.written, objects.leftOut, why)}\n`);
    const probes = await deleteLostProbes(images, exclusions);
    if (probes > 0) process.stdout.write(`${probes} probes were there still, of searches that are lost: destroyed\n`);
    await expectWhole(logs, sources, restored);
    const folder = settings.AUDIT_CHECKPOINT_DIR;
    const leaves = seals === undefined ? 0 : await restoreSealedLeaves(kafka, logs, seals, folder);
    if (leaves > 0) {
      process.stdout.write(
        `${leaves} leaves of the audit put back from ${folder}: the entries of these are lost, and "audit verify" names each\n`,
      );
    }
    const { backup, decisions } = sources;
    await recordRestore(kafka, options.by, {
      backupId: backup.manifest.backupId,
      backupOf: cutOf(backup.manifest),
      decisionsOf: cutOf((decisions ?? backup).manifest),
      ...(options.withoutNewerDecisions !== undefined && { withoutNewerDecisions: options.withoutNewerDecisions }),
    });
    await logs.settle(topics);
    await writePlan(settings.DATA_DIR, clusterId, { ...plan, done: true });
    if (directions.holdsEnded > 0) {
      process.stdout.write(`${directions.holdsEnded} holds of searches that are lost are ended\n`);
    }
    if (outdated > 0) {
      process.stdout.write(
        `WARNING: ${outdated} records that ingest had not handled are older than ${CUSTODY_IMAGES} keeps them: start the services at once, or have them sent again\n`,
      );
    }
    if (notWhole !== undefined) process.stdout.write(`${warningOf(notWhole)}\n`);
    process.stdout.write(
      'Restored. Start the services; then verify the audit, and search for somebody who is enrolled.\n',
    );
    if (notWhole !== undefined) process.exitCode = 1;
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
        `Who was erased after ${cutOf(backup.manifest)} would come back: give the newest backup of the decisions (--decisions), or say why there is none (--without-newer-decisions).`,
        false,
      );
    }
    return { backup, decisions: undefined };
  }
  const decisions = await openWhole(options.decisions, keys, ['decisions', 'everything']);
  if (!isNewer(decisions.manifest, backup.manifest)) {
    throw new Failure(
      'DECISIONS_NOT_NEWER',
      `${options.decisions} has the decisions of ${cutOf(decisions.manifest)}, of another Kafka or older than those of the backup (${cutOf(backup.manifest)}).`,
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

function sourceOf({ backup, decisions }: Sources, topic: string): OpenBackup {
  return decisions !== undefined && DECISIONS.includes(topic) ? decisions : backup;
}

/** Decisions before everything else. */
function inOrder(sources: Sources): BackupManifest['streams'] {
  const logs = sources.backup.manifest.streams.filter(({ name }) => name !== IMAGE_OBJECTS);
  const decides = logs.filter(({ name }) => DECISIONS.includes(name)).toReversed();
  return [...decides, ...logs.filter(({ name }) => !DECISIONS.includes(name))];
}

async function readDecisions(sources: Sources): Promise<Consequences> {
  const recordsOf = async function* (topic: string): AsyncIterable<BackedUpRecord> {
    for await (const frame of framesOf(sourceOf(sources, topic), topic)) yield recordOf(frame);
  };
  const exclusions = new RestoreExclusions(RESTORE_SOURCE);
  for await (const record of recordsOf(SEARCHES_EVENTS)) exclusions.noteEvent(record);
  for await (const record of recordsOf(CUSTODY_DISPOSITIONS)) exclusions.decide(record);
  const { manifest } = sources.backup;
  const images = manifest.streams.find(({ name }) => name === CUSTODY_IMAGES)?.ends ?? {};
  const directions = new RestoredDirections(
    RESTORE_SOURCE,
    (id) => exclusions.hasEvents(id),
    ({ partition, offset }) => offset < (images[partition] ?? 0),
  );
  for await (const record of recordsOf(CUSTODY_DIRECTIONS)) directions.read(record);
  const governance: BackedUpRecord[] = [];
  for await (const record of recordsOf(GOVERNANCE_DECISIONS)) governance.push(record);
  return { exclusions, directions, notWhole: galleryNotWhole(governance, manifest) };
}

function say({ backup, decisions }: Sources, { exclusions, notWhole }: Consequences): void {
  const [whole, newer] = [backup.manifest, decisions?.manifest];
  const { erased, unreadableDispositions: unreadable } = exclusions;
  const lines = [
    `backup of ${cutOf(whole)}, decisions of ${cutOf(newer ?? whole)}`,
    `${erased} images are erased in part or whole: nothing of that is restored`,
    `What was decided after ${lostSince(whole, newer)} is lost: erasures, restrictions and holds since must be given again.`,
    ...(unreadable.length === 0
      ? []
      : [
          `WARNING: ${unreadable.length} records of ${CUSTODY_DISPOSITIONS} cannot be read (${unreadable.slice(0, UNREADABLE_SHOWN_MAX).join(', ')}). They are restored as they are, and their images kept out of searches: each may be an erasure.`,
        ]),
    ...(notWhole === undefined ? [] : [warningOf(notWhole)]),
  ];
  process.stdout.write(`${lines.join('\n')}\n`);
}

function warningOf({ inForce, since, before, isInBackup }: GalleryNotWhole): string {
  const has = isInBackup ? 'has its gallery as it was before that, perhaps half' : 'has nothing of its gallery';
  return `WARNING: model ${inForce} is in force since ${since}, and the backup ${has}; model ${before} was in force then. Leave searching suspended until that gallery is built again (docs/operations.md#restore).`;
}

function lineOf(what: string, written: number, leftOut: number, why = 'as erased'): string {
  return `${what.padEnd(44)} ${written}${leftOut === 0 ? '' : `, ${leftOut} left out ${why}`}`;
}

/** What came to `custody.images` before then, Kafka deletes as soon as it looks at how old it is. */
function imagesKeptFromMs(topics: readonly DesiredTopic[]): number {
  const keptMs = topics.find(({ name }) => name === CUSTODY_IMAGES)?.config['retention.ms'];
  return keptMs === undefined ? -Infinity : Date.now() - Number(keptMs);
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
