/**
 * `custody backup <folder>`: what cannot be rebuilt, of a system that goes on running. Sealed with a key that is kept
 * elsewhere; goes on where it was interrupted.
 */
import { randomUUID } from 'node:crypto';
import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { AuditLog } from '#audit/audit-log.js';
import { CUSTODY_IMAGES } from '#contracts/topics.js';
import { describeError, Failure } from '#domain/errors.js';
import type { Offset } from '#domain/ids.js';
import { KafkaClient } from '#kafka/kafka-client.js';
import type { LogBatch } from '#kafka/log-reader.js';
import type { TopicAdmin } from '#kafka/topic-admin.js';
import type { ObjectName, SealedObjects } from '#platform/image-store.js';
import { kafkaConnection } from '#platform/kafka-settings.js';
import { createLog } from '#platform/log.js';
import { openImageStore } from '#platform/open-image-store.js';
import type { Settings } from '#platform/settings.js';
import { BACKUP_SOURCE, INGEST_GROUP, objectFrame, recordFrame, streamsOf } from './backup-contents.js';
import {
  BACKUP_MANIFEST,
  BackupKeys,
  IMAGE_OBJECTS,
  openBackup,
  readManifest,
  writeManifest,
  type BackupManifest,
  type BackupStream,
  type OpenBackup,
} from './backup-manifest.js';
import { SegmentWriter, type Frame } from './backup-segment.js';

/** What an interruption costs, and what a damaged file takes with it. */
const SEGMENT_BYTES = 64 * 1024 * 1024;
const DAY_MS = 24 * 3600_000;
const SEGMENT_DIGITS = 6;

export interface BackupOptions {
  readonly key: string;
  /** What decides about a restore of an older backup, and nothing else. */
  readonly decisions?: boolean;
  readonly keepDays: number;
  /** Who has it made: a person, or a job. */
  readonly by: string;
}

/** @throws Failure BACKUP_KEY_UNREADABLE, BACKUP_KEY_OTHER, BACKUP_EXISTS, BACKUP_DAMAGED, and what Kafka and the image store throw */
export async function backUp(settings: Settings, folder: string, options: BackupOptions): Promise<void> {
  const keys = await BackupKeys.read(options.key);
  const kind = options.decisions === true ? 'decisions' : 'everything';
  const kafka = new KafkaClient({
    ...kafkaConnection(settings),
    clientId: 'custody-cli',
    log: createLog('cli', 'error'),
  });
  try {
    const admin = kafka.topicAdmin();
    const backup = await begunOrNew(kafka, admin, folder, keys, kind, options.keepDays);
    await recordBackup(kafka, backup, options.by);
    const images = backup.manifest.streams.some(({ name }) => name === IMAGE_OBJECTS)
      ? await openImageStore(settings)
      : undefined;
    await new BackupRun(kafka, admin, images, backup).run();
    const { manifest } = backup;
    const count = (name: string): number =>
      Object.values(manifest.streams.find((one) => one.name === name)?.records ?? {}).reduce((a, b) => a + b, 0);
    for (const { name } of manifest.streams) process.stdout.write(`${name.padEnd(44)} ${count(name)}\n`);
    const bytes = manifest.segments.reduce((sum, one) => sum + one.bytes, 0);
    process.stdout.write(
      `${folder}: backup ${manifest.backupId}, ${bytes} bytes, to be deleted by ${manifest.expiresAt} (custody backups prune)\n`,
    );
  } finally {
    await kafka.close();
  }
}

/** One that was interrupted is gone on with, with its kind and its dates. */
async function begunOrNew(
  kafka: KafkaClient,
  admin: TopicAdmin,
  folder: string,
  keys: BackupKeys,
  kind: BackupManifest['kind'],
  keepDays: number,
): Promise<OpenBackup> {
  await mkdir(folder, { recursive: true });
  const clusterId = await admin.clusterId();
  const begun = await openBackup(folder, keys);
  if (begun !== undefined) {
    const { manifest } = begun;
    if (manifest.completedAt === null && manifest.clusterId === clusterId && manifest.kind === kind) return begun;
    throw new Failure('BACKUP_EXISTS', `${folder} holds a backup already: give another folder.`, false);
  }
  if ((await readdir(folder)).length > 0) {
    throw new Failure('BACKUP_EXISTS', `${folder} is not empty: give another folder.`, false);
  }
  const { key, ...sealedKey } = keys.newBackupKey();
  const startedAt = new Date();
  const topics = await admin.topicNames();
  // First of all: what is handled later is in the logs that are read later, twice at the worst.
  const hasImages = topics.includes(CUSTODY_IMAGES);
  const handled = hasImages ? await admin.groupOffsets(INGEST_GROUP, CUSTODY_IMAGES) : new Map<number, Offset>();
  const manifest: BackupManifest = {
    format: 1,
    backupId: randomUUID(),
    kind,
    clusterId,
    startedAt: startedAt.toISOString(),
    completedAt: null,
    expiresAt: new Date(startedAt.getTime() + keepDays * DAY_MS).toISOString(),
    ...sealedKey,
    handled: hasImages ? [{ groupId: INGEST_GROUP, topic: CUSTODY_IMAGES, offsets: record(handled) }] : [],
    oldestUnhandledAt: hasImages ? await oldestUnhandledAt(kafka, admin, handled) : null,
    streams: streamsOf(kind, topics).map((name): BackupStream => ({
      name,
      cutAt: startedAt.toISOString(),
      ends: {},
      next: {},
      records: {},
      lastObject: null,
      done: false,
    })),
    segments: [],
  };
  const backup = { folder, manifest, key };
  await writeManifest(backup);
  return backup;
}

/** @param handled by partition of `custody.images`, exclusive @returns ISO 8601; null when everything is handled */
async function oldestUnhandledAt(
  kafka: KafkaClient,
  admin: TopicAdmin,
  handled: ReadonlyMap<number, Offset>,
): Promise<string | null> {
  const lookup = kafka.recordLookup();
  try {
    const times: number[] = [];
    for (const [partition, { low, high }] of await admin.topicOffsets(CUSTODY_IMAGES)) {
      const from = Math.max(low, handled.get(partition) ?? 0) as Offset;
      const first = from < high ? await lookup.first(CUSTODY_IMAGES, partition, from) : undefined;
      if (first !== undefined) times.push(first.timestampMs);
    }
    return times.length === 0 ? null : new Date(Math.min(...times)).toISOString();
  } finally {
    await lookup.close();
  }
}

/** A copy of everything is a use of everybody's data: it is on record before it is made. */
async function recordBackup(kafka: KafkaClient, { manifest }: OpenBackup, by: string): Promise<void> {
  const publisher = kafka.publisher({ deadlineMs: 30_000 });
  await new AuditLog(publisher, BACKUP_SOURCE).append([
    {
      operation: 'consultation',
      action: 'backed-up',
      actor: by,
      role: 'system',
      purpose: 'backup',
      detail: {
        backupId: manifest.backupId,
        kind: manifest.kind,
        keyId: manifest.keyId,
        expiresAt: manifest.expiresAt,
      },
    },
  ]);
  await publisher.close();
}

class BackupRun {
  private writer: SegmentWriter | undefined;
  private recordsInSegment = 0;
  /** Of the stream that is read: as `next` and `lastObject` become when the segment is closed. */
  private position: {
    readonly next: Map<number, number>;
    lastObject: string | null;
    readonly records: Map<number, number>;
  } = fresh();

  constructor(
    private readonly kafka: KafkaClient,
    private readonly admin: TopicAdmin,
    private readonly images: SealedObjects | undefined,
    private readonly backup: OpenBackup,
  ) {}

  async run(): Promise<void> {
    const { streams } = this.backup.manifest;
    for (const { name, done } of streams) {
      if (done) continue;
      try {
        if (name === IMAGE_OBJECTS) await this.copyObjects();
        else await this.copyTopic(name);
        await this.closeSegment(name, true);
      } finally {
        await this.writer?.abandon();
        this.writer = undefined;
      }
    }
    await this.change((manifest) => ({ ...manifest, completedAt: new Date().toISOString() }));
  }

  private async copyTopic(topic: string): Promise<void> {
    const stream = await this.cut(topic);
    this.position = {
      next: new Map(entries(stream.next)),
      records: new Map(entries(stream.records)),
      lastObject: null,
    };
    const ends = new Map(entries(stream.ends));
    const open = [...ends].filter(([partition, end]) => this.position.next.get(partition)! < end);
    if (open.length === 0) return;
    let failed: Error | undefined;
    const reader = this.kafka.logReader({
      topic,
      partitions: open.map(([partition]) => partition),
      from: new Map(open.map(([partition]) => [partition, this.position.next.get(partition)! as Offset])),
      // One after the other: they go into one file.
      concurrency: 1,
      // Records that were to be copied are gone meanwhile, because their time was over: what there is, is copied.
      onOutOfRange: (_partition, requested, low, high) => (requested < low ? low : high),
      onBatch: async (batch) => {
        if (failed !== undefined) return;
        await this.copyBatch(topic, batch, ends.get(batch.partition)!).catch((error: Error) => (failed = error));
      },
      onFatal: (error) => (failed ??= error as Error),
    });
    try {
      await reader.start();
      await reader.caughtUp();
    } catch (error) {
      throw failed ?? error;
    } finally {
      await reader.close();
    }
    if (failed !== undefined) throw failed;
    for (const [partition, end] of ends) this.position.next.set(partition, end);
  }

  private async copyBatch(topic: string, { partition, records, nextOffset }: LogBatch, end: number): Promise<void> {
    let copied = 0;
    for (const record of records) {
      if (record.offset >= end) break;
      await this.write(recordFrame(record));
      copied++;
    }
    this.position.records.set(partition, (this.position.records.get(partition) ?? 0) + copied);
    this.position.next.set(partition, Math.min(nextOffset, end));
    if (this.writer !== undefined && this.writer.bytes >= SEGMENT_BYTES) await this.closeSegment(topic, false);
  }

  private async copyObjects(): Promise<void> {
    const stream = this.streamOf(IMAGE_OBJECTS);
    this.position = { ...fresh(), lastObject: stream.lastObject, records: new Map(entries(stream.records)) };
    if (stream.lastObject === null) {
      await this.changeStream(IMAGE_OBJECTS, (one) => ({ ...one, cutAt: new Date().toISOString() }));
    }
    for await (const name of this.images!.names((stream.lastObject ?? undefined) as ObjectName | undefined)) {
      const sealed = await this.images!.getSealed(name);
      // Erased since it was named.
      if (sealed === undefined) continue;
      await this.write(objectFrame(name, sealed));
      this.position.lastObject = name;
      this.position.records.set(0, (this.position.records.get(0) ?? 0) + 1);
      if (this.writer!.bytes >= SEGMENT_BYTES) await this.closeSegment(IMAGE_OBJECTS, false);
    }
  }

  /** Fixes up to where the topic is copied, unless an earlier run has. Of the images, those that are not handled. */
  private async cut(topic: string): Promise<BackupStream> {
    const stream = this.streamOf(topic);
    if (Object.keys(stream.ends).length > 0) return stream;
    const cutAt = new Date().toISOString();
    const found = await this.admin.topicOffsets(topic);
    const handled = this.backup.manifest.handled.find((one) => one.topic === topic)?.offsets ?? {};
    const begins = [...found].map(([partition, { low, high }]) => {
      const begin = Math.min(Math.max(low, handled[partition] ?? 0), high);
      return [partition, begin] as const;
    });
    const ends = record(new Map([...found].map(([partition, { high }]) => [partition, high])));
    const fixed = { ...stream, cutAt, ends, next: record(new Map(begins)) };
    await this.changeStream(topic, () => fixed);
    return fixed;
  }

  private async write(frame: Frame): Promise<void> {
    this.writer ??= await SegmentWriter.create(join(this.backup.folder, this.nextFile()), this.backup.key);
    await this.writer.write(frame);
    this.recordsInSegment++;
  }

  /** From then on, what has been read need not be read again. */
  private async closeSegment(name: string, done: boolean): Promise<void> {
    const { writer, recordsInSegment: records, position } = this;
    const file = this.nextFile();
    const segment = writer === undefined ? [] : [{ file, stream: name, records, ...(await writer.close()) }];
    this.writer = undefined;
    this.recordsInSegment = 0;
    await this.change((manifest) => ({
      ...manifest,
      segments: [...manifest.segments, ...segment],
      streams: manifest.streams.map((one) =>
        one.name !== name
          ? one
          : {
              ...one,
              next: record(position.next),
              records: record(position.records),
              lastObject: position.lastObject,
              done,
            },
      ),
    }));
  }

  private nextFile(): string {
    return `${String(this.backup.manifest.segments.length + 1).padStart(SEGMENT_DIGITS, '0')}.sealed`;
  }

  private streamOf(name: string): BackupStream {
    return this.backup.manifest.streams.find((one) => one.name === name)!;
  }

  private changeStream(name: string, changed: (stream: BackupStream) => BackupStream): Promise<void> {
    return this.change((manifest) => ({
      ...manifest,
      streams: manifest.streams.map((one) => (one.name === name ? changed(one) : one)),
    }));
  }

  private async change(changed: (manifest: BackupManifest) => BackupManifest): Promise<void> {
    Object.assign(this.backup.manifest, changed(this.backup.manifest));
    await writeManifest(this.backup);
  }
}

/**
 * Every backup in a folder of backups; deletes those whose time is over where that is asked for. One that cannot be read
 * keeps no other from it, and is left for somebody to look at: the process then ends with 1.
 */
export async function listBackups(parent: string, options: { readonly prune: boolean }): Promise<void> {
  for (const entry of (await readdir(parent, { withFileTypes: true })).filter((one) => one.isDirectory())) {
    const folder = join(parent, entry.name);
    const manifest = await readManifest(folder).catch((error: unknown) => {
      process.stdout.write(`${folder}  DAMAGED  ${describeError(error)}\n`);
      process.exitCode = 1;
    });
    if (manifest === undefined) continue;
    const isOver = Date.parse(manifest.expiresAt) <= Date.now();
    // The manifest first: its key with it, so that what is left of the segments opens to nobody.
    if (isOver && options.prune) {
      await rm(join(folder, BACKUP_MANIFEST));
      await rm(folder, { recursive: true });
    }
    const state = isOver
      ? options.prune
        ? 'deleted'
        : 'EXPIRED'
      : manifest.completedAt === null
        ? 'unfinished'
        : 'whole';
    process.stdout.write(
      `${folder}  ${manifest.kind}  begun ${manifest.startedAt}  until ${manifest.expiresAt}  key ${manifest.keyId}  ${state}\n`,
    );
  }
}

function fresh(): { next: Map<number, number>; lastObject: string | null; records: Map<number, number> } {
  return { next: new Map(), lastObject: null, records: new Map() };
}

function entries(offsets: Readonly<Record<string, number>>): [number, number][] {
  return Object.entries(offsets).map(([partition, offset]) => [Number(partition), offset]);
}

function record(offsets: ReadonlyMap<number, number>): Record<string, number> {
  return Object.fromEntries([...offsets].map(([partition, offset]) => [String(partition), offset]));
}
