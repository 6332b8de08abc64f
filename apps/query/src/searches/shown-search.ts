/** A search as people are shown it. */
import { isSuppressed, type Disposition } from '#domain/disposition.js';
import type { UprightPicture } from '#domain/face.js';
import type { ImageId, SearchId } from '#domain/ids.js';
import type { OperatorSearchRecord } from '#domain/operator-search.js';
import { isWithdrawn, type RetrospectiveSearch } from '#domain/retrospective-search.js';
import { shownAnswer, type FoundCandidate, type SearchKind, type ShownAnswer } from '#domain/search-answer.js';
import type { ViewedSearch } from './search-tables.js';

export type DispositionOf = (id: ImageId) => Disposition | undefined;

export interface ShownSearch {
  readonly searchId: SearchId;
  readonly kind: SearchKind;
  readonly state: string;
  readonly version: number;
  readonly receivedAt: string;
  readonly updatedAt: string;
  readonly by: string;
  readonly request: unknown;
  readonly faces: unknown;
  /** What the boxes of `faces` are given in. */
  readonly picture: UprightPicture | null;
  readonly failure: unknown;
  readonly answer: ShownAnswer | null;
  /** Of a retrospective search: who looked at what, decided what and why. */
  readonly review: ShownReview | null;
  /** Of an operator-initiated search; null while the officer has not recorded it. */
  readonly outcome: OperatorSearchRecord['outcome'];
}

type ShownReview = Pick<
  RetrospectiveSearch,
  'rules' | 'operators' | 'partialReview' | 'viewings' | 'withdrawals' | 'decisions' | 'history'
>;

/** Whether a candidate may no longer be shown: by its image's disposition, or because the search says so. */
export function isCandidateWithdrawn(
  viewed: ViewedSearch,
  candidate: FoundCandidate,
  dispositionOf: DispositionOf,
): boolean {
  if (viewed.kind === 'retrospective' && isWithdrawn(viewed.search, candidate.rank)) return true;
  return isSuppressed(dispositionOf(candidate.imageId), candidate.sourceOffset);
}

export function showSearch(viewed: ViewedSearch, dispositionOf: DispositionOf): ShownSearch {
  const { kind, search } = viewed;
  const isGone = (candidate: FoundCandidate): boolean => isCandidateWithdrawn(viewed, candidate, dispositionOf);
  switch (kind) {
    case 'refused':
      return {
        ...nothingOf(search.searchId, search.at, search.by),
        state: 'REFUSED',
        failure: { code: search.code, detail: search.detail },
      };
    case 'operator': {
      const { grounds, justification, deviceId, answer, outcome } = search;
      return {
        ...nothingOf(search.searchId, search.at, search.by),
        kind,
        state: search.state,
        version: search.version,
        updatedAt: search.updatedAt,
        request: { grounds, justification, deviceId },
        answer: shownAnswer(answer, isGone),
        outcome: outcome === null ? null : withoutWithdrawn(outcome, viewed.search, isGone),
      };
    }
    case 'retrospective': {
      const { rules, operators, partialReview, viewings, withdrawals, decisions, history } = search;
      return {
        ...nothingOf(search.searchId, search.receivedAt, search.operator),
        state: search.state,
        version: search.version,
        updatedAt: search.updatedAt,
        request: search.request,
        faces: search.faces ?? null,
        picture: search.picture ?? null,
        failure: search.failure ?? null,
        answer: search.answer === undefined ? null : shownAnswer(search.answer, isGone),
        review: { rules, operators, partialReview, viewings, withdrawals, decisions, history },
      };
    }
  }
}

/** A search that is in the log and that no owner has taken up yet. */
export function showQueued(searchId: SearchId, by: string, now: string): ShownSearch {
  return nothingOf(searchId, now, by);
}

function nothingOf(searchId: SearchId, at: string, by: string): ShownSearch {
  return {
    searchId,
    kind: 'retrospective',
    state: 'QUEUED',
    version: 0,
    receivedAt: at,
    updatedAt: at,
    by,
    request: null,
    faces: null,
    picture: null,
    failure: null,
    answer: null,
    review: null,
    outcome: null,
  };
}

/** That a candidate was confirmed stays, and who it was goes with the candidate. */
function withoutWithdrawn(
  outcome: NonNullable<OperatorSearchRecord['outcome']>,
  { answer }: OperatorSearchRecord,
  isGone: (candidate: FoundCandidate) => boolean,
): NonNullable<OperatorSearchRecord['outcome']> {
  const confirmed = answer.candidates.find(({ rank }) => rank === outcome.rank);
  if (confirmed === undefined || !isGone(confirmed)) return outcome;
  return { ...outcome, subjectId: null, imageId: null };
}
