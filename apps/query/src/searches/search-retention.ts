/**
 * The end of a search's retention, ordered by data-protection staff: its probe is deleted, and a null for each of its
 * events makes every view forget it and the log's cleaner destroy it. Until proceedings have ended, which whoever orders
 * it states, candidates that nobody chose, notes and the probe's hash are kept (Criminal Procedure and Investigations
 * Act 1996, code of practice).
 */
import type { AuditLog } from '#audit/audit-log.js';
import type { RetentionEndRequest } from '#contracts/search-forms.js';
import { searchEventEnd } from '#contracts/search-record.js';
import { Refusal } from '#domain/errors.js';
import type { Actor } from '#domain/identity.js';
import type { SearchId } from '#domain/ids.js';
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

export class SearchRetention {
  constructor(
    private readonly view: SearchView,
    private readonly images: ImageStore,
    private readonly publisher: Publisher,
    private readonly audit: AuditLog,
    private readonly now: () => Date = () => new Date(),
  ) {}

  /**
   * Resolves when the probe is gone and the nulls are in the log. Asking again after a failure is harmless, and finishes
   * what was begun.
   *
   * @throws Refusal SEARCH_NOT_FOUND, SEARCH_NOT_CLOSED, SEARCH_TOO_RECENT; Failure AUDIT_UNAVAILABLE, KAFKA_UNAVAILABLE
   */
  async end(actor: Actor, searchId: SearchId, { authority, reason }: RetentionEndRequest): Promise<RetentionEnded> {
    const viewed = this.view.get(searchId);
    // Begun before and not finished: the first null made the views forget it, the other events are still there.
    const keys = this.view.eventKeys(searchId);
    if (viewed === undefined && keys.length === 0) throw new Refusal('SEARCH_NOT_FOUND', 'There is no such search.');
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
    await this.publisher.publishAll(
      keys.map((key) => searchEventEnd(searchId, key, QUERY_SOURCE)),
      ACCEPT_DEADLINE_MS,
    );
    return { searchId, eventsForgotten: keys.length };
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
