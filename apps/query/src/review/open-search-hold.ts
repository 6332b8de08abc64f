/**
 * Holds the candidates of a search against erasure while it is open (Criminal Procedure and Investigations Act 1996): a
 * direction that is in the log before the candidates are on record, and ends when the search is closed. Whoever erases
 * reads the directions, and so need not read the searches.
 */
import { directionEnd, directionRecord } from '#contracts/direction-record.js';
import { openSearchId, type OpenSearch } from '#domain/direction.js';
import type { SearchId } from '#domain/ids.js';
import type { FoundAnswer } from '#domain/search-answer.js';
import type { Publisher } from '#kafka/publisher.js';
import { QUERY_SOURCE } from '../query-source.js';

export class OpenSearchHold {
  constructor(private readonly publisher: Pick<Publisher, 'publish'>) {}

  /** @throws Failure KAFKA_UNAVAILABLE */
  async begin(searchId: SearchId, answer: FoundAnswer): Promise<void> {
    const hold: OpenSearch = {
      kind: 'open-search',
      directionId: openSearchId(searchId),
      target: { imageIds: answer.candidates.map(({ imageId }) => imageId) },
      authority: 'CPIA 1996',
      reason: 'Candidate of a retrospective search that is not closed.',
      by: QUERY_SOURCE,
      role: 'system',
      at: new Date().toISOString(),
    };
    await this.publisher.publish(directionRecord(hold, QUERY_SOURCE));
  }

  /** Ending what has ended changes nothing. @throws Failure KAFKA_UNAVAILABLE */
  async end(searchId: SearchId): Promise<void> {
    await this.publisher.publish(directionEnd(openSearchId(searchId), QUERY_SOURCE));
  }
}
