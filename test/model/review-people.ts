/** The people of a review and what they decide: chosen at random, but of what may be decided in the state they saw. */
import {
  legalCommands,
  RETROSPECTIVE_COMMANDS,
  type CommandActor,
  type RetrospectiveAction,
  type RetrospectiveCommandType,
} from '#domain/retrospective-commands.js';
import type { CandidateViewing, RetrospectiveState } from '#domain/retrospective-search.js';

/** 0 inclusive to 1 exclusive. */
export type Random = () => number;

export const OPERATORS = ['op-1', 'op-2', 'op-3', 'op-4', 'op-5', 'op-6'];
export const OFFICERS = ['io-1', 'io-2', 'io-3', 'io-4'];

/** What a decision needs to know of a search; a part of what GET shows. */
export interface SeenSearch {
  readonly searchId: string;
  readonly state: RetrospectiveState;
  readonly version: number;
  readonly request: { readonly investigatingOfficer: string };
  readonly answer: { readonly candidates: readonly { readonly rank: number }[] } | null;
  readonly faces: readonly { readonly index: number }[] | null;
  readonly review: { readonly viewings: readonly CandidateViewing[] };
}

/** What a person may ask for. */
export type PersonsAction = Exclude<RetrospectiveAction, { type: 'WITHDRAW_CANDIDATE' }>;

export interface Intention {
  readonly actor: CommandActor;
  readonly action: PersonsAction;
  /** False for what is tried although it is not the person's or the state's turn. */
  readonly meantToBeLegal: boolean;
}

const WORDS = 'The same scar over the left eyebrow and the same shape of the ear lobes.';
const OUT_OF_TURN = 0.03;
/** How often each is chosen where it may be given: a search is decided on dozens of times before it is closed. */
const WEIGHTS: Readonly<Record<RetrospectiveCommandType, number>> = {
  CHOOSE_FACE: 2,
  VIEW_CANDIDATE: 5,
  OPERATOR_DECISION: 1,
  PEER_REVIEW: 3,
  OFFICER_DECISION: 2,
  REASSIGN: 6,
  RETRY: 1,
  REVIEW_PARTIAL: 1,
  CLOSE: 0.15,
  WITHDRAW_CANDIDATE: 0,
};

/** @returns undefined when nobody has anything to do with the search */
export function intentionFor(seen: SeenSearch, random: Random): Intention | undefined {
  const isOfficer = seen.state === 'OFFICER_REVIEW' && random() < 0.7;
  const id = isOfficer ? seen.request.investigatingOfficer : pick(OPERATORS, random);
  const actor = { id, roles: isOfficer ? (['investigating-officer'] as const) : (['operator'] as const) };
  const outOfTurn = random() < OUT_OF_TURN;
  const commands = outOfTurn ? RETROSPECTIVE_COMMANDS : legalCommands(seen.state, actor.roles);
  const type = pickWeighted(commands, (command) => WEIGHTS[command], random);
  if (type === undefined) return undefined;
  return { actor, action: actionOf(type, seen, id, random), meantToBeLegal: !outOfTurn };
}

function actionOf(type: RetrospectiveCommandType, seen: SeenSearch, by: string, random: Random): PersonsAction {
  const ranks = seen.answer?.candidates.map(({ rank }) => rank) ?? [];
  const viewed = seen.review.viewings.filter((viewing) => viewing.by === by).map(({ rank }) => rank);
  switch (type) {
    case 'CHOOSE_FACE':
      return { type, face: pick(seen.faces ?? [{ index: 0 }], random).index };
    case 'VIEW_CANDIDATE': {
      const unseen = ranks.filter((rank) => !viewed.includes(rank));
      return { type, rank: pick(unseen.length > 0 ? unseen : [1], random) };
    }
    case 'OPERATOR_DECISION': {
      if (viewed.length > 0 && random() < 0.6) {
        return { type, outcome: 'possible-match', rank: pick(viewed, random), features: WORDS };
      }
      const sawAll = ranks.every((rank) => viewed.includes(rank));
      return { type, outcome: sawAll ? 'no-match' : 'inconclusive', notes: 'Compared under the lamp.' };
    }
    case 'PEER_REVIEW':
      return { type, outcome: random() < 0.85 ? 'agree' : 'inconclusive' };
    case 'OFFICER_DECISION':
      return random() < 0.7 ? { type, outcome: 'add-suspect', corroboration: WORDS } : { type, outcome: 'reject' };
    case 'REASSIGN': {
      const others = OFFICERS.filter((officer) => officer !== seen.request.investigatingOfficer);
      return { type, investigatingOfficer: pick(others, random) };
    }
    case 'RETRY':
    case 'REVIEW_PARTIAL':
    case 'CLOSE':
      return { type };
    case 'WITHDRAW_CANDIDATE':
      throw new Error('no person gives this command');
  }
}

/** The path and body of the request that asks for it. */
export function requestOf(action: PersonsAction, expectedVersion: number): { path: string; body: object } {
  if (action.type === 'VIEW_CANDIDATE') return { path: `candidates/${action.rank}/viewed`, body: {} };
  const { type, ...said } = action;
  return { path: PATHS[type], body: { ...said, expectedVersion } };
}

const PATHS: Readonly<Record<Exclude<RetrospectiveCommandType, 'VIEW_CANDIDATE' | 'WITHDRAW_CANDIDATE'>, string>> = {
  CHOOSE_FACE: 'face',
  OPERATOR_DECISION: 'operator-decision',
  PEER_REVIEW: 'peer-review',
  OFFICER_DECISION: 'officer-decision',
  REASSIGN: 'reassign',
  RETRY: 'retry',
  REVIEW_PARTIAL: 'partial-review',
  CLOSE: 'close',
};

export function pick<T>(from: readonly T[], random: Random): T {
  return from[Math.floor(random() * from.length)]!;
}

function pickWeighted<T>(from: readonly T[], weightOf: (item: T) => number, random: Random): T | undefined {
  const total = from.reduce((sum, item) => sum + weightOf(item), 0);
  let left = random() * total;
  for (const item of from) {
    left -= weightOf(item);
    if (left < 0) return item;
  }
  return undefined;
}
