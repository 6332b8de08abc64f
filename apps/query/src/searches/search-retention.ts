/**
 * The end of a search's retention, ordered by data-protection staff: its probe is deleted, and a null for each of its
 * events makes every view forget it and the log's cleaner destroy it. Until proceedings have ended, which whoever orders
 * it states, candidates that nobody chose, notes and the probe's hash are kept (Criminal Procedure and Investigations
 * Act 1996, code of practice).
 *
 * A withdrawal may open the search again while this is under way: its owner then writes one event more, and begins to
 * hold the candidates. Both would stay for ever, as nobody can close a search that is forgotten; so the events are
 * looked for again after the nulls, and the hold is ended last.
 */
import type { AuditLog } from '#audit/audit-log.js';
import { directionEnd } from '#contracts/direction-record.js';
import type { RetentionEndRequest } from '#contracts/search-forms.js';
import { searchEventEnd } from '#contracts/search-record.js';
import { openSearchId } from '#domain/direction.js';
import { Failure, Refusal } from '#domain/errors.js';
import type { Actor } from '#domain/identity.js';
import type { SearchId } from '#domain/ids.js';
import type { DirectionFollower } from '#kafka/direction-follower.js';
import type { Publisher } from '#kafka/publisher.js';
import { probeName, type ImageStore } from '#platform/image-store.js';
import { QUERY_SOURCE } from '../query-source.js';
import type { ViewedSearch } from './search-tables.js';
import type { SearchView } from './search-view.js';

export interface RetentionEnded {
  readonly searchId: SearchId;
  /** Of its records in the log: each will be destroyed when the log is compacted. */
  readonly eventsForgotten: number;
}

/** The month's report of use has counted it by then, and its officer has had time to record the outcome. */
export const OPERATOR_RETENTION_DAYS_MIN = 62;
const DAY_MS = 24 * 60 * 60 * 1000;
const ACCEPT_DEADLINE_MS = 5_000;
const VIEW_DEADLINE_MS = 5_000;
/** An owner that has read the nulls writes no more events: one round more than the first is rare, two are hardly seen. */
const ROUNDS_MAX = 5;

export class SearchRetention {
  constructor(
    private readonly view: SearchView,
    private readonly images: ImageStore,
    private readonly publisher: Pick<Publisher, 'publish' | 'publishAll'>,
    private readonly audit: AuditLog,
    private readonly directions: Pick<DirectionFollower, 'get' | 'upToDate'>,
    private readonly now: () => Date = () => new Date(),
  ) {}

  /**
   * Resolves when the probe is gone, the nulls are in the log, and nothing is held for the search. Asking again after a
   * failure is harmless, and finishes what was begun.
   *
   * @throws Refusal SEARCH_NOT_FOUND, SEARCH_NOT_CLOSED, SEARCH_TOO_RECENT; Failure AUDIT_UNAVAILABLE, KAFKA_UNAVAILABLE,
   *   DIRECTIONS_BEHIND, VIEW_BEHIND
   */
  async end(actor: Actor, searchId: SearchId, { authority, reason }: RetentionEndRequest): Promise<RetentionEnded> {
    // In this order: the events that a hold which is known here follows from are known, too.
    await this.directions.upToDate();
    await this.view.upToDate(searchId, VIEW_DEADLINE_MS);
    const viewed = this.view.get(searchId);
    // Begun before and not finished: the first null made the views forget it, other events or its hold are still there.
    const keys = this.view.eventKeys(searchId);
    const isHeld = this.directions.get(openSearchId(searchId)) !== undefined;
    if (viewed === undefined && keys.length === 0 && !isHeld) {
      throw new Refusal('SEARCH_NOT_FOUND', 'There is no such search.');
    }
    if (viewed !== undefined) this.refuseWhileNeeded(viewed);
    const candidates =
      viewed === undefined || viewed.kind === 'refused' ? [] : (viewed.search.answer?.candidates ?? []);
    await this.audit.append([
      {
        operation: 'erasure',
        action: 'search-retention-ended',
        actor: actor.id,
        role: 'data-protection',
        purpose: authority,
        justification: reason,
        searchId,
        subjectIds: candidates.map((candidate) => candidate.subjectId),
        imageIds: candidates.map((candidate) => candidate.imageId),
        detail: { proceedingsEnded: true, events: keys.length },
      },
    ]);
    await this.images.delete(probeName(searchId));
    const eventsForgotten = await this.forgetEvents(searchId);
    if (viewed === undefined || viewed.kind === 'retrospective') await this.endHold(searchId);
    return { searchId, eventsForgotten };
  }

  /** @returns how many */
  private async forgetEvents(id: SearchId): Promise<number> {
    let forgotten = 0;
    for (let round = 1; ; round++) {
      const keys = this.view.eventKeys(id);
      // After the first nulls, a search that is there again is another: somebody has sent a request under its id.
      if (keys.length === 0 || (round > 1 && this.view.get(id) !== undefined)) return forgotten;
      if (round > ROUNDS_MAX) throw new Failure('VIEW_BEHIND', 'Its events are still being written; try again.', true);
      await this.publisher.publishAll(
        keys.map((key) => searchEventEnd(id, key, QUERY_SOURCE)),
        ACCEPT_DEADLINE_MS,
      );
      forgotten += keys.length;
      await this.view.upToDate(id, VIEW_DEADLINE_MS);
    }
  }

  private async endHold(id: SearchId): Promise<void> {
    if (this.view.get(id) !== undefined) return;
    await this.publisher.publish(directionEnd(openSearchId(id), QUERY_SOURCE), ACCEPT_DEADLINE_MS);
  }

  private refuseWhileNeeded({ kind, search }: ViewedSearch): void {
    if (kind === 'retrospective' && search.state !== 'CLOSED') {
      throw new Refusal('SEARCH_NOT_CLOSED', `The search is ${search.state}: it is closed first.`, {
        state: search.state,
      });
    }
    if (kind !== 'operator') return;
    const notBefore = new Date(Date.parse(search.at) + OPERATOR_RETENTION_DAYS_MIN * DAY_MS);
    if (this.now() >= notBefore) return;
    throw new Refusal('SEARCH_TOO_RECENT', `An officer’s search is kept for ${OPERATOR_RETENTION_DAYS_MIN} days.`, {
      notBefore: notBefore.toISOString(),
    });
  }
}
