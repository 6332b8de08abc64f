/** Every state × every command × every role of a retrospective search, against the tables of the document. */
import { describe, expect, it } from 'vitest';
import { CodedError } from '#domain/errors.js';
import { ROLES } from '#domain/identity.js';
import type { ImageId } from '#domain/ids.js';
import { RETROSPECTIVE_COMMANDS, type CommandActor, type RetrospectiveAction } from '#domain/retrospective-commands.js';
import { RETROSPECTIVE_MOVES, type RetrospectiveState } from '#domain/retrospective-search.js';
import {
  inState,
  NAMED_OFFICER,
  OPERATOR,
  SECOND_OPERATOR,
  SYSTEM,
  WORDS,
} from '#domain/retrospective-states-for-tests.js';
import { plain, readProjectFile, tableRows } from './project-files.js';

const BOTH_ROLES = ['operator', 'investigating-officer'] as const;
const OPERATOR_WITH_BOTH: CommandActor = { id: 'op-3', roles: BOTH_ROLES };

/** The columns of the document's tables. */
const ACTORS: Readonly<Record<string, readonly CommandActor[]>> = {
  Operator: [OPERATOR],
  'Second operator': [SECOND_OPERATOR],
  'Second operator who is also an officer': [OPERATOR_WITH_BOTH],
  'Named officer': [NAMED_OFFICER],
  'Named officer who is also an operator': [{ id: NAMED_OFFICER.id, roles: BOTH_ROLES }],
  'Another officer': [{ id: 'io-2', roles: ['investigating-officer'] }],
  'The service': [SYSTEM],
  'Everybody else': [
    { id: 'nobody', roles: [] },
    ...ROLES.filter((role) => !(BOTH_ROLES as readonly string[]).includes(role)).map((role) => ({
      id: `a-${role}`,
      roles: [role],
    })),
  ],
};

interface Given {
  readonly action: RetrospectiveAction;
  readonly peerReview?: boolean;
}
const withdraw = (rank: number): Given => ({
  action: { type: 'WITHDRAW_CANDIDATE', imageId: `img-${rank}` as ImageId, reason: 'erased' },
});
const possibleMatch = { type: 'OPERATOR_DECISION', outcome: 'possible-match', rank: 1, features: WORDS } as const;

/** Every command as the document names it, with all that it needs said. */
const COMMANDS: Readonly<Record<string, Given>> = {
  CHOOSE_FACE: { action: { type: 'CHOOSE_FACE', face: 1 } },
  VIEW_CANDIDATE: { action: { type: 'VIEW_CANDIDATE', rank: 1 } },
  'OPERATOR_DECISION no-match': { action: { type: 'OPERATOR_DECISION', outcome: 'no-match' } },
  'OPERATOR_DECISION inconclusive': { action: { type: 'OPERATOR_DECISION', outcome: 'inconclusive' } },
  'OPERATOR_DECISION possible-match': { action: possibleMatch },
  'OPERATOR_DECISION possible-match, with peer review': { action: possibleMatch, peerReview: true },
  'PEER_REVIEW agree': { action: { type: 'PEER_REVIEW', outcome: 'agree' } },
  'PEER_REVIEW no-match': { action: { type: 'PEER_REVIEW', outcome: 'no-match' } },
  'PEER_REVIEW inconclusive': { action: { type: 'PEER_REVIEW', outcome: 'inconclusive' } },
  'OFFICER_DECISION reject': { action: { type: 'OFFICER_DECISION', outcome: 'reject' } },
  'OFFICER_DECISION add-suspect': {
    action: { type: 'OFFICER_DECISION', outcome: 'add-suspect', corroboration: WORDS },
  },
  REASSIGN: { action: { type: 'REASSIGN', investigatingOfficer: 'io-9' } },
  RETRY: { action: { type: 'RETRY' } },
  REVIEW_PARTIAL: { action: { type: 'REVIEW_PARTIAL' } },
  CLOSE: { action: { type: 'CLOSE' } },
  'WITHDRAW_CANDIDATE of the possible match': withdraw(1),
  'WITHDRAW_CANDIDATE of another': withdraw(2),
};

const STATES = Object.keys(RETROSPECTIVE_MOVES) as RetrospectiveState[];
const document = readProjectFile('docs/retrospective-workflow.md');
const moves = tableRows(document, 'Who may do what, and what follows');
const roles = tableRows(document, 'Which role gives which command');

const rowOf = (state: string, command: string): Record<string, string> | undefined =>
  moves.find((row) => plain(row['State']) === state && plain(row['Command']) === command);

/** What the document says: the next state, or the code of the refusal. */
function documented(state: string, command: string, actor: string): string {
  const role = roles.find((row) => plain(row['Command']) === COMMANDS[command]!.action.type);
  if (plain(role?.[actor]) === 'ROLE_NOT_ALLOWED') return 'ROLE_NOT_ALLOWED';
  return plain(rowOf(state, command)?.[actor] ?? 'ILLEGAL_MOVE');
}

function decided(state: RetrospectiveState, { action, peerReview = false }: Given, actor: CommandActor): string {
  const viewers = [OPERATOR, SECOND_OPERATOR, OPERATOR_WITH_BOTH];
  try {
    return inState(state, { viewers, peerReview }).command(actor, action).search!.state;
  } catch (error) {
    if (error instanceof CodedError) return error.code;
    throw error;
  }
}

describe('docs/retrospective-workflow.md', () => {
  it('names every command, every actor and every state, and no other', () => {
    expect([...new Set(Object.values(COMMANDS).map(({ action }) => action.type))].toSorted()).toEqual(
      [...RETROSPECTIVE_COMMANDS].toSorted(),
    );
    expect(roles.map((row) => plain(row['Command'])).toSorted()).toEqual([...RETROSPECTIVE_COMMANDS].toSorted());
    for (const row of moves) {
      expect(STATES).toContain(plain(row['State']));
      expect(Object.keys(COMMANDS)).toContain(plain(row['Command']));
    }
    for (const row of [moves[0]!, roles[0]!]) {
      expect(Object.keys(row).filter((column) => column !== 'State' && column !== 'Command')).toEqual(
        Object.keys(ACTORS),
      );
    }
    expect(new Set(moves.map((row) => `${row['State']} ${row['Command']}`)).size).toBe(moves.length);
  });

  it.each(STATES.flatMap((state) => Object.keys(COMMANDS).map((command) => [state, command] as const)))(
    'says who may give, in %s, %s',
    (state, command) => {
      const said = Object.keys(ACTORS).map((actor) => [actor, documented(state, command, actor)]);
      const done = Object.entries(ACTORS).map(([actor, people]) => {
        const results = new Set(people.map((person) => decided(state, COMMANDS[command]!, person)));
        return [actor, [...results].join(' or ')];
      });
      expect(done).toEqual(said);
    },
  );

  it('has a row for a state and a command only where somebody may give it', () => {
    const empty = moves.filter((row) =>
      Object.keys(ACTORS).every((actor) => !(STATES as string[]).includes(plain(row[actor]))),
    );
    expect(empty).toEqual([]);
  });

  it('draws the moves as they are', () => {
    const drawn = tableRows(document, 'States').map((row) => [
      plain(row['State']),
      row['Next']!.split(', ').map((next) => plain(next)),
    ]);
    expect(drawn).toEqual(Object.entries(RETROSPECTIVE_MOVES));
  });
});
