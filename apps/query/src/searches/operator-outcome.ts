/** Records what came of an operator-initiated search, by the officer who made it: once, and the first one counts. */
import type { AuditLog } from '#audit/audit-log.js';
import { searchEventRecord } from '#contracts/search-record.js';
import { Refusal } from '#domain/errors.js';
import type { Actor } from '#domain/identity.js';
import type { SearchId } from '#domain/ids.js';
import {
  outcomeAlreadyRecorded,
  recordOutcome,
  type OperatorOutcome,
  type OperatorSearchRecord,
} from '#domain/operator-search.js';
import type { Publisher } from '#kafka/publisher.js';
import { idempotentId, requestDigest, sameRequest } from '#platform/idempotency.js';
import { QUERY_SOURCE } from '../query-source.js';
import type { SearchView } from './search-view.js';
import { isCandidateWithdrawn, type DispositionOf } from './shown-search.js';

const ACCEPT_DEADLINE_MS = 5_000;
const VIEW_DEADLINE_MS = 5_000;

export class OperatorOutcomes {
  constructor(
    private readonly view: SearchView,
    private readonly audit: AuditLog,
    private readonly publisher: Publisher,
    private readonly dispositionOf: DispositionOf,
  ) {}

  /**
   * Resolves when this replica's view shows the outcome.
   *
   * @throws Refusal SEARCH_NOT_FOUND, NOT_YOUR_SEARCH, OUTCOME_ALREADY_RECORDED, CANDIDATE_NOT_FOUND,
   *   CANDIDATE_WITHDRAWN, NOTES_REQUIRED, IDEMPOTENCY_KEY_REUSED; Failure AUDIT_UNAVAILABLE, VIEW_BEHIND
   */
  async record(
    actor: Actor,
    searchId: SearchId,
    outcome: OperatorOutcome,
    idempotencyKey: string | undefined,
  ): Promise<void> {
    const commandId = idempotentId(actor.id, `POST /v1/searches/${searchId}/outcome`, idempotencyKey);
    const search = this.own(actor, searchId);
    if (search.outcome?.commandId === commandId) {
      sameRequest(digestOf(outcome), digestOf(search.outcome));
      return;
    }
    const event = recordOutcome(
      search,
      outcome,
      { commandId, by: actor.id, at: new Date().toISOString() },
      (candidate) => isCandidateWithdrawn({ kind: 'operator', search }, candidate, this.dispositionOf),
    );
    await this.audit.append([
      {
        operation: 'alteration',
        action: 'operator-outcome-recorded',
        actor: actor.id,
        role: 'officer',
        purpose: search.grounds,
        searchId,
        ...(event.notes !== null && { justification: event.notes }),
        ...(event.subjectId !== null && { subjectIds: [event.subjectId] }),
        ...(event.imageId !== null && { imageIds: [event.imageId] }),
        detail: { outcome: event.rank === null ? 'none' : 'confirmed', commandId },
      },
    ]);
    await this.publisher.publish(searchEventRecord(event, QUERY_SOURCE), ACCEPT_DEADLINE_MS);
    await this.view.shows(searchId, event.version, VIEW_DEADLINE_MS);
    const { outcome: recorded } = this.own(actor, searchId);
    // The log's order decides, and somebody else's came first.
    if (recorded !== null && recorded.commandId !== commandId) throw outcomeAlreadyRecorded(recorded);
    if (recorded !== null) sameRequest(digestOf(outcome), digestOf(recorded));
  }

  private own(actor: Actor, id: SearchId): OperatorSearchRecord {
    const viewed = this.view.get(id);
    if (viewed?.kind !== 'operator') throw new Refusal('SEARCH_NOT_FOUND', 'There is no such search of an officer.');
    if (viewed.search.by !== actor.id) {
      throw new Refusal('NOT_YOUR_SEARCH', 'The outcome is recorded by the officer who made the search.');
    }
    return viewed.search;
  }
}

function digestOf({ rank, notes }: OperatorOutcome): string {
  return requestDigest({ rank, notes });
}
