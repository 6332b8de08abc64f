/** What this replica holds of all searches, in SQLite: one row a search, its candidates, and the keys of its events. */
import type { DatabaseSync, SQLInputValue } from 'node:sqlite';
import type { RequestRefusedEvent } from '#contracts/search-record.js';
import type { SearchListFilter, SearchListQuery } from '#contracts/search-forms.js';
import { Refusal } from '#domain/errors.js';
import type { ImageId, SearchId, SubjectId } from '#domain/ids.js';
import type { OperatorSearchRecord } from '#domain/operator-search.js';
import type { RetrospectiveSearch } from '#domain/retrospective-search.js';
import type { FoundAnswer, SearchKind } from '#domain/search-answer.js';

export type ViewedSearch =
  | { readonly kind: 'retrospective'; readonly search: RetrospectiveSearch }
  | { readonly kind: 'operator'; readonly search: OperatorSearchRecord }
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
  readonly investigatingOfficer: string | null;
  readonly crimeReference: string | null;
  readonly grounds: string | null;
  /** Of an operator-initiated search. */
  readonly outcome: 'missing' | 'confirmed' | 'none' | null;
}

export interface SearchPage {
  readonly searches: readonly SearchSummary[];
  readonly nextCursor: string | null;
}

/** Whose searches somebody may see in a list; without a field, of everybody. */
export type SearchScope = Pick<SearchListFilter, 'kind' | 'by' | 'officer'>;

/** One place at which a search returned an image. */
export interface ReturnedCandidate {
  readonly searchId: SearchId;
  readonly kind: SearchKind;
  readonly state: string;
  /** Of the search. */
  readonly version: number;
  readonly rank: number;
  readonly imageId: ImageId;
  readonly subjectId: SubjectId;
}

/** A layout that changes makes every file be built again. */
export const SEARCH_LAYOUT_VERSION = 3;
export const SEARCH_SCHEMA = `
  CREATE TABLE IF NOT EXISTS searches (
    search_id TEXT PRIMARY KEY, kind TEXT NOT NULL, state TEXT NOT NULL, version INTEGER NOT NULL, by TEXT NOT NULL,
    received_at TEXT NOT NULL, updated_at TEXT NOT NULL, officer TEXT, crime_reference TEXT, grounds TEXT, outcome TEXT,
    body TEXT NOT NULL
  ) WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS searches_newest ON searches (received_at DESC, search_id DESC);
  CREATE INDEX IF NOT EXISTS searches_of ON searches (by, received_at DESC, search_id DESC);
  CREATE INDEX IF NOT EXISTS searches_without_outcome ON searches (received_at) WHERE outcome = 'missing';
  CREATE TABLE IF NOT EXISTS candidates (
    search_id TEXT NOT NULL, rank INTEGER NOT NULL, image_id TEXT NOT NULL, subject_id TEXT NOT NULL,
    PRIMARY KEY (search_id, rank)
  ) WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS candidates_of_image ON candidates (image_id);
  CREATE INDEX IF NOT EXISTS candidates_of_subject ON candidates (subject_id);
  CREATE TABLE IF NOT EXISTS event_keys (search_id TEXT NOT NULL, key TEXT NOT NULL, PRIMARY KEY (search_id, key))
    WITHOUT ROWID;
`;

const LIST_LIMIT_MAX = 200;

export class SearchTables {
  constructor(private readonly db: DatabaseSync) {}

  get(id: SearchId): ViewedSearch | undefined {
    const row = this.db.prepare('SELECT kind, body FROM searches WHERE search_id = ?').get(id);
    if (row === undefined) return undefined;
    return { kind: row['kind'], search: JSON.parse(row['body'] as string) as unknown } as ViewedSearch;
  }

  /** 0 when there is no such search. */
  versionOf(id: SearchId): number {
    const row = this.db.prepare('SELECT version FROM searches WHERE search_id = ?').get(id);
    return (row?.['version'] as number | undefined) ?? 0;
  }

  put(viewed: ViewedSearch): void {
    const { kind, search } = viewed;
    const { state, by, receivedAt, updatedAt, officer, crimeReference, grounds, outcome } = columnsOf(viewed);
    this.db
      .prepare('INSERT OR REPLACE INTO searches VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)')
      .run(
        search.searchId,
        kind,
        state,
        search.version,
        by,
        receivedAt,
        updatedAt,
        officer,
        crimeReference,
        grounds,
        outcome,
        JSON.stringify(search),
      );
  }

  putCandidates(id: SearchId, candidates: FoundAnswer['candidates']): void {
    this.db.prepare('DELETE FROM candidates WHERE search_id = ?').run(id);
    const insert = this.db.prepare('INSERT INTO candidates VALUES (?, ?, ?, ?)');
    for (const { rank, imageId, subjectId } of candidates) insert.run(id, rank, imageId, subjectId);
  }

  remove(id: string): void {
    this.db.prepare('DELETE FROM searches WHERE search_id = ?').run(id);
    this.db.prepare('DELETE FROM candidates WHERE search_id = ?').run(id);
  }

  putEventKey(id: string, key: string): void {
    this.db.prepare('INSERT OR IGNORE INTO event_keys VALUES (?, ?)').run(id, key);
  }

  removeEventKey(id: string, key: string): void {
    this.db.prepare('DELETE FROM event_keys WHERE search_id = ? AND key = ?').run(id, key);
  }

  /** Of every event that is in the log, accepted or not. */
  eventKeys(id: SearchId): readonly string[] {
    const rows = this.db.prepare('SELECT key FROM event_keys WHERE search_id = ? ORDER BY key').all(id);
    return rows.map((row) => row['key'] as string);
  }

  /** Where searches have returned an image, or any image of a subject; the newest search first. */
  searchesWith(of: { readonly imageId: ImageId } | { readonly subjectId: SubjectId }): readonly ReturnedCandidate[] {
    const [column, value] = 'imageId' in of ? ['image_id', of.imageId] : ['subject_id', of.subjectId];
    return this.db
      .prepare(
        `SELECT search_id, kind, state, version, rank, image_id, subject_id FROM candidates JOIN searches USING (search_id)
         WHERE ${column} = ? ORDER BY received_at DESC, search_id DESC, rank`,
      )
      .all(value)
      .map((row) => ({
        searchId: row['search_id'] as SearchId,
        kind: row['kind'] as SearchKind,
        state: row['state'] as string,
        version: row['version'] as number,
        rank: row['rank'] as number,
        imageId: row['image_id'] as ImageId,
        subjectId: row['subject_id'] as SubjectId,
      }));
  }

  /** Operator-initiated searches of which nobody has said yet what came of them. */
  countWithoutOutcome(): number {
    return this.db.prepare("SELECT count(*) AS n FROM searches WHERE outcome = 'missing'").get()!['n'] as number;
  }

  /**
   * Newest first.
   *
   * @param scopes a search is listed that is in one of them
   * @throws Refusal BAD_CURSOR, BAD_LIMIT
   */
  list({ filter, cursor, limit }: SearchListQuery, scopes: readonly SearchScope[]): SearchPage {
    if (limit < 1 || limit > LIST_LIMIT_MAX) {
      throw new Refusal('BAD_LIMIT', `limit is a whole number from 1 to ${LIST_LIMIT_MAX}.`);
    }
    const conditions = new Conditions();
    narrow(conditions, filter);
    conditions.anyOf(scopes.map((scope) => (one) => narrow(one, scope)));
    if (cursor !== undefined) {
      const { at, id } = parseCursor(cursor);
      conditions.add('(received_at, search_id) < (?, ?)', at, id);
    }
    const rows = this.db
      .prepare(
        `SELECT search_id, kind, state, version, by, received_at, updated_at, officer, crime_reference, grounds, outcome
         FROM searches WHERE ${conditions.sql} ORDER BY received_at DESC, search_id DESC LIMIT ?`,
      )
      .all(...conditions.values, limit + 1);
    const page = rows.slice(0, limit).map((row): SearchSummary => ({
      searchId: row['search_id'] as string,
      kind: row['kind'] === 'operator' ? 'operator' : 'retrospective',
      state: row['state'] as string,
      version: row['version'] as number,
      by: row['by'] as string,
      receivedAt: row['received_at'] as string,
      updatedAt: row['updated_at'] as string,
      investigatingOfficer: row['officer'] as string | null,
      crimeReference: row['crime_reference'] as string | null,
      grounds: row['grounds'] as string | null,
      outcome: row['outcome'] as SearchSummary['outcome'],
    }));
    const last = page.at(-1);
    return {
      searches: page,
      nextCursor: rows.length > limit && last !== undefined ? formatCursor(last.receivedAt, last.searchId) : null,
    };
  }
}

/** A WHERE clause with its values, in order. */
class Conditions {
  private readonly parts: string[] = [];
  readonly values: SQLInputValue[] = [];

  get sql(): string {
    return this.parts.length === 0 ? 'TRUE' : this.parts.join(' AND ');
  }

  add(sql: string, ...values: readonly SQLInputValue[]): void {
    this.parts.push(sql);
    this.values.push(...values);
  }

  /** Of no alternative, none holds. */
  anyOf(alternatives: readonly ((one: Conditions) => void)[]): void {
    const all = alternatives.map((fill) => {
      const one = new Conditions();
      fill(one);
      return one;
    });
    const sql = all.length === 0 ? 'FALSE' : all.map((one) => `(${one.sql})`).join(' OR ');
    this.add(`(${sql})`, ...all.flatMap((one) => one.values));
  }
}

function narrow(conditions: Conditions, filter: SearchListFilter): void {
  const { kind, state, by, officer, from, to, grounds, crimeReference, outcome } = filter;
  // A request that never became a search was one for a retrospective search.
  if (kind === 'operator') conditions.add("kind = 'operator'");
  if (kind === 'retrospective') conditions.add("kind <> 'operator'");
  if (state !== undefined) conditions.add('state = ?', state);
  if (by !== undefined) conditions.add('by = ?', by);
  if (officer !== undefined) conditions.add('officer = ?', officer);
  if (from !== undefined) conditions.add('received_at >= ?', from);
  if (to !== undefined) conditions.add('received_at < ?', to);
  if (grounds !== undefined) conditions.add('grounds = ?', grounds);
  if (crimeReference !== undefined) conditions.add('crime_reference = ?', crimeReference);
  if (outcome === 'missing') conditions.add("outcome = 'missing'");
  if (outcome === 'recorded') conditions.add("outcome <> 'missing'");
}

interface Columns {
  readonly state: string;
  readonly by: string;
  readonly receivedAt: string;
  readonly updatedAt: string;
  readonly officer: string | null;
  readonly crimeReference: string | null;
  readonly grounds: string | null;
  readonly outcome: SearchSummary['outcome'];
}

function columnsOf({ kind, search }: ViewedSearch): Columns {
  const none = { officer: null, crimeReference: null, grounds: null, outcome: null };
  switch (kind) {
    case 'operator': {
      const { state, by, at, updatedAt, grounds, outcome } = search;
      const said = outcome === null ? 'missing' : outcome.rank === null ? 'none' : 'confirmed';
      return { ...none, state, by, receivedAt: at, updatedAt, grounds, outcome: said };
    }
    case 'refused':
      return { ...none, state: 'REFUSED', by: search.by, receivedAt: search.at, updatedAt: search.at };
    case 'retrospective': {
      const { state, operator, receivedAt, updatedAt, request } = search;
      const { investigatingOfficer, crimeReference } = request;
      return { ...none, state, by: operator, receivedAt, updatedAt, officer: investigatingOfficer, crimeReference };
    }
  }
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
