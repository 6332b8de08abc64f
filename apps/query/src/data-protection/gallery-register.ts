/**
 * The register of images held: every image whose template is in the gallery, whose it is, why it is held and when that
 * is to be reviewed, from the headers of `gallery.templates.<modelId>`. A file in each query replica; disposable.
 *
 * What the index holds decides, so the rules are its own: the later source wins, and what an erasure covers is not held,
 * whether its tombstone has been read or not.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { parseTemplateKeeping, parseTemplateRecord, templateSourceOffset } from '#contracts/template-record.js';
import { galleryTemplates } from '#contracts/topics.js';
import { isErased, type Disposition } from '#domain/disposition.js';
import { describeError, Failure, Refusal } from '#domain/errors.js';
import { TEMPLATE_PARTITIONS } from '#domain/gallery.js';
import type { HeldImage } from '#domain/held-image.js';
import type { ImageId, ModelId, Offset, SubjectId } from '#domain/ids.js';
import type { KafkaClient } from '#kafka/kafka-client.js';
import type { KafkaRecord } from '#kafka/kafka-record.js';
import type { LogBatch, LogReader } from '#kafka/log-reader.js';
import type { Log } from '#platform/log.js';
import { openDisposable, positionsIn, removeDisposable, storePosition } from '../disposable-database.js';

export interface RegisterChange {
  readonly imageId: ImageId;
  /** What is held now; undefined when the image is no longer held. */
  readonly image: HeldImage | undefined;
}

export interface RegisterOptions {
  readonly kafka: KafkaClient;
  readonly file: string;
  readonly modelId: ModelId;
  /** Nothing is taken in before: what the other two say is not whole until then. */
  readonly after: Promise<unknown>;
  readonly dispositionOf: (id: ImageId) => Disposition | undefined;
  /** The day, `YYYY-MM-DD`, on which it is to be reviewed whether the image is kept; undefined for none. */
  readonly reviewOn: (image: HeldImage) => string | undefined;
  /** Told of a template that was read although an erasure covers it. @param at inclusive: its place on the log */
  readonly onErased?: (imageId: ImageId, at: Offset) => void;
  readonly log: Log;
  readonly onFatal: (error: unknown) => void;
}

export interface DueImage {
  readonly image: HeldImage;
  /** `YYYY-MM-DD`. */
  readonly reviewOn: string;
}

const LAYOUT_VERSION = 1;
/** The register is asked by people; records gather, because a third reader of every template must cost little. */
const LINGER_MS = 250;
/** Rows that are looked at again before others have their turn: a few milliseconds. */
const REVIEW_SLICE_ROWS = 500;
const DUE_LIMIT_MAX = 500;
const READ_TO_END_MS_MAX = 30_000;
const READ_TO_END_POLL_MS = 10;

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS images (
    image_id TEXT PRIMARY KEY, subject_id TEXT NOT NULL, custody_reference TEXT, source_offset INTEGER NOT NULL,
    review_on TEXT, body TEXT NOT NULL
  ) WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS images_of_subject ON images (subject_id);
  CREATE INDEX IF NOT EXISTS images_of_custody_record ON images (custody_reference) WHERE custody_reference IS NOT NULL;
  CREATE INDEX IF NOT EXISTS images_to_review ON images (review_on, image_id) WHERE review_on IS NOT NULL;
`;

/** Which images: of one person, of one stay in custody, or one alone. */
export type RegisterTarget =
  { readonly imageId: ImageId } | { readonly subjectId: SubjectId } | { readonly custodyReference: string };

export class GalleryRegister {
  private readonly db: DatabaseSync;
  private readonly reader: LogReader;
  private readonly upsert: StatementSync;
  private readonly row: StatementSync;
  private readonly listeners: ((changes: readonly RegisterChange[]) => void)[] = [];

  private constructor(
    private readonly options: RegisterOptions,
    clusterId: string,
  ) {
    const topic = galleryTemplates(options.modelId);
    this.db = openDisposable(options.file, {
      version: LAYOUT_VERSION,
      schema: SCHEMA,
      origin: `${clusterId}/${topic}`,
    });
    this.upsert = this.db.prepare(
      `INSERT INTO images VALUES (?, ?, ?, ?, ?, ?)
       ON CONFLICT (image_id) DO UPDATE SET subject_id = excluded.subject_id, source_offset = excluded.source_offset,
         custody_reference = excluded.custody_reference, review_on = excluded.review_on, body = excluded.body`,
    );
    this.row = this.db.prepare('SELECT body FROM images WHERE image_id = ?');
    this.reader = options.kafka.logReader({
      topic,
      partitions: Array.from({ length: TEMPLATE_PARTITIONS }, (_, partition) => partition),
      from: positionsIn(this.db),
      lingerMs: LINGER_MS,
      // Another log, or one that has forgotten what the file has not seen: nothing in the file can be trusted. Final: the
      // process ends, and the next one builds the file again.
      onOutOfRange: (partition, requested, low, high) => {
        throw outsideLog(partition, requested, low, high);
      },
      onBatch: async (batch) => {
        await options.after;
        this.apply(batch);
        // The register keeps no templates.
        for (const { value } of batch.records) value?.fill(0);
      },
      onFatal: options.onFatal,
    });
  }

  /** Opens the register; a file that does not belong to this log is removed and built again. */
  static async open(options: RegisterOptions): Promise<GalleryRegister> {
    const clusterId = await options.kafka.topicAdmin().clusterId();
    const register = new GalleryRegister(options, clusterId);
    try {
      await register.reader.start();
      return register;
    } catch (error) {
      if (!(error instanceof Failure) || error.code !== 'REGISTER_OUTSIDE_LOG') throw error;
      options.log.warn('register-rebuilt', { error: describeError(error) });
      await register.close();
      removeDisposable(options.file);
      const fresh = new GalleryRegister(options, clusterId);
      await fresh.reader.start();
      return fresh;
    }
  }

  /** Resolves when everything that was in the log at the opening is in the register. */
  caughtUp(): Promise<void> {
    return this.reader.caughtUp();
  }

  /**
   * Resolves when everything that is in the log now is in the register.
   *
   * @throws Failure VIEW_BEHIND, REGISTER_OUTSIDE_LOG (final), KAFKA_UNAVAILABLE
   */
  async readToEnd(): Promise<void> {
    const deadline = Date.now() + READ_TO_END_MS_MAX;
    const before = this.reader.nextOffsets();
    const ends = await this.options.kafka.topicAdmin().topicOffsets(galleryTemplates(this.options.modelId));
    for (const [partition, { low, high }] of ends) {
      // What was read before the end was asked for lies below it, unless the log was cut off or made anew.
      const read = before.get(partition)!;
      if (read > high) throw outsideLog(partition, read, low, high);
      while (this.reader.progress(partition).nextOffset < high) {
        if (Date.now() > deadline) throw new Failure('VIEW_BEHIND', 'This replica has not read that far yet.', true);
        await new Promise((resolve) => setTimeout(resolve, READ_TO_END_POLL_MS));
      }
    }
  }

  image(id: ImageId): HeldImage | undefined {
    const held = this.known(id);
    return held !== undefined && this.isHeld(held) ? held : undefined;
  }

  /** Whether the file has no line of the image as it came from `through` or before. Inclusive. */
  holdsNothingOf(id: ImageId, through: Offset): boolean {
    const held = this.known(id);
    return held === undefined || held.sourceOffset > through;
  }

  /** By imageId. */
  imagesOf(subjectId: SubjectId): readonly HeldImage[] {
    return this.imagesWith({ subjectId });
  }

  /** By imageId. */
  imagesWith(target: RegisterTarget): readonly HeldImage[] {
    const [column, value] = columnOf(target);
    const rows = this.db.prepare(`SELECT body FROM images WHERE ${column} = ? ORDER BY image_id`).all(value);
    return rows.map(heldImage).filter((held) => this.isHeld(held));
  }

  /** Every image that is held, by imageId, some at a time. @param after exclusive; undefined for the first ones */
  page(
    after: ImageId | undefined,
    limit: number,
  ): { readonly images: readonly HeldImage[]; readonly next: ImageId | undefined } {
    const rows = this.db
      .prepare('SELECT image_id, body FROM images WHERE image_id > ? ORDER BY image_id LIMIT ?')
      .all(after ?? '', limit);
    return {
      images: rows.map(heldImage).filter((held) => this.isHeld(held)),
      next: rows.length < limit ? undefined : (rows.at(-1)!['image_id'] as ImageId),
    };
  }

  /**
   * Those whose review is due, the longest overdue first.
   *
   * @param before `YYYY-MM-DD`, exclusive
   * @param cursor of the page before
   * @throws Refusal BAD_CURSOR, BAD_LIMIT
   */
  reviewsDue(
    before: string,
    cursor: string | undefined,
    limit: number,
  ): { readonly due: readonly DueImage[]; readonly nextCursor: string | null } {
    if (!Number.isInteger(limit) || limit < 1 || limit > DUE_LIMIT_MAX) {
      throw new Refusal('BAD_LIMIT', `limit is a whole number from 1 to ${DUE_LIMIT_MAX}.`);
    }
    const [on, id] = cursor === undefined ? ['', ''] : parseCursor(cursor);
    const rows = this.db
      .prepare(
        `SELECT review_on, image_id, body FROM images WHERE review_on < ? AND (review_on, image_id) > (?, ?)
         ORDER BY review_on, image_id LIMIT ?`,
      )
      .all(before, on, id, limit + 1);
    const page = rows.slice(0, limit);
    const last = page.at(-1);
    return {
      due: page
        .map((row) => ({ image: heldImage(row), reviewOn: row['review_on'] as string }))
        .filter(({ image }) => this.isHeld(image)),
      nextCursor:
        rows.length > limit && last !== undefined
          ? formatCursor(last['review_on'] as string, last['image_id'] as string)
          : null,
    };
  }

  /** @param before `YYYY-MM-DD`, exclusive */
  countReviewsDue(before: string): number {
    return this.db.prepare('SELECT count(*) AS due FROM images WHERE review_on < ?').get(before)!['due'] as number;
  }

  /** Asks for the review dates of these images again: something that they depend on has changed. */
  reviewAgain(target: RegisterTarget): void {
    const [column, value] = columnOf(target);
    this.storeReviews(this.db.prepare(`SELECT image_id, review_on, body FROM images WHERE ${column} = ?`).all(value));
  }

  /** The same for all: the file may have been written under other rules. In slices, between which others have their turn. */
  async reviewAllAgain(signal: AbortSignal): Promise<void> {
    let after = '';
    for (;;) {
      if (signal.aborted) return;
      const rows = this.db
        .prepare('SELECT image_id, review_on, body FROM images WHERE image_id > ? ORDER BY image_id LIMIT ?')
        .all(after, REVIEW_SLICE_ROWS);
      this.storeReviews(rows);
      if (rows.length < REVIEW_SLICE_ROWS) return;
      after = rows.at(-1)!['image_id'] as string;
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** Told of every change after it is in the register, from now on. */
  onChange(listener: (changes: readonly RegisterChange[]) => void): void {
    this.listeners.push(listener);
  }

  /** Records that are in the log and not yet in the register. */
  lagRecords(): number {
    let sum = 0;
    for (const records of this.reader.lagRecords().values()) sum += records;
    return sum;
  }

  async close(): Promise<void> {
    await this.reader.close();
    this.db.close();
  }

  private apply(batch: LogBatch): void {
    const changes: RegisterChange[] = [];
    this.db.exec('BEGIN');
    for (const record of batch.records) {
      const change = record.value === null ? this.remove(record) : this.hold(record);
      if (change !== undefined) changes.push(change);
    }
    storePosition(this.db, batch.partition, batch.nextOffset);
    this.db.exec('COMMIT');
    // What was erased is not to stay in the write-ahead log until enough has been written behind it.
    if (changes.some(({ image }) => image === undefined)) this.db.exec('PRAGMA wal_checkpoint(TRUNCATE)');
    if (changes.length > 0) for (const listener of this.listeners) listener(changes);
  }

  /**
   * As the index does: a tombstone removes what an erasure covers, or what no disposition speaks of; one that names a
   * later photograph, of which a builder of this gallery could make no template, what is not later than that.
   */
  private remove(record: KafkaRecord): RegisterChange | undefined {
    const id = (record.key ?? Buffer.alloc(0)).toString('latin1') as ImageId;
    const held = this.known(id);
    if (held === undefined) return undefined;
    const supersedes = templateSourceOffset(record.headers);
    const outlives =
      supersedes === undefined ? this.options.dispositionOf(id) !== undefined : held.sourceOffset > supersedes;
    if (outlives && this.isHeld(held)) return undefined;
    this.db.prepare('DELETE FROM images WHERE image_id = ?').run(id);
    return { imageId: id, image: undefined };
  }

  private hold(record: KafkaRecord): RegisterChange | undefined {
    let image: HeldImage;
    try {
      image = imageFrom(record, this.options.modelId);
    } catch (error) {
      // The index puts it among the dead letters.
      const { partition, offset } = record;
      this.options.log.warn('register-record-unusable', { partition, offset, error: describeError(error) });
      return undefined;
    }
    if (!this.isHeld(image)) this.options.onErased?.(image.imageId, record.offset);
    const before = this.known(image.imageId);
    if (before !== undefined && image.sourceOffset < before.sourceOffset) return undefined;
    if (!this.isHeld(image)) return undefined;
    // The index writes a template again when a late one has overwritten it, and holds no reasons.
    if (before?.sourceOffset === image.sourceOffset) image = { ...keepingOf(before), ...image };
    this.upsert.run(
      image.imageId,
      image.subjectId,
      image.custodyReference ?? null,
      image.sourceOffset,
      this.options.reviewOn(image) ?? null,
      JSON.stringify(image),
    );
    return { imageId: image.imageId, image };
  }

  private storeReviews(rows: readonly Record<string, unknown>[]): void {
    const update = this.db.prepare('UPDATE images SET review_on = ? WHERE image_id = ?');
    this.db.exec('BEGIN');
    for (const row of rows) {
      const reviewOn = this.options.reviewOn(heldImage(row)) ?? null;
      if (reviewOn !== row['review_on']) update.run(reviewOn, row['image_id'] as string);
    }
    this.db.exec('COMMIT');
  }

  private known(id: ImageId): HeldImage | undefined {
    const row = this.row.get(id);
    return row === undefined ? undefined : heldImage(row);
  }

  private isHeld({ imageId, sourceOffset }: HeldImage): boolean {
    return !isErased(this.options.dispositionOf(imageId), sourceOffset);
  }
}

function outsideLog(partition: number, offset: Offset, low: Offset, high: Offset): Failure {
  const text = `partition ${partition}: ${offset} is outside ${low} to ${high}`;
  return new Failure('REGISTER_OUTSIDE_LOG', text, false);
}

/** @throws Refusal TEMPLATE_UNUSABLE */
function imageFrom(record: KafkaRecord, modelId: ModelId): HeldImage {
  const { modelId: of, metadata, source } = parseTemplateRecord(record.key, record.headers);
  if (of !== modelId) throw new Refusal('TEMPLATE_UNUSABLE', 'The template is of another model.');
  const { embeddingNorm: _embeddingNorm, ...rest } = metadata;
  return {
    ...rest,
    ...parseTemplateKeeping(record.headers),
    sourceOffset: source.sourceOffset,
    acceptedAt: new Date(source.acceptedAtMs).toISOString(),
  };
}

function keepingOf({ lawfulBasis, reviewDue, face, photographFrom }: HeldImage): Partial<HeldImage> {
  return {
    ...(lawfulBasis !== undefined && { lawfulBasis }),
    ...(reviewDue !== undefined && { reviewDue }),
    ...(face !== undefined && { face }),
    ...(photographFrom !== undefined && { photographFrom }),
  };
}

function heldImage(row: Record<string, unknown>): HeldImage {
  return JSON.parse(row['body'] as string) as HeldImage;
}

function columnOf(target: RegisterTarget): [column: string, value: string] {
  if ('imageId' in target) return ['image_id', target.imageId];
  if ('subjectId' in target) return ['subject_id', target.subjectId];
  return ['custody_reference', target.custodyReference];
}

function formatCursor(on: string, id: string): string {
  return Buffer.from(JSON.stringify([on, id])).toString('base64url');
}

function parseCursor(cursor: string): [string, string] {
  try {
    const [on, id] = JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8')) as unknown[];
    if (typeof on === 'string' && typeof id === 'string') return [on, id];
  } catch {
    // Falls through to the refusal.
  }
  throw new Refusal('BAD_CURSOR', 'cursor is the nextCursor of the page before.');
}
