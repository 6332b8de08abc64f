/**
 * Compares what a custody system says that it holds with what is held here: what the one has and the other lacks, and
 * what differs. The custody system's list is put into a file of node:sqlite first, so that neither list is ever in
 * memory as a whole, and neither has to be sorted.
 */
import { createReadStream } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { CsvError, parse as parseCsv } from 'csv-parse';
import { isHeldState, type ExportedImage } from '#contracts/image-export.js';
import { Refusal } from '#domain/errors.js';
import { CsvFile } from './csv-file.js';

/** What a list may say of an image and the export says too. */
const FIELDS = ['subjectId', 'force', 'custodyReference', 'capturedAt', 'lawfulBasis', 'reviewDue'] as const;
type Field = (typeof FIELDS)[number];

const NEVER_RECEIVED = 'never-received';

export interface Reconciled {
  /** Images in the custody system's list. */
  readonly inCustody: number;
  /** Held here, by state. */
  readonly here: Readonly<Record<string, number>>;
  /** In both, and alike in every field that was compared. */
  readonly alike: number;
  /** In the list and not held here, by why: `never-received`, `erased`, or a state and a code. */
  readonly missingHere: Readonly<Record<string, number>>;
  /** Held here and not in the list. */
  readonly notInCustody: number;
  /** In both, with a field that differs. */
  readonly differing: number;
  /** Held here, and a later photograph that the custody system sent was not enrolled. */
  readonly notLatest: number;
  /** Those of the list's columns that were compared. */
  readonly compared: readonly string[];
}

export interface ReconciliationOptions {
  /** A folder, for what was found. */
  readonly out: string;
  /** Of what is held here and not in the list, only this force's: a list of one force says nothing of the others. */
  readonly force?: string;
}

export class Reconciliation {
  private readonly db: DatabaseSync;
  private readonly take: StatementSync;
  private readonly files: Record<'missingHere' | 'notInCustody' | 'differing' | 'notLatest', CsvFile>;
  private readonly here: Record<string, number> = {};
  private readonly missing: Record<string, number> = {};
  private inCustody = 0;
  private alike = 0;
  private differing = 0;
  private compared: readonly Field[] = [];

  private constructor(private readonly options: ReconciliationOptions) {
    const { out } = options;
    this.db = new DatabaseSync(listFile(out));
    this.db.exec(`
      PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA locking_mode = EXCLUSIVE;
      CREATE TABLE custody (image_id TEXT PRIMARY KEY, fields TEXT NOT NULL) WITHOUT ROWID;
      BEGIN;
    `);
    this.take = this.db.prepare('DELETE FROM custody WHERE image_id = ? RETURNING fields');
    this.files = {
      missingHere: new CsvFile(join(out, 'missing-here.csv'), ['imageId', 'subjectId', 'why', 'code', 'at']),
      notInCustody: new CsvFile(join(out, 'not-in-custody.csv'), [
        ...['imageId', 'subjectId', 'force', 'custodyReference', 'state', 'at', 'partition', 'offset'],
      ]),
      differing: new CsvFile(join(out, 'differing.csv'), ['imageId', 'field', 'custody', 'here']),
      notLatest: new CsvFile(join(out, 'not-latest.csv'), ['imageId', 'why', 'code', 'at', 'partition', 'offset']),
    };
  }

  /**
   * @param list a CSV with a column `imageId`, and any of the fields of the HTTP contract
   * @throws Refusal SOURCE_NOT_FOUND, BAD_ROW with the line's number
   */
  static async open(list: string, options: ReconciliationOptions): Promise<Reconciliation> {
    await mkdir(options.out, { recursive: true });
    await rm(listFile(options.out), { force: true });
    const reconciliation = new Reconciliation(options);
    try {
      await reconciliation.read(list);
      return reconciliation;
    } catch (error) {
      await reconciliation.close();
      throw error;
    }
  }

  /** Each image of the export, once. */
  async compare(image: ExportedImage): Promise<void> {
    const row = this.take.get(image.imageId);
    const said =
      row === undefined ? undefined : (JSON.parse(row['fields'] as string) as Partial<Record<Field, string>>);
    if (!isHeldState(image.state)) {
      if (said !== undefined) await this.noteMissing(image.imageId, said.subjectId, image.state, image.code, image.at);
      return;
    }
    this.here[image.state] = (this.here[image.state] ?? 0) + 1;
    const { imageId, later } = image;
    if (said === undefined) await this.noteNotInCustody(image);
    else await this.compareFields(image, said);
    if (later !== undefined) {
      const { state, code, at, source } = later;
      await this.files.notLatest.write([imageId, state, code, at, source.partition, source.offset]);
    }
  }

  /** After the last image: what is left of the list was never received. */
  async finish(): Promise<Reconciled> {
    for (const row of this.db.prepare('SELECT image_id, fields FROM custody ORDER BY image_id').iterate()) {
      const { subjectId } = JSON.parse(row['fields'] as string) as Partial<Record<Field, string>>;
      await this.noteMissing(row['image_id'] as string, subjectId, NEVER_RECEIVED, undefined, undefined);
    }
    return {
      inCustody: this.inCustody,
      here: this.here,
      alike: this.alike,
      missingHere: this.missing,
      notInCustody: this.files.notInCustody.rows,
      differing: this.differing,
      notLatest: this.files.notLatest.rows,
      compared: this.compared,
    };
  }

  async close(): Promise<void> {
    this.db.close();
    await rm(listFile(this.options.out), { force: true });
    await Promise.all(Object.values(this.files).map((file) => file.close()));
  }

  private async compareFields(image: ExportedImage, said: Partial<Record<Field, string>>): Promise<void> {
    const differences = this.compared.filter((field) => (said[field] ?? '') !== (image[field] ?? ''));
    for (const field of differences) {
      await this.files.differing.write([image.imageId, field, said[field], image[field]]);
    }
    if (differences.length > 0) this.differing++;
    else this.alike++;
  }

  private async noteNotInCustody(image: ExportedImage): Promise<void> {
    const { imageId, subjectId, force, custodyReference, state, at, source } = image;
    if (this.options.force !== undefined && force !== this.options.force) return;
    const { partition, offset } = source;
    await this.files.notInCustody.write([imageId, subjectId, force, custodyReference, state, at, partition, offset]);
  }

  private async noteMissing(
    imageId: string,
    subjectId: string | undefined,
    why: string,
    code: string | undefined,
    at: string | undefined,
  ): Promise<void> {
    const reason = code === undefined ? why : `${why} ${code}`;
    this.missing[reason] = (this.missing[reason] ?? 0) + 1;
    await this.files.missingHere.write([imageId, subjectId, why, code, at]);
  }

  private async read(list: string): Promise<void> {
    const insert = this.db.prepare('INSERT OR IGNORE INTO custody VALUES (?, ?)');
    const badRow = (line: number, why: string, cause?: Error): Refusal =>
      new Refusal('BAD_ROW', `Line ${line} of ${basename(list)}: ${why}`, undefined, { cause });
    const stream = createReadStream(list);
    const parser = stream.pipe(parseCsv({ columns: true, skip_empty_lines: true, trim: true, bom: true, info: true }));
    stream.on('error', (error) => parser.destroy(error));
    try {
      for await (const { record, info } of parser as AsyncIterable<ListRow>) {
        const { imageId } = record;
        if (this.inCustody === 0) this.compared = FIELDS.filter((field) => field in record);
        if (imageId === undefined || imageId === '') throw badRow(info.lines, 'imageId is required.');
        const fields = Object.fromEntries(this.compared.map((field) => [field, record[field]]));
        if (insert.run(imageId, JSON.stringify(fields)).changes === 0) {
          throw badRow(info.lines, `another line has the imageId ${imageId} as well.`);
        }
        this.inCustody++;
      }
    } catch (error) {
      if (error instanceof CsvError) throw badRow(Number(error['lines']), error.message, error);
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
        throw new Refusal('SOURCE_NOT_FOUND', `There is no file ${list}.`, undefined, { cause: error });
      }
      throw error;
    }
  }
}

/** A row by its columns' names, and the line of the file that it ends on, counted from 1. */
interface ListRow {
  readonly record: Readonly<Record<string, string>>;
  readonly info: { readonly lines: number };
}

function listFile(out: string): string {
  return join(out, '.custody-list.sqlite');
}
