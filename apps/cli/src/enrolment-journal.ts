/**
 * What an enrolment has sent and had answered so far, so that a run that was cut short, by `kill -9` too, goes on where
 * it was. A file of node:sqlite for each source: a line for each record that was sent or refused, which of them wait for
 * their outcome, and how far `custody.outcomes` and a source topic have been read.
 *
 * An answer is to an image with its metadata and choice of face: when any of that is changed, the image is sent again.
 */
import { createHash } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { DatabaseSync, type SQLOutputValue, type StatementSync } from 'node:sqlite';
import type { CustodyImage } from '#contracts/custody-image.js';
import { Failure } from '#domain/errors.js';
import type { ImageId, Offset } from '#domain/ids.js';
import type { ImageOutcome } from '#domain/image-outcome.js';
import type { RecordPosition } from '#kafka/kafka-record.js';
import type { AwaitedRecord, RecordAnswer } from './bulk-enrolment.js';

export interface JournalRecord {
  /** Unique in the source: an imageId, or a record's place in a topic. */
  readonly key: string;
  readonly imageId: string;
  /** A path, a line or a place, in words for whoever has to look there. */
  readonly from: string;
  /** Of what was said about the image. */
  readonly metadataSha256: string;
  /** Of a source topic. Inclusive: the record's own place. */
  readonly source?: RecordPosition;
}

export interface JournalOptions {
  readonly dataFolder: string;
  /** Each has a journal of its own. */
  readonly source: string;
  /** Of the Kafka cluster that is sent to: what another one has answered says nothing about this one. */
  readonly clusterId: string;
  /** Forgets what was. */
  readonly restart: boolean;
}

export interface CountedAnswers {
  readonly outcome: ImageOutcome['outcome'];
  readonly code: string | null;
  readonly records: number;
}

export interface UnenrolledRecord {
  readonly imageId: string;
  readonly from: string;
  readonly outcome: string;
  readonly code: string;
  readonly detail: string;
}

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS origin (cluster_id TEXT NOT NULL, source TEXT NOT NULL);
  CREATE TABLE IF NOT EXISTS records (
    key TEXT PRIMARY KEY, image_id TEXT NOT NULL, said_from TEXT NOT NULL, metadata_sha256 TEXT NOT NULL,
    run INTEGER NOT NULL, source_partition INTEGER, source_offset INTEGER,
    partition INTEGER, offset INTEGER, outcome TEXT, code TEXT, detail TEXT
  ) WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS records_awaited ON records (key) WHERE outcome IS NULL;
  CREATE INDEX IF NOT EXISTS records_of_source ON records (source_partition, source_offset)
    WHERE source_partition IS NOT NULL;
  CREATE INDEX IF NOT EXISTS records_of_image ON records (image_id) WHERE source_partition IS NOT NULL;
  CREATE TABLE IF NOT EXISTS positions (
    log TEXT, partition INTEGER, next_offset INTEGER NOT NULL, PRIMARY KEY (log, partition)
  ) WITHOUT ROWID;
`;
const DONE = "(outcome IS NULL OR outcome <> 'failed')";
/** Another process has the file: the low byte of a result code. */
const SQLITE_BUSY = 5;

type Log = 'outcomes' | 'source';

export class EnrolmentJournal {
  private run: number;
  private readonly upsert: StatementSync;
  private readonly settle: StatementSync;
  private readonly look: StatementSync;
  private readonly see: StatementSync;
  private readonly position: StatementSync;

  private constructor(private readonly db: DatabaseSync) {
    this.run = (db.prepare('SELECT max(run) AS run FROM records').get()!['run'] as number | null) ?? 0;
    this.upsert = db.prepare(
      `INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (key) DO UPDATE SET metadata_sha256 = excluded.metadata_sha256, said_from = excluded.said_from,
         run = excluded.run, partition = excluded.partition, offset = excluded.offset, outcome = excluded.outcome,
         code = excluded.code, detail = excluded.detail`,
    );
    this.settle = db.prepare(
      'UPDATE records SET outcome = ?, code = ?, detail = ? WHERE key = ? AND partition = ? AND offset = ?',
    );
    this.look = db.prepare('SELECT metadata_sha256, outcome FROM records WHERE key = ?');
    this.see = db.prepare('UPDATE records SET run = ? WHERE key = ?');
    this.position = db.prepare(
      `INSERT INTO positions VALUES (?, ?, ?)
       ON CONFLICT (log, partition) DO UPDATE SET next_offset = excluded.next_offset`,
    );
  }

  /** @throws Failure ENROLMENT_RUNNING */
  static open(options: JournalOptions): EnrolmentJournal {
    const db = openDatabase(journalFile(options.dataFolder, options.source));
    const origin = db.prepare('SELECT cluster_id FROM origin').get();
    if (options.restart || origin?.['cluster_id'] !== options.clusterId) {
      db.exec('BEGIN; DELETE FROM records; DELETE FROM positions; DELETE FROM origin;');
      db.prepare('INSERT INTO origin VALUES (?, ?)').run(options.clusterId, options.source);
      db.exec('COMMIT');
    }
    return new EnrolmentJournal(db);
  }

  /** From now on, records that are not {@link seen} again are left out of the counts: they have left the source. */
  beginPass(): void {
    this.run++;
    this.db.exec('BEGIN');
  }

  endPass(): void {
    this.db.exec('COMMIT');
  }

  /** @returns whether it needs not be sent: it was answered, or waits for its outcome. A failure was ours: worth another try. */
  seen(key: string, metadataSha256: string): boolean {
    this.see.run(this.run, key);
    return this.isDone(key, metadataSha256);
  }

  isDone(key: string, metadataSha256: string): boolean {
    const row = this.look.get(key);
    return row !== undefined && row['metadata_sha256'] === metadataSha256 && row['outcome'] !== 'failed';
  }

  sent(record: JournalRecord, position: RecordPosition): void {
    this.put(record, position, undefined);
  }

  /** @param position of the record that is answered; undefined for one that was not sent */
  answered(record: JournalRecord, answer: RecordAnswer, position: RecordPosition | undefined): void {
    this.put(record, position, answer);
  }

  /** The outcome of what an earlier run has sent; of one that was sent again since, nothing is noted. */
  awaitedAnswered({ key, partition, offset }: AwaitedRecord, { outcome, code, detail }: RecordAnswer): void {
    this.settle.run(outcome, code ?? null, detail ?? null, key, partition, offset);
  }

  /** It is to be sent again. */
  lost({ key, partition, offset }: AwaitedRecord): void {
    this.settle.run('failed', 'RECORD_LOST', null, key, partition, offset);
  }

  /** Sent, and without an outcome so far. */
  awaited(): readonly AwaitedRecord[] {
    const rows = this.db.prepare('SELECT key, image_id, partition, offset FROM records WHERE outcome IS NULL').all();
    return rows.map((row) => ({
      key: row['key'] as string,
      imageId: row['image_id'] as ImageId,
      partition: row['partition'] as number,
      offset: row['offset'] as Offset,
    }));
  }

  /** By outcome and code, of the records that are in the source still. */
  counts(): readonly CountedAnswers[] {
    const rows = this.db
      .prepare(
        `SELECT outcome, code, count(*) AS records FROM records WHERE outcome IS NOT NULL AND run >= ?
         GROUP BY outcome, code ORDER BY outcome, records DESC`,
      )
      .all(this.run);
    return rows.map((row) => ({
      outcome: row['outcome'] as ImageOutcome['outcome'],
      code: row['code'] as string | null,
      records: row['records'] as number,
    }));
  }

  /** Whatever is not in the gallery as it was asked, by key. */
  *unenrolled(): Iterable<UnenrolledRecord> {
    const rows = this.db
      .prepare(
        `SELECT image_id, said_from, outcome, code, detail FROM records
         WHERE outcome NOT IN ('enrolled', 'erased') AND run >= ? ORDER BY key`,
      )
      .iterate(this.run);
    for (const row of rows) {
      yield {
        imageId: row['image_id'] as string,
        from: row['said_from'] as string,
        outcome: row['outcome'] as string,
        code: text(row['code']),
        detail: text(row['detail']),
      };
    }
  }

  /** Another partition of the source topic that has a record of this image; undefined for none. */
  otherPartitionOf(imageId: string, partition: number): number | undefined {
    const row = this.db
      .prepare('SELECT source_partition FROM records WHERE image_id = ? AND source_partition <> ? LIMIT 1')
      .get(imageId, partition);
    return row?.['source_partition'] as number | undefined;
  }

  /** By partition of a source topic, the first record that failed here and may be tried again. Inclusive. */
  firstFailed(): ReadonlyMap<number, Offset> {
    const rows = this.db
      .prepare(
        `SELECT source_partition, min(source_offset) AS first FROM records
         WHERE outcome = 'failed' AND source_partition IS NOT NULL GROUP BY source_partition`,
      )
      .all();
    return new Map(rows.map((row) => [row['source_partition'] as number, row['first'] as Offset]));
  }

  /** Records that are answered or awaited, and did not fail here. */
  countDone(): number {
    return this.db.prepare(`SELECT count(*) AS done FROM records WHERE ${DONE}`).get()!['done'] as number;
  }

  /** Those of a source topic that are at or above these positions (inclusive). */
  countDoneFrom(positions: ReadonlyMap<number, Offset>): number {
    const count = this.db.prepare(
      `SELECT count(*) AS done FROM records WHERE source_partition = ? AND source_offset >= ? AND ${DONE}`,
    );
    let done = 0;
    for (const [partition, at] of positions) done += count.get(partition, at)!['done'] as number;
    return done;
  }

  /** By partition. Exclusive: everything below it is in this journal. */
  positions(log: Log): ReadonlyMap<number, Offset> {
    const rows = this.db.prepare('SELECT partition, next_offset FROM positions WHERE log = ?').all(log);
    return new Map(rows.map((row) => [row['partition'] as number, row['next_offset'] as Offset]));
  }

  storePosition(log: Log, partition: number, nextOffset: Offset): void {
    this.position.run(log, partition, nextOffset);
  }

  close(): void {
    this.db.close();
  }

  private put(record: JournalRecord, position: RecordPosition | undefined, answer: RecordAnswer | undefined): void {
    this.upsert.run(
      record.key,
      record.imageId,
      record.from,
      record.metadataSha256,
      this.run,
      record.source?.partition ?? null,
      record.source?.offset ?? null,
      position?.partition ?? null,
      position?.offset ?? null,
      answer?.outcome ?? null,
      answer?.code ?? null,
      answer?.detail ?? null,
    );
  }
}

/** The journal of a source, and beside it the list of what was not enrolled. */
export function journalFile(dataFolder: string, source: string): string {
  const name = createHash('sha256').update(source).digest('hex').slice(0, 16);
  return join(dataFolder, 'enrolments', `${name}.sqlite`);
}

export function metadataHash(image: CustodyImage): string {
  const fields = Object.entries(image).filter(([, value]) => value !== undefined);
  return createHash('sha256')
    .update(JSON.stringify(fields.sort(([a], [b]) => (a < b ? -1 : 1))))
    .digest('hex');
}

function openDatabase(file: string): DatabaseSync {
  mkdirSync(dirname(file), { recursive: true });
  const db = new DatabaseSync(file);
  try {
    // Two runs of one source would send everything twice. A crash of the machine may cost the last moments, whose images
    // are then sent again.
    db.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;');
    db.exec(SCHEMA);
    return db;
  } catch (cause) {
    db.close();
    if (((cause as { errcode?: number }).errcode ?? 0) % 256 !== SQLITE_BUSY) throw cause;
    const said = 'This source is being enrolled by another process on this machine.';
    throw new Failure('ENROLMENT_RUNNING', said, true, { cause });
  }
}

function text(value: SQLOutputValue | undefined): string {
  return typeof value === 'string' ? value : '';
}
