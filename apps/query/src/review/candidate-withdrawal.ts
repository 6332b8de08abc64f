/**
 * Notices that a search returned an image which was erased, restricted or retired since, and asks the owner of the search
 * to withdraw the candidate. Every replica may notice; the command's id follows from what was noticed, so that it is
 * accepted once.
 *
 * Both orders are covered. A disposition that comes after an answer is noticed by every replica that has read the answer,
 * its owner at least. An answer that comes after a disposition, because the index did not know it yet, is looked through
 * by its owner. And whoever takes a partition over looks through its searches, in case nobody was there.
 */
import { searchCommandRecord } from '#contracts/search-record.js';
import { isSuppressed, type Disposition } from '#domain/disposition.js';
import { describeError } from '#domain/errors.js';
import type { ImageId } from '#domain/ids.js';
import { isWithdrawn, STATES_WITH_CANDIDATES, type RetrospectiveSearch } from '#domain/retrospective-search.js';
import type { Publisher } from '#kafka/publisher.js';
import { idempotentId } from '#platform/idempotency.js';
import type { Log } from '#platform/log.js';
import { QUERY_SOURCE } from '../query-source.js';
import type { SearchView } from '../searches/search-view.js';

/** An indexed look-up each, some milliseconds in all, in which nobody else is served. */
const NOTICED_AT_A_TIME = 100;

export interface KnownDispositions {
  get(id: ImageId): Disposition | undefined;
  all(): Iterable<Disposition>;
}

export class CandidateWithdrawal {
  constructor(
    private readonly view: Pick<SearchView, 'get' | 'searchesWith'>,
    private readonly dispositions: KnownDispositions,
    private readonly publisher: Pick<Publisher, 'publish'>,
    private readonly log: Log,
  ) {}

  /** Looks for searches that returned any of these images. Does not wait for Kafka: the publisher does. */
  noticed(imageIds: Iterable<ImageId>): void {
    for (const imageId of imageIds) {
      const disposition = this.dispositions.get(imageId);
      if (disposition === undefined) continue;
      const ids = new Set(this.view.searchesWith({ imageId }).map(({ searchId }) => searchId));
      for (const id of ids) {
        const viewed = this.view.get(id);
        if (viewed?.kind === 'retrospective') this.withdraw(viewed.search, disposition);
      }
    }
  }

  /** Looks through every disposition: after a time in which nobody did. */
  async noticedAll(): Promise<void> {
    const imageIds = [...this.dispositions.all()].map(({ imageId }) => imageId);
    for (let from = 0; from < imageIds.length; from += NOTICED_AT_A_TIME) {
      this.noticed(imageIds.slice(from, from + NOTICED_AT_A_TIME));
      await new Promise(setImmediate);
    }
  }

  /** Looks through the candidates of one search. */
  check(search: RetrospectiveSearch): void {
    for (const { imageId } of search.answer?.candidates ?? []) {
      const disposition = this.dispositions.get(imageId);
      if (disposition !== undefined) this.withdraw(search, disposition);
    }
  }

  private withdraw(search: RetrospectiveSearch, disposition: Disposition): void {
    const { searchId, state, answer } = search;
    const { imageId, kind: reason } = disposition;
    if (!(STATES_WITH_CANDIDATES as readonly string[]).includes(state)) return;
    const isConcerned = (answer?.candidates ?? []).some(
      (candidate) =>
        candidate.imageId === imageId &&
        !isWithdrawn(search, candidate.rank) &&
        isSuppressed(disposition, candidate.sourceOffset),
    );
    if (!isConcerned) return;
    // Of one run: a search that is tried again may return the image again, and lose it again.
    const commandId = idempotentId(QUERY_SOURCE, `withdraw ${searchId} ${answer!.completedAt}`, imageId);
    const command = { type: 'WITHDRAW_CANDIDATE', commandId, searchId, imageId, reason } as const;
    // No deadline: the publisher tries until Kafka is there again, and a takeover notices what a crash has lost.
    this.publisher
      .publish(searchCommandRecord({ ...command, by: QUERY_SOURCE, roles: ['system'] }, QUERY_SOURCE))
      .catch((error: unknown) => this.log.warn('withdrawal-not-asked-for', { searchId, error: describeError(error) }));
  }
}
