/**
 * Makes what was decided about a retrospective search an event of the log: audited first, published next, and true only
 * when this replica's own view has read it back as the first event of its version.
 *
 * Fencing is in that last step. An owner that no longer is one may still publish; whoever was first in the log has taken
 * the version, every reader ignores the other, and the other learns it here.
 */
import type { AuditLog } from '#audit/audit-log.js';
import { searchEventRecord, type SearchEvent } from '#contracts/search-record.js';
import { Failure } from '#domain/errors.js';
import type { Offset, SearchId } from '#domain/ids.js';
import type { RetrospectiveEvent, RetrospectiveEventBody } from '#domain/retrospective-events.js';
import { foldRetrospective, type RetrospectiveSearch } from '#domain/retrospective-search.js';
import type { Publisher } from '#kafka/publisher.js';
import { auditsOf } from './decision-audit.js';
import { QUERY_SOURCE } from '../query-source.js';
import type { SearchView } from '../searches/search-view.js';

const VIEW_DEADLINE_MS = 30_000;
/** Two owners overlap for moments; each loss is another's step, so that there is no end to losing only in a quarrel. */
const ATTEMPTS_MAX = 10;

/** What shall happen to a search, given what it is now. Nothing when there is nothing to do. */
export type Proposal = (search: RetrospectiveSearch | undefined) => {
  readonly events: readonly RetrospectiveEventBody[];
  readonly command?: { readonly commandId: string; readonly digest?: string | undefined };
};

export class SearchAcceptance {
  /** The last step of each search, so that one waits for the other. */
  private readonly last = new Map<SearchId, Promise<unknown>>();

  constructor(
    private readonly audit: AuditLog,
    private readonly publisher: Publisher,
    private readonly view: SearchView,
  ) {}

  known(id: SearchId): RetrospectiveSearch | undefined {
    const viewed = this.view.get(id);
    return viewed?.kind === 'retrospective' ? viewed.search : undefined;
  }

  /**
   * Proposals about one search are taken one after the other, each on the state that the one before left; one that lost
   * to another owner is made again on the state that won.
   *
   * @returns the search afterwards, and whether this proposal has moved it
   * @throws whatever `propose` refuses; Failure OWNERS_CONTEND, AUDIT_UNAVAILABLE, KAFKA_UNAVAILABLE, VIEW_BEHIND, all
   *   of which pass
   */
  async accept(
    id: SearchId,
    propose: Proposal,
  ): Promise<{ readonly search: RetrospectiveSearch | undefined; readonly accepted: boolean }> {
    const before = this.last.get(id) ?? Promise.resolve();
    const step = before.catch(() => undefined).then(() => this.acceptNow(id, propose));
    const settled = step.catch(() => undefined);
    this.last.set(id, settled);
    try {
      return await step;
    } finally {
      if (this.last.get(id) === settled) this.last.delete(id);
    }
  }

  /** Publishes what is no event of a search's history: nobody else's version is taken by it. */
  publish(event: SearchEvent): Promise<{ partition: number; offset: Offset }> {
    return this.publisher.publish(searchEventRecord(event, QUERY_SOURCE));
  }

  private async acceptNow(id: SearchId, propose: Proposal): ReturnType<SearchAcceptance['accept']> {
    for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt++) {
      const search = this.known(id);
      const { events: bodies, command } = propose(search);
      if (bodies.length === 0) return { search, accepted: false };
      const events = versioned(id, search, bodies, command);
      let expected = search;
      for (const event of events) expected = foldRetrospective(expected, event);
      const audits = events.flatMap((event) => auditsOf(search, event));
      if (audits.length > 0) await this.audit.append(audits);
      // In one tick, so that they are one batch of the partition: all of them are in the log, or none is.
      const positions = await Promise.all(events.map((event) => this.publish(event)));
      const { partition, offset } = positions.at(-1)!;
      await this.view.reflects(partition, (offset + 1) as Offset, VIEW_DEADLINE_MS);
      const now = this.known(id);
      if (now !== undefined && isIn(now, events.at(-1)!)) return { search: now, accepted: true };
    }
    throw new Failure('OWNERS_CONTEND', `Another owner was first ${ATTEMPTS_MAX} times in a row.`, true);
  }
}

function versioned(
  searchId: SearchId,
  search: RetrospectiveSearch | undefined,
  bodies: readonly RetrospectiveEventBody[],
  command: { readonly commandId: string; readonly digest?: string | undefined } | undefined,
): readonly RetrospectiveEvent[] {
  const at = new Date().toISOString();
  return bodies.map((body, index) => ({
    ...body,
    searchId,
    version: (search?.version ?? 0) + 1 + index,
    at,
    ...(command !== undefined && { commandId: command.commandId }),
    ...(command?.digest !== undefined && { commandDigest: command.digest }),
  }));
}

/** Whether the event that has its version is this one: of two owners' events, the command or the moment differs. */
function isIn(search: RetrospectiveSearch, { version, type, by, at, commandId }: RetrospectiveEvent): boolean {
  const entry = search.history[version - 1];
  return entry?.type === type && entry.by === by && entry.at === at && entry.commandId === commandId;
}
