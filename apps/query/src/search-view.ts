/**
 * What this replica knows of all searches, folded from `searches.events` into SQLite. Disposable: it carries the offsets
 * that it reflects, and a missing, foreign or outdated file is built again from the log.
 */
import { mkdirSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { parseSearchEvent, type RequestRefusedEvent, type SearchEvent } from '#contracts/search-record.js';
import { SEARCH_PARTITIONS, SEARCHES_EVENTS } from '#contracts/topics.js';
import { describeError, Failure, Refusal } from '#domain/errors.js';
import type { Offset, SearchId } from '#domain/ids.js';
import type { OperatorSearchEvent } from '#domain/operator-search.js';
import { foldRetrospective, type RetrospectiveSearch } from '#domain/retrospective-search.js';
import type { SearchKind } from '#domain/search-answer.js';
import type { KafkaClient } from '#kafka/kafka-client.js';
import type { LogBatch, LogReader } from '#kafka/log-reader.js';
import type { Log } from '#platform/log.js';

export type ViewedSearch =
  | { readonly kind: 'retrospective'; readonly search: RetrospectiveSearch }
  | { readonly kind: 'operator'; readonly search: OperatorSearchEvent }
  /** A request that never became a search. */
  | { readonly kind: 'refused'; readonly search: RequestRefusedEvent };

export interface SearchSummary {
  readonly searchId: string;
  readonly kind: SearchKind;
  readonly state: string;
  readonly version: number;
  readonly by: string;
  readonly receivedAt: string;
  readonly updatedAt: string;
}

/** A layout that changes makes every file be built again. */
const LAYOUT_VERSION = 2;
const LIST_LIMIT_MAX = 200;

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS origin (cluster_id TEXT PRIMARY KEY) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS positions (partition INTEGER PRIMARY KEY, next_offset INTEGER NOT NULL);
  CREATE TABLE IF NOT EXISTS searches (
    search_id TEXT PRIMARY KEY, kind TEXT NOT NULL, state TEXT NOT NULL, version INTEGER NOT NULL, by TEXT NOT NULL,
    received_at TEXT NOT NULL, updated_at TEXT NOT NULL, body TEXT NOT NULL
  ) WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS searches_newest ON searches (received_at DESC, search_id DESC);
  PRAGMA user_version = ${LAYOUT_VERSION};
`;

export class SearchView {
  private readonly reader: LogReader;
  private db: DatabaseSync;
  private waiters: { partition: number; nextOffset: number; resolve: () => void }[] = [];

  private constructor(
    kafka: KafkaClient,
    private readonly file: string,
    clusterId: string,
    private readonly log: Log,
    onFatal: (error: unknown) => void,
  ) {
    this.db = openFile(file, clusterId);
    this.reader = kafka.logReader({
      topic: SEARCHES_EVENTS,
      partitions: Array.from({ length: SEARCH_PARTITIONS }, (_, partition) => partition),
      from: this.positions(),
      // Another log, or one that has forgotten what the file has not seen: nothing in the file can be trusted.
      onOutOfRange: (partition, requested, low, high) => {
        throw new Failure(
          'VIEW_OUTSIDE_LOG',
          `partition ${partition}: ${requested} is outside ${low} to ${high}`,
          true,
        );
      },
      onBatch: (batch) => {
        this.apply(batch);
        return Promise.resolve();
      },
      onFatal,
    });
  }

  /** Opens the view; a file that does not belong to this log is removed and built again. */
  static async open(
    kafka: KafkaClient,
    file: string,
    log: Log,
    onFatal: (error: unknown) => void,
  ): Promise<SearchView> {
    const clusterId = await kafka.topicAdmin().clusterId();
    const view = new SearchView(kafka, file, clusterId, log, onFatal);
    try {
      await view.reader.start();
      return view;
    } catch (error) {
      if (!(error instanceof Failure) || error.code !== 'VIEW_OUTSIDE_LOG') throw error;
      log.warn('view-rebuilt', { error: describeError(error) });
      await view.close();
      removeFile(file);
      const fresh = new SearchView(kafka, file, clusterId, log, onFatal);
      await fresh.reader.start();
      return fresh;
    }
  }

  caughtUp(): Promise<void> {
    return this.reader.caughtUp();
  }

  get(id: SearchId): ViewedSearch | undefined {
    const row = this.db.prepare('SELECT kind, body FROM searches WHERE search_id = ?').get(id);
    if (row === undefined) return undefined;
    return { kind: row['kind'], search: JSON.parse(row['body'] as string) as unknown } as ViewedSearch;
  }

  /**
   * Newest first.
   *
   * @param by only the searches of this person
   * @param cursor of the page before
   * @throws Refusal BAD_CURSOR, BAD_LIMIT
   */
  list(query: {
    readonly kind: SearchKind | undefined;
    readonly state: string | undefined;
    readonly by: string | undefined;
    readonly cursor: string | undefined;
    readonly limit: number;
  }): { readonly searches: readonly SearchSummary[]; readonly nextCursor: string | null } {
    if (query.limit < 1 || query.limit > LIST_LIMIT_MAX) {
      throw new Refusal('BAD_LIMIT', `limit is a whole number from 1 to ${LIST_LIMIT_MAX}.`);
    }
    const after = query.cursor === undefined ? undefined : parseCursor(query.cursor);
    const rows = this.db
      .prepare(
        `SELECT search_id, kind, state, version, by, received_at, updated_at FROM searches
         WHERE (:kind IS NULL OR kind = :kind) AND (:state IS NULL OR state = :state) AND (:by IS NULL OR by = :by)
           AND (:at IS NULL OR (received_at, search_id) < (:at, :id))
         ORDER BY received_at DESC, search_id DESC LIMIT :limit`,
      )
      .all({
        kind: query.kind ?? null,
        state: query.state ?? null,
        by: query.by ?? null,
        at: after?.at ?? null,
        id: after?.id ?? null,
        limit: query.limit + 1,
      });
    const page = rows.slice(0, query.limit).map((row) => ({
      searchId: row['search_id'] as string,
      kind: row['kind'] as SearchKind,
      state: row['state'] as string,
      version: row['version'] as number,
      by: row['by'] as string,
      receivedAt: row['received_at'] as string,
      updatedAt: row['updated_at'] as string,
    }));
    const last = page.at(-1);
    return {
      searches: page,
      nextCursor: rows.length > query.limit && last !== undefined ? formatCursor(last.receivedAt, last.searchId) : null,
    };
  }

  /**
   * Resolves when the view reflects the log up to `nextOffset` (exclusive).
   *
   * @throws Failure VIEW_BEHIND after `withinMs`
   */
  async reflects(partition: number, nextOffset: Offset, withinMs: number): Promise<void> {
    if (this.reader.progress(partition).nextOffset >= nextOffset) return;
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve, reject) => {
      const waiter = { partition, nextOffset, resolve };
      timer = setTimeout(() => {
        this.waiters = this.waiters.filter((other) => other !== waiter);
        reject(new Failure('VIEW_BEHIND', 'This replica has not read that far yet; try again.', true));
      }, withinMs);
      this.waiters.push(waiter);
    }).finally(() => clearTimeout(timer));
  }

  async close(): Promise<void> {
    await this.reader.close();
    this.db.close();
  }

  private positions(): Map<number, Offset> {
    const rows = this.db.prepare('SELECT partition, next_offset FROM positions').all();
    return new Map(rows.map((row) => [row['partition'] as number, row['next_offset'] as Offset]));
  }

  private apply(batch: LogBatch): void {
    this.db.exec('BEGIN');
    for (const record of batch.records) {
      const key = record.key?.toString('utf8') ?? '';
      if (record.value === null) this.forget(key);
      else this.applyEvent(record.value, batch.partition, record.offset);
    }
    this.db
      .prepare(
        'INSERT INTO positions VALUES (?, ?) ON CONFLICT (partition) DO UPDATE SET next_offset = excluded.next_offset',
      )
      .run(batch.partition, batch.nextOffset);
    this.db.exec('COMMIT');
    const served = this.waiters.filter((w) => w.partition === batch.partition && w.nextOffset <= batch.nextOffset);
    this.waiters = this.waiters.filter((waiter) => !served.includes(waiter));
    // After the reader has noted that the batch is handled.
    for (const waiter of served) setImmediate(waiter.resolve);
  }

  /** The end of a search's retention: a null for each of its events. A refused request never was a search's event. */
  private forget(key: string): void {
    const [id, version] = key.split('/');
    if (/^\d+$/.test(version ?? '')) this.db.prepare('DELETE FROM searches WHERE search_id = ?').run(id!);
  }

  /** The first event of a version counts; one that does not follow was published by an owner that no longer is one. */
  private applyEvent(value: Buffer, partition: number, offset: Offset): void {
    try {
      const event: SearchEvent = parseSearchEvent(value);
      if (event.type === 'REQUEST_REFUSED') {
        // Never in place of a search: somebody may use its id again.
        if (this.get(event.searchId) === undefined) this.store({ kind: 'refused', search: event });
        return;
      }
      if (event.type === 'OPERATOR_SEARCH_ANSWERED') {
        this.store({ kind: 'operator', search: event });
        return;
      }
      const known = this.get(event.searchId);
      if (known?.kind === 'operator') throw new Refusal('ILLEGAL_MOVE', 'An operator-initiated search has this id.');
      const before = known?.kind === 'retrospective' ? known.search : undefined;
      this.store({ kind: 'retrospective', search: foldRetrospective(before, event) });
    } catch (error) {
      this.log.warn('event-not-accepted', { partition, offset, error: describeError(error) });
    }
  }

  private store(viewed: ViewedSearch): void {
    const { kind, search } = viewed;
    const { state, by, receivedAt, updatedAt } = columnsOf(viewed);
    this.db
      .prepare(
        `INSERT INTO searches VALUES (?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (search_id) DO UPDATE SET kind = excluded.kind, by = excluded.by, state = excluded.state, version = excluded.version,
           received_at = excluded.received_at, updated_at = excluded.updated_at, body = excluded.body`,
      )
      .run(search.searchId, kind, state, search.version, by, receivedAt, updatedAt, JSON.stringify(search));
  }
}

function columnsOf({ kind, search }: ViewedSearch): {
  state: string;
  by: string;
  receivedAt: string;
  updatedAt: string;
} {
  switch (kind) {
    case 'operator':
      return { state: 'ANSWERED', by: search.by, receivedAt: search.at, updatedAt: search.at };
    case 'refused':
      return { state: 'REFUSED', by: search.by, receivedAt: search.at, updatedAt: search.at };
    case 'retrospective': {
      const { state, operator, receivedAt, updatedAt } = search;
      return { state, by: operator, receivedAt, updatedAt };
    }
  }
}

/** @param clusterId offsets of another cluster's log may fit, and mean other records */
function openFile(file: string, clusterId: string): DatabaseSync {
  mkdirSync(dirname(file), { recursive: true });
  let db = new DatabaseSync(file);
  const layout = db.prepare('PRAGMA user_version').get()!['user_version'];
  const origin = layout === LAYOUT_VERSION ? db.prepare('SELECT cluster_id FROM origin').get() : undefined;
  if (layout !== 0 && origin?.['cluster_id'] !== clusterId) {
    db.close();
    removeFile(file);
    db = new DatabaseSync(file);
  }
  // Derived and rebuilt from the log: a crash may cost the last moments, never consistency.
  db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA secure_delete = ON;');
  db.exec(SCHEMA);
  db.prepare('INSERT OR IGNORE INTO origin VALUES (?)').run(clusterId);
  return db;
}

function removeFile(file: string): void {
  for (const suffix of ['', '-wal', '-shm']) rmSync(file + suffix, { force: true });
}

function formatCursor(at: string, id: string): string {
  return Buffer.from(JSON.stringify([at, id])).toString('base64url');
}

function parseCursor(cursor: string): { at: string; id: string } {
  try {
    const [at, id] = JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8')) as unknown[];
    if (typeof at === 'string' && typeof id === 'string') return { at, id };
  } catch {
    // Falls through to the refusal.
  }
  throw new Refusal('BAD_CURSOR', 'cursor is the nextCursor of the page before.');
}
