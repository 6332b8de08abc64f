/**
 * Retrospective search, from its request to its end, as a fold over accepted events. A decision that somebody wants to
 * make is a command (retrospective-commands.ts); the owner of the search's partition decides on it against the state
 * folded so far and publishes the accepted event, or answers why not. Everybody folds the same events and so holds the
 * same view.
 *
 *     RECEIVED ─▶ AWAITING_FACE ─▶ SEARCHING ─▶ CANDIDATES ─▶ OPERATOR_REVIEW ─▶ NO_MATCH | INCONCLUSIVE ─▶ CLOSED
 *         └──────────────────────────▲  │ ├──▶ NO_CANDIDATES ─▶ CLOSED   │
 *                                    │  │ └──▶ PARTIAL ──▶ OPERATOR_REVIEW
 *                                    └──┼──────── │          POSSIBLE_MATCH ─▶ [PEER_REVIEW] ─▶ OFFICER_REVIEW
 *                                       └──▶ FAILED ─▶ SEARCHING | CLOSED       └▶ REJECTED | SUSPECT_ADDED ─▶ CLOSED
 *
 * PARTIAL is never shown as NO_CANDIDATES: a part of the gallery that was not searched is not a part without the person.
 * A suspect whose image is erased or restricted goes back to OFFICER_REVIEW, also from CLOSED.
 */
import type { DispositionKind } from './disposition.js';
import { Refusal } from './errors.js';
import type { DescribedFace, UprightPicture } from './face.js';
import type { SearchId } from './ids.js';
import type {
  OfficerReviewOutcome,
  OperatorReviewOutcome,
  PeerReviewOutcome,
  RetrospectiveEvent,
  RetrospectiveEventType,
  RetrospectiveRules,
} from './retrospective-events.js';
import type { RetrospectiveSearchRequest } from './retrospective-request.js';
import type { FoundAnswer, FoundCandidate } from './search-answer.js';

/** Each state with the states that may follow it. */
export const RETROSPECTIVE_MOVES = {
  RECEIVED: ['AWAITING_FACE', 'SEARCHING', 'FAILED'],
  AWAITING_FACE: ['SEARCHING', 'FAILED', 'CLOSED'],
  // To AWAITING_FACE when a search that had failed before its probe was looked at is tried again.
  SEARCHING: ['CANDIDATES', 'NO_CANDIDATES', 'PARTIAL', 'FAILED', 'AWAITING_FACE'],
  CANDIDATES: ['OPERATOR_REVIEW'],
  NO_CANDIDATES: ['CLOSED'],
  PARTIAL: ['SEARCHING', 'OPERATOR_REVIEW'],
  FAILED: ['SEARCHING', 'CLOSED'],
  OPERATOR_REVIEW: ['NO_MATCH', 'INCONCLUSIVE', 'POSSIBLE_MATCH'],
  NO_MATCH: ['CLOSED'],
  INCONCLUSIVE: ['CLOSED'],
  POSSIBLE_MATCH: ['PEER_REVIEW', 'OFFICER_REVIEW'],
  PEER_REVIEW: ['OFFICER_REVIEW', 'NO_MATCH', 'INCONCLUSIVE'],
  OFFICER_REVIEW: ['REJECTED', 'SUSPECT_ADDED'],
  REJECTED: ['CLOSED'],
  // Back to OFFICER_REVIEW only when the candidate is withdrawn.
  SUSPECT_ADDED: ['CLOSED', 'OFFICER_REVIEW'],
  CLOSED: ['OFFICER_REVIEW'],
} as const satisfies Record<string, readonly string[]>;

export type RetrospectiveState = keyof typeof RETROSPECTIVE_MOVES;

/** Those in which there may be candidates on record. */
export const STATES_WITH_CANDIDATES = [
  'CANDIDATES',
  'PARTIAL',
  'OPERATOR_REVIEW',
  'NO_MATCH',
  'INCONCLUSIVE',
  'POSSIBLE_MATCH',
  'PEER_REVIEW',
  'OFFICER_REVIEW',
  'REJECTED',
  'SUSPECT_ADDED',
  'CLOSED',
] as const satisfies readonly RetrospectiveState[];

export const STATES_NOT_CLOSED = (Object.keys(RETROSPECTIVE_MOVES) as RetrospectiveState[]).filter(
  (state) => state !== 'CLOSED',
);

/** The states in which each event is accepted. */
const ACCEPTED_IN: Readonly<Record<Exclude<RetrospectiveEventType, 'RECEIVED'>, readonly RetrospectiveState[]>> = {
  FACE_CHOICE_NEEDED: ['RECEIVED', 'SEARCHING'],
  FACE_CHOSEN: ['AWAITING_FACE'],
  SEARCH_STARTED: ['RECEIVED'],
  SEARCH_RETRIED: ['PARTIAL', 'FAILED'],
  CANDIDATES_FOUND: ['SEARCHING'],
  NO_CANDIDATES_FOUND: ['SEARCHING'],
  SEARCH_PARTIAL: ['SEARCHING'],
  SEARCH_FAILED: ['RECEIVED', 'AWAITING_FACE', 'SEARCHING'],
  PARTIAL_REVIEW_CHOSEN: ['PARTIAL'],
  CANDIDATE_VIEWED: ['CANDIDATES', 'OPERATOR_REVIEW', 'PEER_REVIEW', 'OFFICER_REVIEW'],
  OPERATOR_DECIDED: ['OPERATOR_REVIEW'],
  REVIEW_REQUESTED: ['POSSIBLE_MATCH'],
  PEER_REVIEWED: ['PEER_REVIEW'],
  OFFICER_DECIDED: ['OFFICER_REVIEW'],
  OFFICER_REASSIGNED: STATES_NOT_CLOSED,
  CANDIDATE_WITHDRAWN: STATES_WITH_CANDIDATES,
  CLOSED: ['AWAITING_FACE', 'NO_CANDIDATES', 'FAILED', 'NO_MATCH', 'INCONCLUSIVE', 'REJECTED', 'SUSPECT_ADDED'],
};

/** A person opened a candidate. */
export interface CandidateViewing {
  readonly rank: number;
  readonly by: string;
  /** ISO 8601 UTC. */
  readonly at: string;
}

export interface CandidateWithdrawal {
  readonly rank: number;
  readonly reason: DispositionKind;
  /** ISO 8601 UTC. */
  readonly at: string;
}

interface DecisionBase {
  /** Of the event that it is in. */
  readonly version: number;
  readonly by: string;
  /** ISO 8601 UTC. */
  readonly at: string;
  readonly notes?: string;
}

/** What one of the reviewers decided; later ones are added, none is replaced. */
export type Decision = DecisionBase &
  (
    | {
        readonly stage: 'operator';
        readonly outcome: OperatorReviewOutcome;
        readonly rank?: number;
        readonly features?: string;
      }
    | { readonly stage: 'peer'; readonly outcome: PeerReviewOutcome }
    | {
        readonly stage: 'officer';
        readonly outcome: OfficerReviewOutcome;
        readonly rank: number;
        readonly corroboration?: string;
      }
  );

/** One accepted event, without what it says: who was first, and with which command. */
export interface HistoryEntry {
  readonly version: number;
  readonly type: RetrospectiveEventType;
  readonly by: string;
  /** ISO 8601 UTC. */
  readonly at: string;
  readonly commandId?: string;
  readonly commandDigest?: string;
}

export interface RetrospectiveSearch {
  readonly searchId: SearchId;
  readonly version: number;
  readonly state: RetrospectiveState;
  /** Who asked for it. */
  readonly operator: string;
  /** Everybody who acted on it as an operator, `operator` first: none of them can be its investigating officer. */
  readonly operators: readonly string[];
  /** `investigatingOfficer` and `face` as they are now. */
  readonly request: RetrospectiveSearchRequest;
  readonly probeSha256: string;
  readonly rules: RetrospectiveRules;
  readonly receivedAt: string;
  readonly updatedAt: string;
  readonly faces?: readonly DescribedFace[];
  /** What the boxes of `faces` are given in. */
  readonly picture?: UprightPicture;
  /** Of the last run. */
  readonly answer?: FoundAnswer;
  readonly failure?: { readonly code: string; readonly detail: string };
  /** The operator chose to review an answer that only a part of the gallery gave. */
  readonly partialReview: boolean;
  readonly viewings: readonly CandidateViewing[];
  readonly withdrawals: readonly CandidateWithdrawal[];
  readonly decisions: readonly Decision[];
  /** Every accepted event, in order of version. */
  readonly history: readonly HistoryEntry[];
}

/** The legal next states, for a caller who asked for an illegal one. */
export function movesFrom(state: RetrospectiveState): readonly RetrospectiveState[] {
  return RETROSPECTIVE_MOVES[state];
}

/** The candidate of the answer on record. */
export function candidateAt(search: RetrospectiveSearch, rank: number): FoundCandidate | undefined {
  return search.answer?.candidates.find((candidate) => candidate.rank === rank);
}

export function isWithdrawn(search: RetrospectiveSearch, rank: number): boolean {
  return search.withdrawals.some((withdrawal) => withdrawal.rank === rank);
}

/** The rank that the operator found to be a possible match, once there is one. */
export function possibleMatchRank(search: RetrospectiveSearch): number | undefined {
  const decided = search.decisions.findLast((decision) => decision.stage === 'operator');
  return decided?.stage === 'operator' ? decided.rank : undefined;
}

/** Whether this candidate is the person whom the officer added as a suspect, by the last word on it. */
export function isSuspect(search: RetrospectiveSearch, rank: number): boolean {
  const last = search.decisions.findLast((decision) => decision.stage === 'officer');
  return last?.stage === 'officer' && last.outcome === 'add-suspect' && last.rank === rank;
}

/** The state after an event that is accepted in the search's state. */
function stateAfter(search: RetrospectiveSearch, event: RetrospectiveEvent): RetrospectiveState {
  switch (event.type) {
    case 'RECEIVED':
      return 'RECEIVED';
    case 'FACE_CHOICE_NEEDED':
      return 'AWAITING_FACE';
    case 'FACE_CHOSEN':
    case 'SEARCH_STARTED':
    case 'SEARCH_RETRIED':
      return 'SEARCHING';
    case 'CANDIDATES_FOUND':
      return 'CANDIDATES';
    case 'NO_CANDIDATES_FOUND':
      return 'NO_CANDIDATES';
    case 'SEARCH_PARTIAL':
      return 'PARTIAL';
    case 'SEARCH_FAILED':
      return 'FAILED';
    case 'PARTIAL_REVIEW_CHOSEN':
      return 'OPERATOR_REVIEW';
    case 'CANDIDATE_VIEWED':
      return search.state === 'CANDIDATES' ? 'OPERATOR_REVIEW' : search.state;
    case 'OPERATOR_DECIDED':
      return STATE_OF_OUTCOME[event.outcome];
    case 'REVIEW_REQUESTED':
      return event.stage === 'peer' ? 'PEER_REVIEW' : 'OFFICER_REVIEW';
    case 'PEER_REVIEWED':
      return event.outcome === 'agree' ? 'OFFICER_REVIEW' : STATE_OF_OUTCOME[event.outcome];
    case 'OFFICER_DECIDED':
      return event.outcome === 'reject' ? 'REJECTED' : 'SUSPECT_ADDED';
    case 'OFFICER_REASSIGNED':
      return search.state;
    case 'CANDIDATE_WITHDRAWN':
      return (search.state === 'SUSPECT_ADDED' || search.state === 'CLOSED') && isSuspect(search, event.rank)
        ? 'OFFICER_REVIEW'
        : search.state;
    case 'CLOSED':
      return 'CLOSED';
  }
}

const STATE_OF_OUTCOME = {
  'no-match': 'NO_MATCH',
  inconclusive: 'INCONCLUSIVE',
  'possible-match': 'POSSIBLE_MATCH',
} as const satisfies Record<OperatorReviewOutcome, RetrospectiveState>;

/**
 * The state after an accepted event.
 *
 * @throws Refusal ILLEGAL_MOVE naming the legal ones; VERSION_CONFLICT when the event does not follow the state
 */
export function foldRetrospective(
  search: RetrospectiveSearch | undefined,
  event: RetrospectiveEvent,
): RetrospectiveSearch {
  if (event.version !== (search?.version ?? 0) + 1) {
    throw new Refusal('VERSION_CONFLICT', `The search is at version ${search?.version ?? 0}.`, {
      version: search?.version ?? 0,
    });
  }
  if (event.type === 'RECEIVED') {
    if (search !== undefined) throw new Refusal('ILLEGAL_MOVE', 'The search was received before.');
    return {
      searchId: event.searchId,
      version: event.version,
      state: 'RECEIVED',
      operator: event.operator,
      operators: [event.operator],
      request: event.request,
      probeSha256: event.probeSha256,
      rules: event.rules,
      receivedAt: event.at,
      updatedAt: event.at,
      partialReview: false,
      viewings: [],
      withdrawals: [],
      decisions: [],
      history: [historyEntry(event)],
    };
  }
  if (search === undefined) throw new Refusal('ILLEGAL_MOVE', 'The search does not exist.', { legal: ['RECEIVED'] });
  if (!ACCEPTED_IN[event.type].includes(search.state)) {
    const legal = movesFrom(search.state);
    throw new Refusal('ILLEGAL_MOVE', `From ${search.state} a search can go to ${legal.join(' or ')}.`, {
      state: search.state,
      legal,
    });
  }
  return applied(
    {
      ...search,
      version: event.version,
      state: stateAfter(search, event),
      updatedAt: event.at,
      history: [...search.history, historyEntry(event)],
    },
    event,
    search.state,
  );
}

/** @param before the state that the event was accepted in */
function applied(
  search: RetrospectiveSearch,
  event: Exclude<RetrospectiveEvent, { type: 'RECEIVED' }>,
  before: RetrospectiveState,
): RetrospectiveSearch {
  const { version, by, at } = event;
  switch (event.type) {
    case 'FACE_CHOICE_NEEDED':
      return { ...search, faces: event.faces, ...(event.picture !== undefined && { picture: event.picture }) };
    case 'FACE_CHOSEN':
      return asOperator({ ...search, request: { ...search.request, face: event.face } }, by);
    case 'SEARCH_STARTED':
      return search;
    case 'SEARCH_RETRIED': {
      // What is searched anew has no answer: ranks, viewings and withdrawals are about the answer that was.
      const { answer: _answer, failure: _failure, ...rest } = search;
      return asOperator({ ...rest, viewings: [], withdrawals: [] }, by);
    }
    case 'CANDIDATES_FOUND':
    case 'NO_CANDIDATES_FOUND':
    case 'SEARCH_PARTIAL':
      return { ...search, answer: event.answer };
    case 'SEARCH_FAILED':
      return { ...search, failure: { code: event.code, detail: event.detail } };
    case 'PARTIAL_REVIEW_CHOSEN':
      return asOperator({ ...search, partialReview: true }, by);
    case 'CANDIDATE_VIEWED': {
      const viewed = { ...search, viewings: [...search.viewings, { rank: event.rank, by, at }] };
      return before === 'OFFICER_REVIEW' ? viewed : asOperator(viewed, by);
    }
    case 'OPERATOR_DECIDED': {
      const { outcome, rank, features, notes } = event;
      const decision: Decision = { stage: 'operator', version, by, at, outcome, ...defined({ rank, features, notes }) };
      return asOperator({ ...search, decisions: [...search.decisions, decision] }, by);
    }
    case 'PEER_REVIEWED': {
      const { outcome, notes } = event;
      const decision: Decision = { stage: 'peer', version, by, at, outcome, ...defined({ notes }) };
      return asOperator({ ...search, decisions: [...search.decisions, decision] }, by);
    }
    case 'OFFICER_DECIDED': {
      const { outcome, rank, corroboration, notes } = event;
      const decision: Decision = {
        stage: 'officer',
        version,
        by,
        at,
        outcome,
        rank,
        ...defined({ corroboration, notes }),
      };
      return { ...search, decisions: [...search.decisions, decision] };
    }
    case 'OFFICER_REASSIGNED':
      return asOperator(
        { ...search, request: { ...search.request, investigatingOfficer: event.investigatingOfficer } },
        by,
      );
    case 'CANDIDATE_WITHDRAWN': {
      const { rank, reason } = event;
      return { ...search, withdrawals: [...search.withdrawals, { rank, reason, at }] };
    }
    case 'REVIEW_REQUESTED':
    case 'CLOSED':
      return search;
  }
}

function asOperator(search: RetrospectiveSearch, person: string): RetrospectiveSearch {
  return search.operators.includes(person) ? search : { ...search, operators: [...search.operators, person] };
}

function historyEntry({ version, type, by, at, commandId, commandDigest }: RetrospectiveEvent): HistoryEntry {
  return { version, type, by, at, ...defined({ commandId, commandDigest }) };
}

/** Without the names that have no value. */
function defined<T extends Record<string, unknown>>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}
