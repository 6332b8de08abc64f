/**
 * Retrospective search, from its request to its end, as a fold over accepted events. A decision that somebody wants to
 * make is a command; the owner of the search's partition checks it against the state folded so far and publishes the
 * accepted event, or answers why not. Everybody else folds the same events and so holds the same view.
 *
 *     RECEIVED ─▶ AWAITING_FACE ─▶ SEARCHING ─▶ CANDIDATES ─▶ OPERATOR_REVIEW ─▶ NO_MATCH | INCONCLUSIVE ─▶ CLOSED
 *         └──────────────────────────▲  │ ├──▶ NO_CANDIDATES ─▶ CLOSED   │
 *                                    │  │ └──▶ PARTIAL ──▶ OPERATOR_REVIEW
 *                                    └──┼──────── │          POSSIBLE_MATCH ─▶ [PEER_REVIEW] ─▶ OFFICER_REVIEW
 *                                       └──▶ FAILED ─▶ SEARCHING | CLOSED       └▶ REJECTED | SUSPECT_ADDED ─▶ CLOSED
 *
 * PARTIAL is never shown as NO_CANDIDATES: a part of the gallery that was not searched is not a part without the person.
 */
import { Refusal } from './errors.js';
import type { FaceBox, FaceChoice } from './face.js';
import type { GalleryFilter } from './gallery.js';
import type { SearchId } from './ids.js';
import { parseJustification, parseLimit } from './operator-search.js';
import type { FoundAnswer } from './search-answer.js';

/** Each state with the states that may follow it. */
export const RETROSPECTIVE_MOVES = {
  RECEIVED: ['AWAITING_FACE', 'SEARCHING', 'FAILED'],
  AWAITING_FACE: ['SEARCHING', 'FAILED', 'CLOSED'],
  SEARCHING: ['CANDIDATES', 'NO_CANDIDATES', 'PARTIAL', 'FAILED'],
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
  SUSPECT_ADDED: ['CLOSED'],
  CLOSED: ['OFFICER_REVIEW'],
} as const satisfies Record<string, readonly string[]>;

export type RetrospectiveState = keyof typeof RETROSPECTIVE_MOVES;

export const PROBE_SOURCES = ['cctv', 'mobile', 'social-media', 'other'] as const;
export type ProbeSource = (typeof PROBE_SOURCES)[number];

export const RETROSPECTIVE_LIMIT_DEFAULT = 20;
export const RETROSPECTIVE_LIMIT_MAX = 50;

export interface RetrospectiveSearchRequest {
  readonly crimeReference: string;
  readonly offence: string;
  readonly source: ProbeSource;
  readonly justification: string;
  /** The person who reviews after the operator; never the operator. */
  readonly investigatingOfficer: string;
  readonly face?: FaceChoice;
  readonly filter?: GalleryFilter;
  readonly limit: number;
}

const REFERENCE_LENGTH_MAX = 200;

function required(name: string, text: string | undefined): string {
  const value = (text ?? '').trim();
  if (value === '') throw new Refusal('FIELD_REQUIRED', `${name} is required.`, { field: name });
  if (value.length > REFERENCE_LENGTH_MAX) {
    throw new Refusal('FIELD_TOO_LONG', `${name} has at most ${REFERENCE_LENGTH_MAX} characters.`, { field: name });
  }
  return value;
}

/** @throws Refusal, with the code of the first rule that the request breaks */
export function parseRetrospectiveSearch(
  fields: {
    readonly crimeReference?: string | undefined;
    readonly offence?: string | undefined;
    readonly source?: string | undefined;
    readonly justification?: string | undefined;
    readonly investigatingOfficer?: string | undefined;
    readonly face: FaceChoice | undefined;
    readonly filter: GalleryFilter | undefined;
    readonly limit?: string | undefined;
  },
  operatorId: string,
): RetrospectiveSearchRequest {
  const source = PROBE_SOURCES.find((known) => known === fields.source);
  const crimeReference = required('crimeReference', fields.crimeReference);
  const offence = required('offence', fields.offence);
  if (source === undefined) {
    throw new Refusal('PROBE_SOURCE_UNKNOWN', `source is one of: ${PROBE_SOURCES.join(', ')}.`);
  }
  const investigatingOfficer = required('investigatingOfficer', fields.investigatingOfficer);
  if (investigatingOfficer === operatorId) {
    throw new Refusal('REVIEWERS_NOT_DISTINCT', 'The investigating officer must be another person than the operator.');
  }
  return {
    crimeReference,
    offence,
    source,
    justification: parseJustification(fields.justification),
    investigatingOfficer,
    ...(fields.face !== undefined && { face: fields.face }),
    ...(fields.filter !== undefined && { filter: fields.filter }),
    limit: parseLimit(fields.limit, RETROSPECTIVE_LIMIT_DEFAULT, RETROSPECTIVE_LIMIT_MAX),
  };
}

interface EventBase {
  readonly searchId: SearchId;
  /** 1 for the first event of a search, then without a gap. */
  readonly version: number;
  /** ISO 8601. */
  readonly at: string;
  /** Who caused it: a person's id, or the system's. */
  readonly by: string;
}

/** What happened to a retrospective search. Only accepted events; the state follows from them alone. */
export type RetrospectiveEvent = EventBase &
  (
    | {
        readonly type: 'RECEIVED';
        readonly operator: string;
        readonly request: RetrospectiveSearchRequest;
        /** SHA-256 of the probe's bytes, hexadecimal: says which image it was without keeping it. */
        readonly probeSha256: string;
        /** The rules in force for this search to its end. */
        readonly rulesVersion: number;
      }
    | {
        readonly type: 'FACE_CHOICE_NEEDED';
        readonly faces: readonly { index: number; box: FaceBox; confidence: number }[];
      }
    | { readonly type: 'FACE_CHOSEN'; readonly face: FaceChoice }
    | { readonly type: 'SEARCH_STARTED' }
    | { readonly type: 'CANDIDATES_FOUND' | 'NO_CANDIDATES_FOUND' | 'SEARCH_PARTIAL'; readonly answer: FoundAnswer }
    | { readonly type: 'SEARCH_FAILED'; readonly code: string; readonly detail: string }
  );

export interface RetrospectiveSearch {
  readonly searchId: SearchId;
  readonly version: number;
  readonly state: RetrospectiveState;
  readonly operator: string;
  readonly request: RetrospectiveSearchRequest;
  readonly probeSha256: string;
  readonly rulesVersion: number;
  readonly receivedAt: string;
  readonly updatedAt: string;
  readonly faces?: readonly { index: number; box: FaceBox; confidence: number }[];
  readonly answer?: FoundAnswer;
  readonly failure?: { readonly code: string; readonly detail: string };
}

const STATE_AFTER = {
  FACE_CHOICE_NEEDED: 'AWAITING_FACE',
  FACE_CHOSEN: 'SEARCHING',
  SEARCH_STARTED: 'SEARCHING',
  CANDIDATES_FOUND: 'CANDIDATES',
  NO_CANDIDATES_FOUND: 'NO_CANDIDATES',
  SEARCH_PARTIAL: 'PARTIAL',
  SEARCH_FAILED: 'FAILED',
} as const satisfies Record<Exclude<RetrospectiveEvent['type'], 'RECEIVED'>, RetrospectiveState>;

/** The legal next states, for a caller who asked for an illegal one. */
export function movesFrom(state: RetrospectiveState): readonly RetrospectiveState[] {
  return RETROSPECTIVE_MOVES[state];
}

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
      request: event.request,
      probeSha256: event.probeSha256,
      rulesVersion: event.rulesVersion,
      receivedAt: event.at,
      updatedAt: event.at,
    };
  }
  if (search === undefined) throw new Refusal('ILLEGAL_MOVE', 'The search does not exist.', { legal: ['RECEIVED'] });
  const next = STATE_AFTER[event.type];
  const legal = movesFrom(search.state);
  if (!legal.includes(next)) {
    throw new Refusal(
      'ILLEGAL_MOVE',
      `From ${search.state} a search can go to ${legal.join(' or ')}, not to ${next}.`,
      {
        state: search.state,
        legal,
      },
    );
  }
  const moved = { ...search, version: event.version, state: next, updatedAt: event.at };
  switch (event.type) {
    case 'FACE_CHOICE_NEEDED':
      return { ...moved, faces: event.faces };
    case 'FACE_CHOSEN':
      return { ...moved, request: { ...search.request, face: event.face } };
    case 'SEARCH_STARTED':
      return moved;
    case 'CANDIDATES_FOUND':
    case 'NO_CANDIDATES_FOUND':
    case 'SEARCH_PARTIAL':
      return { ...moved, answer: event.answer };
    case 'SEARCH_FAILED':
      return { ...moved, failure: { code: event.code, detail: event.detail } };
  }
}
