/**
 * Enrols the images of a topic of another system, on the same brokers or on others. Its records are those of
 * `custody.images`, by key, headers and value; they are written there anew, with the partitioner that is needed there.
 *
 * Read by offsets that are kept in the journal, without a consumer group: nothing is written to the other system's
 * brokers. Up to the end that the topic had at the start.
 */
import { readFile } from 'node:fs/promises';
import { parseEnv } from 'node:util';
import { custodyImageId, parseCustodyImage } from '#contracts/custody-image.js';
import type { Headers } from '#contracts/cloud-events.js';
import { isLogMarker } from '#contracts/log-marker.js';
import { CUSTODY_IMAGES } from '#contracts/topics.js';
import { Failure, Refusal } from '#domain/errors.js';
import type { ImageId, Offset } from '#domain/ids.js';
import type { KafkaClient } from '#kafka/kafka-client.js';
import type { LogEnds } from '#kafka/kafka-connection.js';
import type { KafkaRecord } from '#kafka/kafka-record.js';
import { readSettings, type Settings } from '#platform/settings.js';
import type { RecordAnswer } from './bulk-enrolment.js';
import { EnrolmentProgress, report, withKafka } from './enrol.js';
import { EnrolmentRun } from './enrolment-run.js';
import type { EnrolmentJournal, JournalRecord } from './enrolment-journal.js';
import { TopicPositions } from './topic-positions.js';

/** An answer holds one batch of each partition at least, however large its images are. */
const BYTES_PER_PARTITION_MAX = 256 * 1024;
/** Offsets in the log of the system that they were written to: here they would be another image's. */
const OFFSETS_OF_ANOTHER_LOG: ReadonlySet<string> = new Set(['ce_correctionof', 'ce_photographfrom']);
const NO_METADATA = '';

export interface EnrolTopicOptions {
  /** A file of KAFKA_ settings, one a line, by which the topic's brokers are reached; ours when it is left out. */
  readonly topicSettings?: string;
  readonly restart?: boolean;
}

export async function enrolTopic(settings: Settings, topic: string, options: EnrolTopicOptions): Promise<void> {
  const progress = new EnrolmentProgress();
  const sourceSettings = await settingsOfSource(settings, options.topicSettings);
  const result = await withKafka(sourceSettings, (source) =>
    withKafka(settings, async (kafka) => {
      const clusterId = await source.topicAdmin().clusterId();
      if (topic === CUSTODY_IMAGES && clusterId === (await kafka.topicAdmin().clusterId())) {
        throw new Refusal('SOURCE_IS_TARGET', `${topic} is where images are sent to: ingest reads it already.`);
      }
      const ends = await endsOf(source, topic);
      const positions = new TopicPositions();
      const run = await EnrolmentRun.open(kafka, settings, {
        source: `${clusterId}/${topic}`,
        restart: options.restart === true,
        onAnswer: () => progress.answered(),
        onNoted: (record) => positions.noted(record.source!.partition, record.source!.offset),
      });
      try {
        const enrolment = new TopicEnrolment(source, topic, run, positions);
        const { total, earlier } = enrolment.begin(ends);
        if (total === 0) throw new Failure('NOTHING_TO_ENROL', `There is no record in ${topic}.`, false);
        progress.start(total, earlier);
        await enrolment.readToEnd();
        return await run.finish();
      } finally {
        await run.close();
      }
    }),
  ).finally(() => progress.stop());
  report(result);
}

class TopicEnrolment {
  private readonly journal: EnrolmentJournal;
  private from: ReadonlyMap<number, Offset> = new Map();

  constructor(
    private readonly kafka: KafkaClient,
    private readonly topic: string,
    private readonly run: EnrolmentRun,
    private readonly positions: TopicPositions,
  ) {
    this.journal = run.journal;
  }

  /**
   * Where to read on. What the topic has forgotten since the run before is noted: the other system has to send it again.
   *
   * @returns how many records there are at most, compaction leaves gaps, and how many were answered before
   */
  begin(ends: ReadonlyMap<number, LogEnds>): { readonly total: number; readonly earlier: number } {
    const known = this.journal.positions('source');
    const failed = this.journal.firstFailed();
    const from = new Map<number, Offset>();
    let offsets = 0;
    for (const [partition, { low, high }] of ends) {
      const done = known.get(partition);
      if (done !== undefined && done < low) this.noteGone(partition, done, low);
      const again = failed.get(partition) ?? done ?? low;
      const start = Math.min(high, Math.max(low, Math.min(again, done ?? low))) as Offset;
      from.set(partition, start);
      offsets += high - start;
    }
    this.from = from;
    const done = this.journal.countDone();
    const total = done + offsets - this.journal.countDoneFrom(from);
    return { total, earlier: done - this.journal.awaited().length };
  }

  async readToEnd(): Promise<void> {
    const failed = Promise.withResolvers<never>();
    failed.promise.catch(() => undefined);
    const reader = this.kafka.logReader({
      topic: this.topic,
      partitions: [...this.from.keys()],
      from: this.from,
      // One at a time: the room that there is for records is shared.
      concurrency: 1,
      maxBytesPerPartition: BYTES_PER_PARTITION_MAX,
      onOutOfRange: (partition, requested, low, high) => {
        // Deleted while it was read. A log that is shorter than it was is another one.
        if (requested > high)
          throw new Failure('OFFSET_OUT_OF_RANGE', `${this.topic}/${partition} ends at ${high}.`, false);
        this.noteGone(partition, requested, low);
        return low;
      },
      onBatch: async ({ partition, records, nextOffset }) => {
        for (const record of records) await this.take(record);
        this.positions.readTo(partition, nextOffset);
        this.storePositions();
      },
      onFatal: failed.reject,
    });
    try {
      await Promise.race([reader.caughtUp(), failed.promise]);
    } finally {
      await reader.close();
      this.storePositions();
    }
  }

  private async take(record: KafkaRecord): Promise<void> {
    const { partition, offset, headers, value } = record;
    if (isLogMarker(headers)) return;
    const key = `${partition}/${offset}`;
    if (this.journal.isDone(key, NO_METADATA)) return;
    const from = `${this.topic}/${key}`;
    const source = { partition, offset };
    this.positions.taken(partition, offset, record.key?.toString() ?? '');
    let imageId = '' as ImageId;
    try {
      imageId = custodyImageId(record.key);
      this.refuseUnordered(imageId, partition);
      // A null is for ingest to judge, with the assertion that it carries.
      if (value !== null) parseCustodyImage(imageId, headers);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      this.run.refuse({ key, imageId, from, source, metadataSha256: NO_METADATA }, refused(imageId, error));
      return;
    }
    const noted: JournalRecord = { key, imageId, from, source, metadataSha256: NO_METADATA };
    await this.run.submit({ key, imageId, noted, headers: forwarded(headers), read: () => Promise.resolve(value) });
  }

  /** Of two records of an image on two partitions, nobody knows which is the later one. */
  private refuseUnordered(imageId: ImageId, partition: number): void {
    // What is on its way to the log comes into the journal when the broker has acknowledged it.
    const other =
      this.journal.otherPartitionOf(imageId, partition) ?? this.positions.otherPartitionOf(imageId, partition);
    if (other === undefined) return;
    throw new Refusal(
      'WRONG_PARTITION',
      `Partition ${other} of the source has a record of this image too: which is the later one cannot be known.`,
    );
  }

  private noteGone(partition: number, from: Offset, low: Offset): void {
    const key = `${partition}/${from}`;
    const gone = new Refusal('SOURCE_GONE', `The topic had forgotten ${low - from} offsets before they were read.`);
    const noted = { key, imageId: '', from: `${this.topic}/${key} to ${low - 1}`, metadataSha256: NO_METADATA };
    this.journal.answered({ ...noted, source: { partition, offset: from } }, refused('' as ImageId, gone), undefined);
  }

  private storePositions(): void {
    for (const [partition, nextOffset] of this.positions.done()) {
      this.journal.storePosition('source', partition, nextOffset);
    }
  }
}

function refused(imageId: ImageId, { code, publicText: detail }: Refusal): RecordAnswer {
  return { imageId, outcome: 'refused', code, detail };
}

/** The other system's own words, which the audit keeps: who sent it, when, under which id. */
function forwarded(headers: Readonly<Record<string, string>>): Headers {
  const names = Object.keys(headers).filter(
    (name) =>
      (name.startsWith('ce_') && !OFFSETS_OF_ANOTHER_LOG.has(name)) || name === 'content-type' || name === 'assertion',
  );
  return Object.fromEntries(names.map((name) => [name, headers[name]!]));
}

async function endsOf(source: KafkaClient, topic: string): Promise<ReadonlyMap<number, LogEnds>> {
  const ends = await source
    .topicAdmin()
    .topicOffsets(topic)
    .catch((error: unknown) => {
      if (!(error instanceof Failure) || error.code !== 'TOPIC_CHANGE_FAILED') throw error;
      throw new Refusal('SOURCE_NOT_FOUND', `There is no topic ${topic} that may be read.`, undefined, {
        cause: error,
      });
    });
  return ends;
}

async function settingsOfSource(settings: Settings, file: string | undefined): Promise<Settings> {
  if (file === undefined) return settings;
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new Refusal('SOURCE_NOT_FOUND', `${file} cannot be read.`, undefined, { cause });
  });
  return readSettings(parseEnv(text));
}
