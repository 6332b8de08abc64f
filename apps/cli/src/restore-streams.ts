/** Writes the streams of a backup: a topic's records partition by partition, the image store's objects as they were. */
import { join } from 'node:path';
import type { Offset } from '#domain/ids.js';
import type { LogRestore } from '#kafka/log-restore.js';
import { BEFORE_PROBES, type ImageStore, type ObjectName, type SealedObjects } from '#platform/image-store.js';
import { objectOf, recordOf, type BackedUpRecord } from './backup-contents.js';
import { IMAGE_OBJECTS, type OpenBackup } from './backup-manifest.js';
import { readSegment, type Frame } from './backup-segment.js';
import type { RestoreExclusions } from './restore-exclusions.js';

/** Records that wait for their request, of each partition. */
const BATCH_RECORDS_MAX = 500;
const BATCH_BYTES_MAX = 512 * 1024;

export interface RestoredTopic {
  readonly name: string;
  readonly records: number;
  /** Because they are erased, or replaced. */
  readonly leftOut: number;
  /** Exclusive, by partition. */
  readonly ends: ReadonlyMap<number, Offset>;
}

/** Everything of a stream, in the order in which it was read. @throws Failure BACKUP_DAMAGED */
export async function* framesOf({ folder, manifest, key }: OpenBackup, stream: string): AsyncIterable<Frame> {
  for (const segment of manifest.segments.filter((one) => one.stream === stream)) {
    yield* readSegment(join(folder, segment.file), key, segment);
  }
}

interface Waiting {
  /** Where the first of the records comes to stand. Inclusive. */
  at: Offset;
  /** Records that an earlier run has written. */
  written: number;
  records: BackedUpRecord[];
  bytes: number;
}

/**
 * @param starts by partition, where the first record comes to stand. Inclusive
 * @param restorable each record as it is restored, undefined for none; asked in their order, and anew when it goes on
 * @throws Failure BACKUP_DAMAGED, RESTORE_LOG_DIFFERS, KAFKA_UNAVAILABLE; then the same call goes on
 */
export async function restoreTopic(
  logs: LogRestore,
  backup: OpenBackup,
  topic: string,
  starts: ReadonlyMap<number, Offset>,
  restorable: (record: BackedUpRecord) => BackedUpRecord | undefined,
): Promise<RestoredTopic> {
  const partitions = new Map<number, Waiting>();
  for (const [partition, end] of await logs.begin(topic, starts)) {
    const start = starts.get(partition)!;
    partitions.set(partition, { at: start, written: end - start, records: [], bytes: 0 });
  }
  const flush = async (partition: number, waiting: Waiting): Promise<void> => {
    if (waiting.records.length > 0) waiting.at = await logs.append(topic, partition, waiting.at, waiting.records);
    waiting.records = [];
    waiting.bytes = 0;
  };
  let [records, leftOut] = [0, 0];
  for await (const frame of framesOf(backup, topic)) {
    const record = restorable(recordOf(frame));
    if (record === undefined) {
      leftOut++;
      continue;
    }
    records++;
    const waiting = partitions.get(record.partition)!;
    if (waiting.written > 0) {
      waiting.written--;
      waiting.at = (waiting.at + 1) as Offset;
      continue;
    }
    waiting.records.push(record);
    waiting.bytes += frame.body.length;
    if (waiting.records.length >= BATCH_RECORDS_MAX || waiting.bytes >= BATCH_BYTES_MAX) {
      await flush(record.partition, waiting);
    }
  }
  for (const [partition, waiting] of partitions) await flush(partition, waiting);
  const ends = new Map([...partitions].map(([partition, { at }]) => [partition, at]));
  return { name: topic, records, leftOut, ends };
}

/**
 * @param from segments that an earlier run has written
 * @param onSegment how many are written now
 * @throws Failure BACKUP_DAMAGED; what the image store throws
 */
export async function restoreObjects(
  images: SealedObjects,
  { folder, manifest, key }: OpenBackup,
  exclusions: Pick<RestoreExclusions, 'restorableObject'>,
  from: number,
  onSegment: (segments: number) => Promise<void>,
): Promise<{ readonly written: number; readonly leftOut: number }> {
  let [written, leftOut] = [0, 0];
  const segments = manifest.segments.filter((one) => one.stream === IMAGE_OBJECTS);
  for (const [i, segment] of segments.entries()) {
    if (i < from) {
      written += segment.records;
      continue;
    }
    for await (const frame of readSegment(join(folder, segment.file), key, segment)) {
      const { name, sealed } = objectOf(frame);
      if (exclusions.restorableObject(name as ObjectName)) {
        await images.putSealed(name as ObjectName, sealed);
        written++;
      } else leftOut++;
    }
    await onSegment(i + 1);
  }
  return { written, leftOut };
}

/** Probes in an image store that survived, of searches that did not. @returns how many are gone */
export async function deleteLostProbes(
  images: Pick<SealedObjects, 'names'> & Pick<ImageStore, 'delete'>,
  exclusions: Pick<RestoreExclusions, 'restorableObject'>,
): Promise<number> {
  const lost: ObjectName[] = [];
  for await (const name of images.names(BEFORE_PROBES)) if (!exclusions.restorableObject(name)) lost.push(name);
  for (const name of lost) await images.delete(name);
  return lost.length;
}
