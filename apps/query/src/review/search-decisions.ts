/**
 * Hands decisions about retrospective searches to their owners, and says what became of them. The command goes into the
 * log; whether it was accepted shows in the search: a new version with the command's id, or with somebody else's.
 */
import { searchCommandRecord, type SearchCommand } from '#contracts/search-record.js';
import type { RequestedAction } from '#contracts/decision-forms.js';
import { CodedError, Failure } from '#domain/errors.js';
import type { Actor } from '#domain/identity.js';
import type { SearchId } from '#domain/ids.js';
import { acceptedBefore, decide } from '#domain/retrospective-decision.js';
import type { RetrospectiveSearch } from '#domain/retrospective-search.js';
import type { Publisher } from '#kafka/publisher.js';
import { idempotentId, requestDigest, sameRequest } from '#platform/idempotency.js';
import { QUERY_SOURCE } from '../query-source.js';
import type { SearchView } from '../searches/search-view.js';

/** Longer than the replicas need to share the partitions anew, when one comes or goes. */
const ACCEPT_DEADLINE_MS = 10_000;
/** For what another replica has shown, and this one is about to read. */
const VIEW_DEADLINE_MS = 2_000;

export class SearchDecisions {
  constructor(
    private readonly publisher: Pick<Publisher, 'publish'>,
    private readonly view: Pick<SearchView, 'get' | 'shows'>,
    private readonly withinMs: number = ACCEPT_DEADLINE_MS,
  ) {}

  /**
   * @param route of the request, with the searchId in it
   * @param idempotencyKey a request that is sent again with its key is done once
   * @throws Refusal IDEMPOTENCY_KEY_REUSED; whatever `give` throws
   */
  decide(
    actor: Actor,
    searchId: SearchId,
    { action, expectedVersion }: RequestedAction,
    route: string,
    idempotencyKey: string | undefined,
  ): Promise<RetrospectiveSearch> {
    return this.give({
      ...action,
      commandId: idempotentId(actor.id, route, idempotencyKey),
      searchId,
      by: actor.id,
      roles: actor.roles,
      digest: requestDigest({ ...action, expectedVersion }),
      ...(expectedVersion !== undefined && { expectedVersion }),
    });
  }

  /**
   * Resolves when the search shows that the command was accepted, now or before.
   *
   * @throws Refusal of the decision (see `decide` of the domain): VERSION_CONFLICT names who was first; Failure
   *   COMMAND_QUEUED when no owner has taken it up in time: it may still be accepted
   */
  async give(command: SearchCommand): Promise<RetrospectiveSearch> {
    const deadlineMs = Date.now() + this.withinMs;
    await this.shows(command.searchId, command.expectedVersion ?? 1, Math.min(VIEW_DEADLINE_MS, this.withinMs));
    const before = this.judged(command);
    if (before !== undefined) return before;
    await this.publisher.publish(searchCommandRecord(command, QUERY_SOURCE), this.withinMs);
    for (;;) {
      const now = this.judged(command);
      if (now !== undefined) return now;
      const version = this.known(command.searchId)!.version;
      const leftMs = deadlineMs - Date.now();
      if (leftMs <= 0 || !(await this.shows(command.searchId, version + 1, leftMs))) {
        throw new Failure('COMMAND_QUEUED', 'The decision is in the log and has not been taken up yet.', true);
      }
    }
  }

  /**
   * The search, when it shows that the command is done; undefined while its owner still has to decide on it.
   *
   * @throws Refusal when the command cannot be accepted as the search is now
   */
  private judged(command: SearchCommand): RetrospectiveSearch | undefined {
    const search = this.known(command.searchId);
    const events = decide(search, command, { id: command.by, roles: command.roles });
    const accepted = search && acceptedBefore(search, command.commandId);
    if (accepted !== undefined && command.digest !== undefined) sameRequest(command.digest, accepted.commandDigest);
    return events.length === 0 ? search : undefined;
  }

  private known(id: SearchId): RetrospectiveSearch | undefined {
    const viewed = this.view.get(id);
    return viewed?.kind === 'retrospective' ? viewed.search : undefined;
  }

  /** @returns whether the view has come so far in time */
  private async shows(id: SearchId, version: number, withinMs: number): Promise<boolean> {
    try {
      await this.view.shows(id, version, withinMs);
      return true;
    } catch (error) {
      if (error instanceof CodedError && error.code === 'VIEW_BEHIND') return false;
      throw error;
    }
  }
}
