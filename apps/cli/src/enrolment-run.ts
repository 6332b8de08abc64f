/**
 * One run of an enrolment, whatever its source is: its journal, the sending, the counts, and the end, when what was
 * enrolled can be searched for.
 */
import { rm } from 'node:fs/promises';
import type { RecordPosition } from '#kafka/kafka-record.js';
import { Failure } from '#domain/errors.js';
import type { KafkaClient } from '#kafka/kafka-client.js';
import type { Settings } from '#platform/settings.js';
import { BulkEnrolment, type AwaitedRecord, type RecordAnswer, type RecordToSend } from './bulk-enrolment.js';
import { CsvFile } from './csv-file.js';
import { EnrolmentJournal, journalFile, type CountedAnswers, type JournalRecord } from './enrolment-journal.js';
import { ServiceClient } from './service-client.js';

const SEARCHABLE_TIMEOUT_MS = 120_000;
const POLL_MS = 250;

/** A record, and what the journal is to say of it. */
export interface NotedRecord extends RecordToSend {
  readonly noted: JournalRecord;
}

export interface RunOptions {
  readonly source: string;
  readonly restart: boolean;
  /** One more has its outcome, of this run or of the one before. */
  readonly onAnswer: () => void;
  /** In the journal from now on, sent or answered. */
  readonly onNoted?: (record: JournalRecord) => void;
}

export interface RunResult {
  readonly sent: number;
  readonly durationMs: number;
  /** Of this run and those before it. */
  readonly counts: readonly CountedAnswers[];
  /** By what is to be done better, of those that this run has enrolled. */
  readonly advice: ReadonlyMap<string, number>;
  /** Lists what is not in the gallery as it was asked; undefined when everything is. */
  readonly rejectsFile: string | undefined;
}

export class EnrolmentRun {
  private readonly bulk: BulkEnrolment;
  private readonly startedAtMs = Date.now();
  /** Of records that were sent and have no outcome yet. */
  private readonly positions = new Map<string, RecordPosition>();
  private readonly awaited: ReadonlyMap<string, AwaitedRecord>;

  private constructor(
    kafka: KafkaClient,
    private readonly settings: Settings,
    readonly journal: EnrolmentJournal,
    private readonly options: RunOptions,
  ) {
    const awaited = journal.awaited();
    this.awaited = new Map(awaited.map((record) => [record.key, record]));
    this.bulk = new BulkEnrolment(
      kafka,
      (answer, record) => {
        const position = this.positions.get(record.key);
        this.positions.delete(record.key);
        if (isNoted(record)) {
          journal.answered(record.noted, answer, position);
          options.onNoted?.(record.noted);
        } else {
          journal.awaitedAnswered(this.awaited.get(record.key)!, answer);
        }
        options.onAnswer();
      },
      {
        awaited,
        ...(awaited.length > 0 && { outcomesFrom: journal.positions('outcomes') }),
        onSent: (record, position) => {
          if (!isNoted(record)) return;
          this.positions.set(record.key, position);
          journal.sent(record.noted, position);
          options.onNoted?.(record.noted);
        },
        onOutcomesRead: (partition, nextOffset) => journal.storePosition('outcomes', partition, nextOffset),
        onLost: (record) => journal.lost(record),
      },
    );
  }

  /** @throws Failure ENROLMENT_RUNNING, KAFKA_UNAVAILABLE */
  static async open(kafka: KafkaClient, settings: Settings, options: RunOptions): Promise<EnrolmentRun> {
    const clusterId = await kafka.topicAdmin().clusterId();
    const { source, restart } = options;
    const journal = EnrolmentJournal.open({ dataFolder: settings.DATA_DIR, source, clusterId, restart });
    const run = new EnrolmentRun(kafka, settings, journal, options);
    await run.bulk.start();
    return run;
  }

  /** One at a time. @throws whatever ended the run */
  submit(record: NotedRecord): Promise<void> {
    return this.bulk.submit(record);
  }

  /** It cannot be sent, and the source has to know why. */
  refuse(record: JournalRecord, answer: RecordAnswer): void {
    this.journal.answered(record, answer, undefined);
    this.options.onNoted?.(record);
    this.options.onAnswer();
  }

  /**
   * Resolves when everything that was sent has its outcome, and what was enrolled is searchable.
   *
   * @throws Failure NOT_SEARCHABLE_YET; whatever ended the run
   */
  async finish(): Promise<RunResult> {
    await this.bulk.settled();
    await this.untilSearchable();
    const { sent, advice } = this.bulk.tally;
    return {
      sent,
      durationMs: Date.now() - this.startedAtMs,
      counts: this.journal.counts(),
      advice,
      rejectsFile: await this.writeRejects(),
    };
  }

  async close(): Promise<void> {
    await this.bulk.close();
    this.journal.close();
  }

  private async writeRejects(): Promise<string | undefined> {
    const path = journalFile(this.settings.DATA_DIR, this.options.source).replace(/\.sqlite$/, '-rejects.csv');
    const file = new CsvFile(path, ['imageId', 'from', 'outcome', 'code', 'detail']);
    for (const { imageId, from, outcome, code, detail } of this.journal.unenrolled()) {
      await file.write([imageId, from, outcome, code, detail]);
    }
    await file.close();
    if (file.rows > 0) return path;
    await rm(path);
    return undefined;
  }

  private async untilSearchable(): Promise<void> {
    const ends = this.bulk.searchableAt;
    if (ends.size === 0) return;
    const client = new ServiceClient(this.settings, 'service');
    const deadline = Date.now() + SEARCHABLE_TIMEOUT_MS;
    for (;;) {
      const { galleries } = await client.call<{ galleries: { watermark: Record<string, number> }[] }>(
        'GET',
        '/v1/galleries',
      );
      const watermark = galleries[0]?.watermark ?? {};
      if ([...ends].every(([partition, end]) => (watermark[partition] ?? 0) >= end)) return;
      if (Date.now() > deadline) {
        throw new Failure(
          'NOT_SEARCHABLE_YET',
          'Everything is enrolled, but the index has not read all of it yet.',
          true,
        );
      }
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }
}

/** Whether this run has submitted it. */
function isNoted(record: object): record is NotedRecord {
  return 'noted' in record;
}
