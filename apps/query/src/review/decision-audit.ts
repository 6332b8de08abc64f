/** What is said in the audit before an event of a retrospective search: who did what with whose data, and why. */
import type { AuditStatement } from '#contracts/audit-record.js';
import type { RetrospectiveEvent } from '#domain/retrospective-events.js';
import { candidateAt, possibleMatchRank, type RetrospectiveSearch } from '#domain/retrospective-search.js';

/**
 * The steps of the service itself (that a search has begun, that it waits or has failed) concern nobody's data: what was
 * asked for and what was answered is said by whoever received and answers it.
 *
 * @param search before the event; undefined before the first
 */
export function auditsOf(
  search: RetrospectiveSearch | undefined,
  event: RetrospectiveEvent,
): readonly AuditStatement[] {
  if (search === undefined) return [];
  const { request } = search;
  const decided = {
    operation: 'alteration' as const,
    actor: event.by,
    role: 'operator' as const,
    purpose: request.offence,
    searchId: search.searchId,
  };
  const about = (rank: number | undefined): Pick<AuditStatement, 'subjectIds' | 'imageIds'> => {
    const candidate = rank === undefined ? undefined : candidateAt(search, rank);
    return candidate === undefined ? {} : { subjectIds: [candidate.subjectId], imageIds: [candidate.imageId] };
  };
  switch (event.type) {
    case 'FACE_CHOSEN':
      return [{ ...decided, action: 'face-chosen', detail: { face: event.face } }];
    case 'SEARCH_RETRIED':
      return [{ ...decided, action: 'search-retried' }];
    case 'PARTIAL_REVIEW_CHOSEN':
      return [{ ...decided, action: 'partial-review-chosen' }];
    case 'CANDIDATE_VIEWED':
      return [
        {
          ...decided,
          ...about(event.rank),
          operation: 'consultation',
          action: 'candidate-viewed',
          role: search.state === 'OFFICER_REVIEW' ? 'investigating-officer' : 'operator',
          recipients: [event.by],
          detail: { rank: event.rank },
        },
      ];
    case 'OPERATOR_DECIDED': {
      const { outcome, rank, features, notes } = event;
      return [
        {
          ...decided,
          ...about(rank),
          action: 'operator-decided',
          ...because(features, notes),
          detail: { outcome, ...(rank !== undefined && { rank }) },
        },
      ];
    }
    case 'PEER_REVIEWED': {
      const rank = possibleMatchRank(search);
      return [
        {
          ...decided,
          ...about(rank),
          action: 'peer-reviewed',
          ...because(event.notes),
          detail: { outcome: event.outcome, ...(rank !== undefined && { rank }) },
        },
      ];
    }
    case 'OFFICER_DECIDED': {
      const { outcome, rank, corroboration, notes } = event;
      return [
        {
          ...decided,
          ...about(rank),
          action: 'officer-decided',
          role: 'investigating-officer',
          ...because(corroboration, notes),
          detail: { outcome, rank },
        },
      ];
    }
    case 'OFFICER_REASSIGNED':
      return [
        {
          ...decided,
          action: 'officer-reassigned',
          recipients: [event.investigatingOfficer],
          ...because(event.notes),
          detail: { from: request.investigatingOfficer, to: event.investigatingOfficer },
        },
      ];
    case 'CANDIDATE_WITHDRAWN':
      return [
        {
          ...decided,
          ...about(event.rank),
          action: 'candidate-withdrawn',
          role: 'system',
          recipients: [event.investigatingOfficer],
          detail: { rank: event.rank, reason: event.reason },
        },
      ];
    case 'CLOSED':
      return [
        {
          ...decided,
          action: 'search-closed',
          role: event.by === request.investigatingOfficer ? 'investigating-officer' : 'operator',
          ...because(event.notes),
          detail: { from: search.state },
        },
      ];
    case 'RECEIVED':
    case 'FACE_CHOICE_NEEDED':
    case 'SEARCH_STARTED':
    case 'CANDIDATES_FOUND':
    case 'NO_CANDIDATES_FOUND':
    case 'SEARCH_PARTIAL':
    case 'SEARCH_FAILED':
    case 'REVIEW_REQUESTED':
      return [];
  }
}

/** The words that were given, the reason before the notes. */
function because(...words: readonly (string | undefined)[]): { justification?: string } {
  const given = words.filter((text) => text !== undefined);
  return given.length === 0 ? {} : { justification: given.join('\n') };
}
