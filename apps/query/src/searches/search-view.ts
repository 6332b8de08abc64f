/**
 * What this replica knows of all searches, folded from `searches.events` into SQLite. Disposable: it carries the offsets
 * that it reflects, and a missing, foreign or outdated file is built again from the log.
 */
import type { DatabaseSync } from 'node:sqlite';
import { partitionFor } from '#contracts/murmur2.js';
import { parseSearchEvent } from '#contracts/search-record.js';
import type { SearchListQuery } from '#contracts/search-forms.js';
import { SEARCH_PARTITIONS, SEARCHES_EVENTS } from '#contracts/topics.js';
import { describeError, Failure, Refusal } from '#domain/errors.js';
import type { ImageId, Offset, SearchId, SubjectId } from '#domain/ids.js';
import { foldOperator } from '#domain/operator-search.js';
import { foldRetrospective } from '#domain/retrospective-search.js';
import type { KafkaClient } from '#kafka/kafka-client.js';
import type { LogBatch, LogReader } from '#kafka/log-reader.js';
import type { Log } from '#platform/log.js';
import { openDisposable, positionsIn, removeDisposable, storePosition } from '../disposable-database.js';
import {
  SEARCH_LAYOUT_VERSION,
  SEARCH_SCHEMA,
  SearchTables,
  type ReturnedCandidate,
  type SearchPage,
  type SearchScope,
  type ViewedSearch,
} from './search-tables.js';

interface Waiter {
  /** Asked after each batch that the view has taken in. */
  readonly holdsAfter: (batch: LogBatch) => boolean;
  readonly resolve: () => void;
}

export class SearchView {
  private readonly reader: LogReader;
  private readonly db: DatabaseSync;
  private readonly tables: SearchTables;
  private waiters: Waiter[] = [];

  private constructor(
    private readonly kafka: KafkaClient,
    file: string,
    clusterId: string,
    private readonly log: Log,
    onFatal: (error: unknown) => void,
  ) {
    this.db = openDisposable(file, { version: SEARCH_LAYOUT_VERSION, schema: SEARCH_SCHEMA, origin: clusterId });
    this.tables = new SearchTables(this.db);
    this.reader = kafka.logReader({
      topic: SEARCHES_EVENTS,
      partitions: Array.from({ length: SEARCH_PARTITIONS }, (_, partition) => partition),
      from: positionsIn(this.db),
      // Another log, or one that has forgotten what the file has not seen: nothing in the file can be trusted. Final: the
      // process ends, and the next one builds the file again.
      onOutOfRange: (partition, requested, low, high) => {
        throw new Failure(
          'VIEW_OUTSIDE_LOG',
          `partition ${partition}: ${requested} is outside ${low} to ${high}`,
          false,
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
      removeDisposable(file);
      const fresh = new SearchView(kafka, file, clusterId, log, onFatal);
      await fresh.reader.start();
      return fresh;
    }
  }

  caughtUp(): Promise<void> {
    return this.reader.caughtUp();
  }

  get(id: SearchId): ViewedSearch | undefined {
    return this.tables.get(id);
  }

  /** Newest first. @throws Refusal BAD_CURSOR, BAD_LIMIT */
  list(query: SearchListQuery, scopes: readonly SearchScope[]): SearchPage {
    return this.tables.list(query, scopes);
  }

  /** Where searches have returned an image, or any image of a subject; the newest search first. */
  searchesWith(of: { readonly imageId: ImageId } | { readonly subjectId: SubjectId }): readonly ReturnedCandidate[] {
    return this.tables.searchesWith(of);
  }

  /** Operator-initiated searches of which nobody has said yet what came of them. */
  countWithoutOutcome(): number {
    return this.tables.countWithoutOutcome();
  }

  /** The keys of a search's events in the log, accepted or not, also when the search is forgotten in part. */
  eventKeys(id: SearchId): readonly string[] {
    return this.tables.eventKeys(id);
  }

  /**
   * Resolves when the view reflects the log up to `nextOffset` (exclusive).
   *
   * @throws Failure VIEW_BEHIND after `withinMs`
   */
  async reflects(partition: number, nextOffset: Offset, withinMs: number): Promise<void> {
    if (this.reader.progress(partition).nextOffset >= nextOffset) return;
    await this.until((batch) => batch.partition === partition && batch.nextOffset >= nextOffset, withinMs);
  }

  /**
   * Resolves when the view shows the search at this version or a later one.
   *
   * @throws Failure VIEW_BEHIND after `withinMs`
   */
  async shows(id: SearchId, version: number, withinMs: number): Promise<void> {
    if (this.tables.versionOf(id) >= version) return;
    const partition = partitionFor(Buffer.from(id), SEARCH_PARTITIONS);
    await this.until((batch) => batch.partition === partition && this.tables.versionOf(id) >= version, withinMs);
  }

  /**
   * Resolves when the view reflects everything about this search that was in the log at the time of the call.
   *
   * @throws Failure VIEW_BEHIND after `withinMs`, KAFKA_UNAVAILABLE
   */
  async upToDate(id: SearchId, withinMs: number): Promise<void> {
    const partition = partitionFor(Buffer.from(id), SEARCH_PARTITIONS);
    const ends = await this.kafka.topicAdmin().topicOffsets(SEARCHES_EVENTS);
    await this.reflects(partition, ends.get(partition)!.high, withinMs);
  }

  async close(): Promise<void> {
    await this.reader.close();
    this.db.close();
  }

  private async until(holdsAfter: Waiter['holdsAfter'], withinMs: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve, reject) => {
      const waiter = { holdsAfter, resolve };
      timer = setTimeout(() => {
        this.waiters = this.waiters.filter((other) => other !== waiter);
        reject(new Failure('VIEW_BEHIND', 'This replica has not read that far yet; try again.', true));
      }, withinMs);
      this.waiters.push(waiter);
    }).finally(() => clearTimeout(timer));
  }

  private apply(batch: LogBatch): void {
    this.db.exec('BEGIN');
    for (const record of batch.records) {
      const key = record.key?.toString('utf8') ?? '';
      if (record.value === null) {
        this.forget(key);
        continue;
      }
      this.tables.putEventKey(key.split('/')[0]!, key);
      this.applyEvent(record.value, batch.partition, record.offset);
    }
    storePosition(this.db, batch.partition, batch.nextOffset);
    this.db.exec('COMMIT');
    // What was forgotten is not to stay in the write-ahead log until enough has been written behind it.
    if (batch.records.some(({ value }) => value === null)) this.db.exec('PRAGMA wal_checkpoint(TRUNCATE)');
    const served = this.waiters.filter((waiter) => waiter.holdsAfter(batch));
    this.waiters = this.waiters.filter((waiter) => !served.includes(waiter));
    // After the reader has noted that the batch is handled.
    for (const waiter of served) setImmediate(waiter.resolve);
  }

  /**
   * The end of a search's retention: a null for each of its events, of which the first ends it here. A refused request
   * never was a search's event.
   */
  private forget(key: string): void {
    const [id, version] = key.split('/') as [string, string | undefined];
    this.tables.removeEventKey(id, key);
    const isEvent = /^\d+$/.test(version ?? '');
    if (isEvent || this.get(id as SearchId)?.kind === 'refused') this.tables.remove(id);
  }

  /** The first event of a version counts; one that does not follow was published by an owner that no longer is one. */
  private applyEvent(value: Buffer, partition: number, offset: Offset): void {
    try {
      const event = parseSearchEvent(value);
      const known = this.get(event.searchId);
      if (event.type === 'REQUEST_REFUSED') {
        // Never in place of a search: somebody may use its id again.
        if (known === undefined) this.tables.put({ kind: 'refused', search: event });
      } else if (event.type === 'OPERATOR_SEARCH_ANSWERED' || event.type === 'OPERATOR_OUTCOME_RECORDED') {
        if (known?.kind === 'retrospective') throw anotherKind();
        const search = foldOperator(known?.kind === 'operator' ? known.search : undefined, event);
        this.tables.put({ kind: 'operator', search });
        if (known?.kind !== 'operator') this.tables.putCandidates(event.searchId, search.answer.candidates);
      } else {
        if (known?.kind === 'operator') throw anotherKind();
        const before = known?.kind === 'retrospective' ? known.search : undefined;
        const search = foldRetrospective(before, event);
        this.tables.put({ kind: 'retrospective', search });
        if (search.answer !== before?.answer) {
          this.tables.putCandidates(event.searchId, search.answer?.candidates ?? []);
        }
      }
    } catch (error) {
      this.log.warn('event-not-accepted', { partition, offset, error: describeError(error) });
    }
  }
}

function anotherKind(): Refusal {
  return new Refusal('ILLEGAL_MOVE', 'A search of the other kind has this id.');
}
