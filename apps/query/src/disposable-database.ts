/**
 * A file of node:sqlite that is derived from a log, carries the offsets that it reflects, and is built again when it is
 * missing, outdated, of another log, or was left alone for so long that the log has forgotten what it should remove.
 */
import { mkdirSync, rmSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { AWAY_MS_MAX } from '#contracts/topics.js';
import type { Offset } from '#domain/ids.js';

const COMMON_SCHEMA = `
  CREATE TABLE IF NOT EXISTS origin (name TEXT PRIMARY KEY) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS positions (partition INTEGER PRIMARY KEY, next_offset INTEGER NOT NULL);
`;

export interface DisposableLayout {
  /** A layout that changes makes every file be built again. */
  readonly version: number;
  readonly schema: string;
  /** Names the log: offsets of another one may fit, and mean other records. */
  readonly origin: string;
}

/** @param nowMs milliseconds since 1970 */
export function openDisposable(
  file: string,
  { version, schema, origin }: DisposableLayout,
  nowMs = Date.now(),
): DatabaseSync {
  mkdirSync(dirname(file), { recursive: true });
  if (nowMs - lastWrittenMs(file) > AWAY_MS_MAX) removeDisposable(file);
  let db = new DatabaseSync(file);
  const found = db.prepare('PRAGMA user_version').get()!['user_version'];
  const of = found === version ? db.prepare('SELECT name FROM origin').get() : undefined;
  if (found !== 0 && of?.['name'] !== origin) {
    db.close();
    removeDisposable(file);
    db = new DatabaseSync(file);
  }
  // Derived and rebuilt from the log: a crash may cost the last moments, never consistency.
  db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA secure_delete = ON;');
  db.exec(`${COMMON_SCHEMA} ${schema} PRAGMA user_version = ${version};`);
  db.prepare('INSERT OR IGNORE INTO origin VALUES (?)').run(origin);
  return db;
}

/** Later than the last record that it reflects, and by then it had read all that there was. Endless when there is none. */
function lastWrittenMs(file: string): number {
  const times = [file, `${file}-wal`].map((path) => statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? -Infinity);
  return Math.max(...times) === -Infinity ? Infinity : Math.max(...times);
}

export function removeDisposable(file: string): void {
  for (const suffix of ['', '-wal', '-shm']) rmSync(file + suffix, { force: true });
}

/** The next offset (inclusive) by partition. */
export function positionsIn(db: DatabaseSync): Map<number, Offset> {
  const rows = db.prepare('SELECT partition, next_offset FROM positions').all();
  return new Map(rows.map((row) => [row['partition'] as number, row['next_offset'] as Offset]));
}

/** In the transaction of what the offset covers. @param nextOffset exclusive */
export function storePosition(db: DatabaseSync, partition: number, nextOffset: Offset): void {
  db.prepare(
    'INSERT INTO positions VALUES (?, ?) ON CONFLICT (partition) DO UPDATE SET next_offset = excluded.next_offset',
  ).run(partition, nextOffset);
}
