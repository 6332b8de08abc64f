/**
 * The audit log as this replica has read it: the Merkle tree over its leaves, the checkpoints, and an index of the
 * entries for those who look something up. Disposable: built again from `audit.log`, `audit.entries` and
 * `audit.checkpoints`. What has to be proved is proved from those topics, never from this file.
 */
import type { DatabaseSync } from 'node:sqlite';
import type { SealableLog } from '#audit/audit-sealer.js';
import { openCheckpoint, type SignedCheckpoint } from '#audit/checkpoint.js';
import { leafHash, MerkleFrontier, rootAt } from '#audit/merkle-tree.js';
import type { VerifierKey } from '#audit/signed-note.js';
import type { AuditFilter } from '#contracts/audit-forms.js';
import { auditLeaf, destructionOf, DESTRUCTION_ACTION, parseAuditEntry } from '#contracts/audit-record.js';
import { leafEventId, sealLine, type LoggedLeaf } from '#contracts/audit-seal-record.js';
import { AUDIT_CHECKPOINTS, AUDIT_ENTRIES, AUDIT_ENTRY_PARTITIONS, AUDIT_LOG } from '#contracts/topics.js';
import { describeError, Failure } from '#domain/errors.js';
import type { Offset } from '#domain/ids.js';
import type { KafkaClient } from '#kafka/kafka-client.js';
import type { KafkaRecord } from '#kafka/kafka-record.js';
import type { LogBatch, LogReader } from '#kafka/log-reader.js';
import type { Log } from '#platform/log.js';
import { openDisposable, positionsIn, removeDisposable, storePosition } from '../disposable-database.js';

/** A layout that changes makes every file be built again. */
const LAYOUT_VERSION = 1;
const READ_TO_END_MS_MAX = 30_000;
const READ_TO_END_POLL_MS = 10;

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS leaves (
    leaf_index INTEGER PRIMARY KEY, event_id TEXT NOT NULL, leaf BLOB NOT NULL, logged_at_ms INTEGER NOT NULL
  );
  CREATE INDEX IF NOT EXISTS leaves_of_entry ON leaves (event_id);
  CREATE INDEX IF NOT EXISTS leaves_by_time ON leaves (logged_at_ms);
  CREATE TABLE IF NOT EXISTS nodes (
    level INTEGER, node_index INTEGER, hash BLOB NOT NULL, PRIMARY KEY (level, node_index)
  ) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS entries (
    event_id TEXT PRIMARY KEY, actor TEXT, operation TEXT, action TEXT, search_id TEXT, body BLOB NOT NULL
  );
  CREATE INDEX IF NOT EXISTS entries_of_actor ON entries (actor);
  CREATE INDEX IF NOT EXISTS entries_of_action ON entries (action);
  CREATE INDEX IF NOT EXISTS entries_of_search ON entries (search_id) WHERE search_id IS NOT NULL;
  CREATE TABLE IF NOT EXISTS concerned (
    kind TEXT, id TEXT, event_id TEXT, PRIMARY KEY (kind, id, event_id)
  ) WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS concerned_by_entry ON concerned (event_id);
  CREATE TABLE IF NOT EXISTS checkpoints (size INTEGER PRIMARY KEY, note TEXT NOT NULL);
`;

/** Positions of three topics in one table: each has numbers of its own. */
const SLOT_OF_TOPIC = { [AUDIT_LOG]: 0, [AUDIT_CHECKPOINTS]: 1, [AUDIT_ENTRIES]: 2 } as const;
type AuditTopic = keyof typeof SLOT_OF_TOPIC;

export interface AuditViewParts {
  readonly kafka: KafkaClient;
  readonly file: string;
  /** Checkpoints that none of them has signed are passed over. */
  readonly keys: readonly VerifierKey[];
  readonly log: Log;
  readonly onFatal: (error: unknown) => void;
}

export interface FoundLeaf extends LoggedLeaf {
  readonly index: number;
  /** The entry's bytes; undefined where it is not there any more. */
  readonly body: Buffer | undefined;
}

export class AuditView implements SealableLog {
  private readonly readers: Record<AuditTopic, LogReader>;
  private readonly tree: MerkleFrontier;
  private lastOpened:
    { readonly note: string | undefined; readonly checkpoint: SignedCheckpoint | undefined } | undefined;

  private constructor(
    private readonly db: DatabaseSync,
    private readonly parts: AuditViewParts,
  ) {
    const size = db.prepare('SELECT COUNT(*) AS leaves FROM leaves').get()!['leaves'] as number;
    this.tree = MerkleFrontier.at(size, this.nodeAt);
    const positions = positionsIn(db);
    const reader = (topic: AuditTopic, partitions: number, apply: (record: KafkaRecord) => void): LogReader =>
      parts.kafka.logReader({
        topic,
        partitions: Array.from({ length: partitions }, (_, partition) => partition),
        from: new Map(
          Array.from({ length: partitions }, (_, p) => [p, positions.get(slot(topic, p)) ?? (0 as Offset)]),
        ),
        onOutOfRange: (partition, requested, low, high) => {
          // A log whose beginning was cut off is read as it is; that it was is what the seals are there to show.
          if (requested === 0) return low;
          // Another log, or one that has lost what the file has seen: nothing in the file can be trusted.
          throw outsideLog(topic, partition, requested, low, high);
        },
        onBatch: async (batch) => this.applyBatch(topic, batch, apply),
        onFatal: parts.onFatal,
      });
    this.readers = {
      [AUDIT_LOG]: reader(AUDIT_LOG, 1, (record) => this.applyLeaf(record)),
      [AUDIT_CHECKPOINTS]: reader(AUDIT_CHECKPOINTS, 1, (record) => this.applyCheckpoint(record)),
      [AUDIT_ENTRIES]: reader(AUDIT_ENTRIES, AUDIT_ENTRY_PARTITIONS, (record) => this.applyEntry(record)),
    };
  }

  /** Opens the view; a file that does not belong to these topics is removed and built again. */
  static async open(parts: AuditViewParts): Promise<AuditView> {
    const origin = await parts.kafka.topicAdmin().clusterId();
    const layout = { version: LAYOUT_VERSION, schema: SCHEMA, origin };
    const view = new AuditView(openDisposable(parts.file, layout), parts);
    try {
      await view.start();
      return view;
    } catch (error) {
      await view.close();
      if (!(error instanceof Failure) || error.code !== 'VIEW_OUTSIDE_LOG') throw error;
      parts.log.warn('audit-view-rebuilt', { error: describeError(error) });
      removeDisposable(parts.file);
      const fresh = new AuditView(openDisposable(parts.file, layout), parts);
      await fresh.start();
      return fresh;
    }
  }

  async caughtUp(): Promise<void> {
    await Promise.all(Object.values(this.readers).map((reader) => reader.caughtUp()));
  }

  async close(): Promise<void> {
    await Promise.all(Object.values(this.readers).map((reader) => reader.close()));
    this.db.close();
  }

  get size(): number {
    return this.tree.size;
  }

  rootAt(size: number): Buffer {
    return size === this.tree.size ? this.tree.root() : rootAt(size, this.nodeAt);
  }

  /** Of the tree over all leaves that were read. */
  readonly nodeAt = (level: number, index: number): Buffer => {
    if (level === 0) return leafHash(this.leaf(index)!.leaf);
    const row = this.db.prepare('SELECT hash FROM nodes WHERE level = ? AND node_index = ?').get(level, index);
    return Buffer.from(row!['hash'] as Uint8Array);
  };

  leaves(from: number, to: number): LoggedLeaf[] {
    return this.db
      .prepare('SELECT * FROM leaves WHERE leaf_index >= ? AND leaf_index < ? ORDER BY leaf_index')
      .all(from, to)
      .map(leafOf);
  }

  leaf(index: number): FoundLeaf | undefined {
    const row = this.db
      .prepare('SELECT * FROM leaves LEFT JOIN entries USING (event_id) WHERE leaf_index = ?')
      .get(index);
    return row === undefined ? undefined : foundLeaf(row);
  }

  /** The index of the first leaf of the entry. */
  indexOf(eventId: string): number | undefined {
    const row = this.db.prepare('SELECT MIN(leaf_index) AS leaf_index FROM leaves WHERE event_id = ?').get(eventId);
    return (row!['leaf_index'] as number | null) ?? undefined;
  }

  /** The index of the first leaf that was logged at this time or later; the size when there is none. */
  firstSince(ms: number): number {
    const row = this.db.prepare('SELECT MIN(leaf_index) AS leaf_index FROM leaves WHERE logged_at_ms >= ?').get(ms);
    return (row!['leaf_index'] as number | null) ?? this.size;
  }

  /**
   * Newest first. Filters other than the time find only what still has its entry.
   *
   * @param belowIndex exclusive
   */
  list(filter: AuditFilter, belowIndex: number, limit: number): FoundLeaf[] {
    const where = ['leaf_index < ?'];
    const values: (string | number)[] = [belowIndex];
    const add = (condition: string, value: string | number | undefined): void => {
      if (value === undefined) return;
      where.push(condition);
      values.push(value);
    };
    const concerns = `event_id IN (SELECT event_id FROM concerned WHERE kind = `;
    add('logged_at_ms >= ?', filter.fromMs);
    add('logged_at_ms < ?', filter.toMs);
    add('actor = ?', filter.actor);
    add('operation = ?', filter.operation);
    add('action = ?', filter.action);
    add('search_id = ?', filter.searchId);
    add(`${concerns}'subject' AND id = ?)`, filter.subjectId);
    add(`${concerns}'image' AND id = ?)`, filter.imageId);
    return this.db
      .prepare(
        `SELECT * FROM leaves LEFT JOIN entries USING (event_id) WHERE ${where.join(' AND ')}
         ORDER BY leaf_index DESC LIMIT ?`,
      )
      .all(...values, limit)
      .map(foundLeaf);
  }

  /** EventIds of leaves below the index that still have their entry, but for those with this action; oldest first. */
  keptBelow(index: number, exceptAction: string): string[] {
    return this.db
      .prepare(
        `SELECT event_id FROM leaves JOIN entries USING (event_id) WHERE leaf_index < ? AND action IS NOT ?
         GROUP BY event_id ORDER BY MIN(leaf_index)`,
      )
      .all(index, exceptAction)
      .map((row) => row['event_id'] as string);
  }

  countKeptBelow(index: number, exceptAction: string): number {
    const row = this.db
      .prepare(
        `SELECT COUNT(DISTINCT event_id) AS kept FROM leaves JOIN entries USING (event_id)
         WHERE leaf_index < ? AND action IS NOT ?`,
      )
      .get(index, exceptAction);
    return row!['kept'] as number;
  }

  /** EventIds of entries without a leaf, whose effect never was, that were made before then (milliseconds since 1970). */
  unloggedBefore(ms: number): string[] {
    return this.db
      .prepare('SELECT event_id, body FROM entries LEFT JOIN leaves USING (event_id) WHERE leaf_index IS NULL')
      .all()
      .filter((row) => Date.parse(parseAuditEntry(Buffer.from(row['body'] as Uint8Array))?.at ?? '') < ms)
      .map((row) => row['event_id'] as string);
  }

  /**
   * Entries of leaves below it were destroyed, as the log says in entries that are themselves whole: whoever can write an
   * entry, and no leaf, could otherwise explain away what he took. Exclusive.
   */
  destroyedBelow(): number {
    return this.db
      .prepare('SELECT leaf_index, leaf, body FROM entries JOIN leaves USING (event_id) WHERE action = ?')
      .all(DESTRUCTION_ACTION)
      .reduce((below, row) => {
        const body = Buffer.from(row['body'] as Uint8Array);
        const entry = parseAuditEntry(body);
        if (entry === undefined || !auditLeaf(body).equals(row['leaf'] as Uint8Array)) return below;
        // Nobody can destroy what comes after the decision.
        return Math.max(below, Math.min(destructionOf(entry)?.belowIndex ?? 0, row['leaf_index'] as number));
      }, 0);
  }

  lastCheckpoint(): SignedCheckpoint | undefined {
    const rows = this.db.prepare('SELECT note FROM checkpoints ORDER BY size DESC LIMIT 1').all();
    const note = rows[0]?.['note'] as string | undefined;
    // It is asked for every second, and its signatures are the same each time.
    if (this.lastOpened?.note !== note) this.lastOpened = { note, checkpoint: this.opened(rows)[0] };
    return this.lastOpened?.checkpoint;
  }

  checkpointAt(size: number): SignedCheckpoint | undefined {
    return this.opened(this.db.prepare('SELECT note FROM checkpoints WHERE size = ?').all(size))[0];
  }

  checkpointsAfter(size: number): SignedCheckpoint[] {
    return this.opened(this.db.prepare('SELECT note FROM checkpoints WHERE size > ? ORDER BY size').all(size));
  }

  /** When the first leaf that is not sealed was logged, milliseconds since 1970. */
  unsealedSinceMs(): number | undefined {
    return this.loggedAtMs(this.lastCheckpoint()?.size ?? 0);
  }

  /** Milliseconds since 1970; undefined beyond the last leaf. */
  loggedAtMs(index: number): number | undefined {
    const row = this.db.prepare('SELECT logged_at_ms FROM leaves WHERE leaf_index = ?').get(index);
    return row?.['logged_at_ms'] as number | undefined;
  }

  /** @throws Failure VIEW_BEHIND when that takes too long, VIEW_OUTSIDE_LOG (final), KAFKA_UNAVAILABLE */
  async readToEnd(): Promise<void> {
    const admin = this.parts.kafka.topicAdmin();
    const deadline = Date.now() + READ_TO_END_MS_MAX;
    for (const topic of [AUDIT_LOG, AUDIT_CHECKPOINTS, AUDIT_ENTRIES] as const) {
      const before = this.readers[topic].nextOffsets();
      for (const [partition, { low, high }] of await admin.topicOffsets(topic)) {
        // What was read before the end was asked for lies below it, unless the log was cut off or made anew.
        const read = before.get(partition)!;
        if (read > high) throw outsideLog(topic, partition, read, low, high);
        while (this.readers[topic].progress(partition).nextOffset < high) {
          if (Date.now() > deadline) throw new Failure('VIEW_BEHIND', 'This replica has not read that far yet.', true);
          await new Promise((resolve) => setTimeout(resolve, READ_TO_END_POLL_MS));
        }
      }
    }
  }

  private async start(): Promise<void> {
    await Promise.all(Object.values(this.readers).map((reader) => reader.start()));
  }

  private opened(rows: readonly Record<string, unknown>[]): SignedCheckpoint[] {
    return rows.flatMap((row) => openCheckpoint(row['note'] as string, this.parts.keys) ?? []);
  }

  private applyBatch(topic: AuditTopic, batch: LogBatch, apply: (record: KafkaRecord) => void): void {
    this.db.exec('BEGIN');
    for (const record of batch.records) apply(record);
    storePosition(this.db, slot(topic, batch.partition), batch.nextOffset);
    this.db.exec('COMMIT');
    // A destroyed entry stays in no file: neither in a page that was freed nor in the write-ahead log.
    if (batch.records.some(({ value }) => value === null)) this.db.exec('PRAGMA wal_checkpoint(TRUNCATE)');
  }

  private applyLeaf({ value, headers, timestampMs }: KafkaRecord): void {
    const leaf = value ?? Buffer.alloc(0);
    this.db
      .prepare('INSERT INTO leaves VALUES (?, ?, ?, ?)')
      .run(this.tree.size, leafEventId(headers), leaf, timestampMs);
    const insert = this.db.prepare('INSERT INTO nodes VALUES (?, ?, ?)');
    for (const { level, index, hash } of this.tree.append(leafHash(leaf))) insert.run(level, index, hash);
  }

  private applyCheckpoint({ value, headers, offset }: KafkaRecord): void {
    const line = sealLine(headers, value);
    if (line?.kind === 'sealed') return;
    const checkpoint = line?.kind === 'checkpoint' ? openCheckpoint(line.note, this.parts.keys) : undefined;
    if (checkpoint === undefined) {
      this.parts.log.warn('audit-checkpoint-unsigned', { offset });
      return;
    }
    this.db.prepare('INSERT OR IGNORE INTO checkpoints VALUES (?, ?)').run(checkpoint.size, checkpoint.note);
  }

  private applyEntry({ key, value }: KafkaRecord): void {
    const eventId = key?.toString('utf8') ?? '';
    this.db.prepare('DELETE FROM concerned WHERE event_id = ?').run(eventId);
    if (value === null) {
      this.db.prepare('DELETE FROM entries WHERE event_id = ?').run(eventId);
      return;
    }
    const entry = parseAuditEntry(value);
    const { actor = null, operation = null, action = null, searchId = null } = entry ?? {};
    this.db
      .prepare('INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?, ?, ?)')
      .run(eventId, actor, operation, action, searchId, value);
    const concern = this.db.prepare('INSERT OR IGNORE INTO concerned VALUES (?, ?, ?)');
    for (const id of entry?.subjectIds ?? []) concern.run('subject', id, eventId);
    for (const id of entry?.imageIds ?? []) concern.run('image', id, eventId);
  }
}

/** Final: the process ends, and the next one builds the view again from what the log is now. */
function outsideLog(topic: string, partition: number, offset: Offset, low: Offset, high: Offset): Failure {
  return new Failure('VIEW_OUTSIDE_LOG', `${topic}/${partition}: ${offset} is outside ${low} to ${high}`, false);
}

/** Slots of a topic's partitions lie three apart. */
function slot(topic: AuditTopic, partition: number): number {
  return partition * 3 + SLOT_OF_TOPIC[topic];
}

function leafOf(row: Record<string, unknown>): LoggedLeaf {
  return {
    leaf: Buffer.from(row['leaf'] as Uint8Array),
    eventId: row['event_id'] as string,
    loggedAt: new Date(row['logged_at_ms'] as number).toISOString(),
  };
}

function foundLeaf(row: Record<string, unknown>): FoundLeaf {
  const body = row['body'] as Uint8Array | null;
  return {
    ...leafOf(row),
    index: row['leaf_index'] as number,
    body: body === null ? undefined : Buffer.from(body),
  };
}
