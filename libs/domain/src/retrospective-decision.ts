/**
 * Whether a command is accepted, and what happens then: a pure function of the search as its events have it. The replica
 * that takes a request asks it so as to answer at once; the owner of the search's partition asks it again, in the log's
 * order, and what it says then counts.
 *
 * The checks come in this order: the role, the version that was decided on, the state, the person, what was said. So
 * whoever was late learns who was first, and whoever may not do this at all learns nothing about the search.
 */
import { Refusal } from './errors.js';
import { isSamePerson } from './identity.js';
import {
  capacitiesFor,
  COMMAND_STATES,
  legalCommands,
  type Capacity,
  type CommandActor,
  type RetrospectiveCommand,
} from './retrospective-commands.js';
import { parseJustification } from './operator-search.js';
import type { RetrospectiveEventBody } from './retrospective-events.js';
import { required } from './retrospective-request.js';
import {
  candidateAt,
  isWithdrawn,
  movesFrom,
  possibleMatchRank,
  type HistoryEntry,
  type RetrospectiveSearch,
} from './retrospective-search.js';

export const NOTES_LENGTH_MAX = 2000;

/**
 * The events that a command leads to, in order; none when it was accepted before, or changes nothing.
 *
 * @throws Refusal SEARCH_NOT_FOUND, ROLE_NOT_ALLOWED, VERSION_CONFLICT, ILLEGAL_MOVE, NOT_YOUR_SEARCH,
 *   REVIEWERS_NOT_DISTINCT, FACE_INDEX_OUT_OF_RANGE, CANDIDATE_NOT_FOUND, CANDIDATE_WITHDRAWN,
 *   CANDIDATES_NOT_ALL_VIEWED, FEATURES_REQUIRED, CORROBORATION_REQUIRED, FIELD_REQUIRED, FIELD_TOO_LONG
 */
export function decide(
  search: RetrospectiveSearch | undefined,
  command: RetrospectiveCommand,
  actor: CommandActor,
): readonly RetrospectiveEventBody[] {
  if (search === undefined) throw new Refusal('SEARCH_NOT_FOUND', 'There is no such search.');
  const capacities = capacitiesFor(command.type, actor.roles);
  if (capacities.length === 0) {
    const roles = Object.keys(COMMAND_STATES[command.type]).join(' or ');
    throw new Refusal('ROLE_NOT_ALLOWED', `This needs the role ${roles}.`);
  }
  if (acceptedBefore(search, command.commandId) !== undefined) return [];
  if (command.expectedVersion !== undefined && command.expectedVersion !== search.version) {
    throw conflict(search, command.expectedVersion, actor);
  }
  const inState = capacities.filter((capacity) => COMMAND_STATES[command.type][capacity]!.includes(search.state));
  if (inState.length === 0) throw illegal(search, command, actor);
  requirePerson(search, inState, actor);
  return eventsOf(search, command, actor.id);
}

/** The first event that the command led to. */
export function acceptedBefore(search: RetrospectiveSearch, commandId: string): HistoryEntry | undefined {
  return search.history.find((entry) => entry.commandId === commandId);
}

function conflict(search: RetrospectiveSearch, expectedVersion: number, actor: CommandActor): Refusal {
  const winner = search.history.find((entry) => entry.version === expectedVersion + 1);
  const first = winner === undefined ? '' : ` ${winner.type} by ${winner.by} came first.`;
  return new Refusal('VERSION_CONFLICT', `The search is at version ${search.version}.${first}`, {
    version: search.version,
    state: search.state,
    legal: legalCommands(search.state, actor.roles),
    ...(winner !== undefined && {
      winner: { version: winner.version, type: winner.type, by: winner.by, at: winner.at },
    }),
  });
}

function illegal(search: RetrospectiveSearch, command: RetrospectiveCommand, actor: CommandActor): Refusal {
  const legal = legalCommands(search.state, actor.roles);
  const text = legal.length === 0 ? 'nothing is for you to do' : `you can ${legal.join(', ')}`;
  return new Refusal('ILLEGAL_MOVE', `The search is ${search.state}: not ${command.type}; ${text}.`, {
    state: search.state,
    legal,
    next: movesFrom(search.state),
  });
}

/** An operator is another person than the investigating officer, and the officer is the one who is named. */
function requirePerson(search: RetrospectiveSearch, capacities: readonly Capacity[], actor: CommandActor): void {
  const refusals = capacities.map((capacity) => refusalOfPerson(search, capacity, actor.id));
  if (refusals.includes(undefined)) return;
  throw refusals[0]!;
}

function refusalOfPerson(search: RetrospectiveSearch, capacity: Capacity, person: string): Refusal | undefined {
  const { investigatingOfficer } = search.request;
  switch (capacity) {
    case 'system':
      return undefined;
    case 'operator':
      return isSamePerson(person, investigatingOfficer)
        ? notDistinct('The investigating officer cannot act as an operator on the same search.')
        : undefined;
    case 'investigating-officer':
      if (person !== investigatingOfficer)
        return new Refusal('NOT_YOUR_SEARCH', 'Another investigating officer is named in this search.');
      return actedAsOperator(search, person)
        ? notDistinct('Who acted as an operator cannot decide as the investigating officer.')
        : undefined;
  }
}

function actedAsOperator({ operators }: RetrospectiveSearch, person: string): boolean {
  return operators.some((operator) => isSamePerson(operator, person));
}

function notDistinct(text: string): Refusal {
  return new Refusal('REVIEWERS_NOT_DISTINCT', text);
}

function eventsOf(
  search: RetrospectiveSearch,
  command: RetrospectiveCommand,
  by: string,
): readonly RetrospectiveEventBody[] {
  switch (command.type) {
    case 'CHOOSE_FACE': {
      const faces = search.faces ?? [];
      if (!faces.some(({ index }) => index === command.face)) {
        throw new Refusal(
          'FACE_INDEX_OUT_OF_RANGE',
          `The probe has ${faces.length} face(s); face ${command.face} does not exist.`,
          { faces },
        );
      }
      return [{ type: 'FACE_CHOSEN', by, face: command.face }];
    }
    case 'VIEW_CANDIDATE':
      requireCandidate(search, command.rank);
      return hasViewed(search, command.rank, by) ? [] : [{ type: 'CANDIDATE_VIEWED', by, rank: command.rank }];
    case 'OPERATOR_DECISION':
      return operatorDecision(search, command, by);
    case 'PEER_REVIEW': {
      const operator = search.decisions.findLast((decision) => decision.stage === 'operator');
      if ([search.operator, operator?.by].some((first) => first !== undefined && isSamePerson(first, by))) {
        throw notDistinct('The second operator must be another person than the first.');
      }
      const rank = requirePossibleMatch(search, command.rank);
      if (command.outcome === 'agree') requireOpened(search, rank, by);
      if (command.outcome === 'no-match') requireAllViewed(search, by);
      return [{ type: 'PEER_REVIEWED', by, outcome: command.outcome, ...optionalNotes(command.notes) }];
    }
    case 'OFFICER_DECISION': {
      const rank = requirePossibleMatch(search, command.rank);
      const decided = { type: 'OFFICER_DECIDED', by, outcome: command.outcome, rank } as const;
      if (command.outcome === 'reject') {
        return [
          { ...decided, ...optionalWords('corroboration', command.corroboration), ...optionalNotes(command.notes) },
        ];
      }
      requireOpened(search, rank, by);
      const corroboration = inWords(
        command.corroboration,
        (why, rule) =>
          new Refusal('CORROBORATION_REQUIRED', `Say in words what else supports it: corroboration. ${why}`, { rule }),
      );
      return [{ ...decided, corroboration, ...optionalNotes(command.notes) }];
    }
    case 'REASSIGN': {
      const investigatingOfficer = required('investigatingOfficer', command.investigatingOfficer);
      if (isSamePerson(investigatingOfficer, by) || actedAsOperator(search, investigatingOfficer)) {
        throw notDistinct('The investigating officer must be another person than those who acted as operators.');
      }
      if (investigatingOfficer === search.request.investigatingOfficer) return [];
      return [{ type: 'OFFICER_REASSIGNED', by, investigatingOfficer, ...optionalNotes(command.notes) }];
    }
    case 'RETRY':
      return [{ type: 'SEARCH_RETRIED', by }];
    case 'REVIEW_PARTIAL':
      return [{ type: 'PARTIAL_REVIEW_CHOSEN', by }];
    case 'CLOSE':
      return [{ type: 'CLOSED', by, ...optionalNotes(command.notes) }];
    case 'WITHDRAW_CANDIDATE': {
      const { investigatingOfficer } = search.request;
      const concerned = (search.answer?.candidates ?? []).filter(
        ({ imageId, rank }) => imageId === command.imageId && !isWithdrawn(search, rank),
      );
      return concerned.map(({ rank }) => ({
        type: 'CANDIDATE_WITHDRAWN',
        by,
        rank,
        reason: command.reason,
        investigatingOfficer,
      }));
    }
  }
}

function operatorDecision(
  search: RetrospectiveSearch,
  command: Extract<RetrospectiveCommand, { type: 'OPERATOR_DECISION' }>,
  by: string,
): readonly RetrospectiveEventBody[] {
  const { outcome, rank } = command;
  const notes = optionalNotes(command.notes);
  if (outcome !== 'possible-match') {
    if (outcome === 'no-match') requireAllViewed(search, by);
    return [{ type: 'OPERATOR_DECIDED', by, outcome, ...optionalWords('features', command.features), ...notes }];
  }
  if (rank === undefined) {
    throw new Refusal('FIELD_REQUIRED', 'rank is required: which candidate is the possible match.', { field: 'rank' });
  }
  requireCandidate(search, rank);
  requireOpened(search, rank, by);
  const features = inWords(
    command.features,
    (why, rule) =>
      new Refusal('FEATURES_REQUIRED', `Say in words which features you compared: features. ${why}`, { rule }),
  );
  const { peerReview } = search.rules;
  const { investigatingOfficer } = search.request;
  return [
    { type: 'OPERATOR_DECIDED', by, outcome, rank, features, ...notes },
    { type: 'REVIEW_REQUESTED', by, stage: peerReview ? 'peer' : 'officer', investigatingOfficer },
  ];
}

function hasViewed(search: RetrospectiveSearch, rank: number, by: string): boolean {
  return search.viewings.some((viewing) => viewing.rank === rank && viewing.by === by);
}

function requireCandidate(search: RetrospectiveSearch, rank: number): void {
  if (candidateAt(search, rank) !== undefined) return;
  throw new Refusal('CANDIDATE_NOT_FOUND', `The search has no candidate of rank ${rank}.`, {
    ranks: (search.answer?.candidates ?? []).map((candidate) => candidate.rank),
  });
}

function requireInUse(search: RetrospectiveSearch, rank: number): void {
  if (!isWithdrawn(search, rank)) return;
  throw new Refusal('CANDIDATE_WITHDRAWN', 'The candidate was withdrawn: the image may no longer be used.', { rank });
}

/**
 * Whoever puts a candidate forward has looked at that candidate in person, and did not only sign what another had found.
 *
 * @throws Refusal CANDIDATE_WITHDRAWN, CANDIDATES_NOT_ALL_VIEWED
 */
function requireOpened(search: RetrospectiveSearch, rank: number, by: string): void {
  requireInUse(search, rank);
  if (!hasViewed(search, rank, by)) throw notViewed([rank]);
}

/** @throws Refusal CANDIDATES_NOT_ALL_VIEWED with the ranks that this person has not opened */
function requireAllViewed(search: RetrospectiveSearch, by: string): void {
  const missing = (search.answer?.candidates ?? [])
    .map((candidate) => candidate.rank)
    .filter((rank) => !isWithdrawn(search, rank) && !hasViewed(search, rank, by));
  if (missing.length > 0) throw notViewed(missing);
}

function notViewed(ranks: readonly number[]): Refusal {
  return new Refusal('CANDIDATES_NOT_ALL_VIEWED', `Open the candidates of rank ${ranks.join(', ')} first.`, { ranks });
}

/** @param given a reviewer may say which candidate is meant; there is only one to decide about */
function requirePossibleMatch(search: RetrospectiveSearch, given: number | undefined): number {
  const rank = possibleMatchRank(search)!;
  if (given === undefined || given === rank) return rank;
  throw new Refusal('CANDIDATE_NOT_FOUND', `The possible match is the candidate of rank ${rank}, not ${given}.`, {
    ranks: [rank],
  });
}

/** A text that somebody can check later, by the same rules as a justification. */
function inWords(text: string | undefined, refusal: (why: string, rule: string) => Refusal): string {
  try {
    return parseJustification(text);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    const { code } = error;
    throw refusal(WHY[code] ?? error.publicText, code);
  }
}

const WHY: Readonly<Record<string, string>> = {
  JUSTIFICATION_REQUIRED: 'Nothing was said.',
  JUSTIFICATION_MEANINGLESS: 'It must be a sentence that somebody can check later.',
  JUSTIFICATION_PLACEHOLDER: 'That is the text of a form.',
};

function optionalWords<Name extends string>(name: Name, text: string | undefined): { [K in Name]?: string } {
  const words = (text ?? '').trim();
  if (words === '') return {};
  if (words.length > NOTES_LENGTH_MAX) {
    throw new Refusal('FIELD_TOO_LONG', `${name} has at most ${NOTES_LENGTH_MAX} characters.`, { field: name });
  }
  return { [name]: words } as { [K in Name]?: string };
}

function optionalNotes(text: string | undefined): { notes?: string } {
  return optionalWords('notes', text);
}
