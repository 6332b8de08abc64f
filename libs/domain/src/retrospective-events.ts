/**
 * What happens to a retrospective search. Only accepted events are written, by the owner of the search's partition, each
 * with the next version; the state follows from them alone.
 */
import type { DispositionKind } from './disposition.js';
import type { DescribedFace, FaceChoice, UprightPicture } from './face.js';
import type { SearchId } from './ids.js';
import type { RetrospectiveSearchRequest } from './retrospective-request.js';
import type { FoundAnswer } from './search-answer.js';

/** In force for a search from its receipt to its end, whatever is configured later. */
export interface RetrospectiveRules {
  /** Of the workflow that the service carries out. */
  readonly version: number;
  /** Whether a second operator reviews a possible match before the investigating officer does. */
  readonly peerReview: boolean;
}

export const OPERATOR_OUTCOMES = ['no-match', 'inconclusive', 'possible-match'] as const;
export type OperatorReviewOutcome = (typeof OPERATOR_OUTCOMES)[number];
export const PEER_OUTCOMES = ['agree', 'no-match', 'inconclusive'] as const;
export type PeerReviewOutcome = (typeof PEER_OUTCOMES)[number];
export const OFFICER_OUTCOMES = ['reject', 'add-suspect'] as const;
export type OfficerReviewOutcome = (typeof OFFICER_OUTCOMES)[number];

export interface EventBase {
  readonly searchId: SearchId;
  /** 1 for the first event of a search, then without a gap. */
  readonly version: number;
  /** ISO 8601 UTC. */
  readonly at: string;
  /** Who caused it: a person's id, or the system's. */
  readonly by: string;
  /** The command that was accepted; absent for what the search itself brought about. */
  readonly commandId?: string;
  /** SHA-256 of what the command asked for: tells a repetition from another command under the same id. */
  readonly commandDigest?: string;
}

/** Ranks are those of the answer on record; 1 for the most similar. */
export type RetrospectiveEvent = EventBase &
  (
    | {
        readonly type: 'RECEIVED';
        readonly operator: string;
        readonly request: RetrospectiveSearchRequest;
        /** SHA-256 of the probe's bytes, hexadecimal: says which image it was without keeping it. */
        readonly probeSha256: string;
        readonly rules: RetrospectiveRules;
      }
    | {
        readonly type: 'FACE_CHOICE_NEEDED';
        readonly faces: readonly DescribedFace[];
        /** What the boxes are given in. Absent from events of a time when pictures were not judged. */
        readonly picture?: UprightPicture;
      }
    | { readonly type: 'FACE_CHOSEN'; readonly face: FaceChoice }
    | { readonly type: 'SEARCH_STARTED' | 'SEARCH_RETRIED' | 'PARTIAL_REVIEW_CHOSEN' }
    | { readonly type: 'CANDIDATES_FOUND' | 'NO_CANDIDATES_FOUND' | 'SEARCH_PARTIAL'; readonly answer: FoundAnswer }
    | { readonly type: 'SEARCH_FAILED'; readonly code: string; readonly detail: string }
    | { readonly type: 'CANDIDATE_VIEWED'; readonly rank: number }
    | {
        readonly type: 'OPERATOR_DECIDED';
        readonly outcome: OperatorReviewOutcome;
        /** Of `possible-match`, and only of it. */
        readonly rank?: number;
        /** The features compared, in words. */
        readonly features?: string;
        readonly notes?: string;
      }
    | {
        /** A possible match goes on to the next person. */
        readonly type: 'REVIEW_REQUESTED';
        readonly stage: 'peer' | 'officer';
        readonly investigatingOfficer: string;
      }
    | { readonly type: 'PEER_REVIEWED'; readonly outcome: PeerReviewOutcome; readonly notes?: string }
    | {
        readonly type: 'OFFICER_DECIDED';
        readonly outcome: OfficerReviewOutcome;
        /** Of the candidate that the decision is about. */
        readonly rank: number;
        /** What else supports it, in words. */
        readonly corroboration?: string;
        readonly notes?: string;
      }
    | { readonly type: 'OFFICER_REASSIGNED'; readonly investigatingOfficer: string; readonly notes?: string }
    | {
        /** The image of a candidate was erased, restricted or retired. Tells the investigating officer. */
        readonly type: 'CANDIDATE_WITHDRAWN';
        readonly rank: number;
        readonly reason: DispositionKind;
        readonly investigatingOfficer: string;
      }
    | { readonly type: 'CLOSED'; readonly notes?: string }
  );

export type RetrospectiveEventType = RetrospectiveEvent['type'];

type WithoutEnvelope<E> = E extends unknown
  ? Omit<E, 'searchId' | 'version' | 'at' | 'commandId' | 'commandDigest'>
  : never;
/** What happened and who caused it, before it has a place in the search's history. */
export type RetrospectiveEventBody = WithoutEnvelope<RetrospectiveEvent>;
