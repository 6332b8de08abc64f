/** Brings a retrospective search into each of its states by the commands and events that lead there. */
import type { ImageId, SearchId } from './ids.js';
import type { CommandActor, RetrospectiveAction } from './retrospective-commands.js';
import { decide } from './retrospective-decision.js';
import type { RetrospectiveEventBody } from './retrospective-events.js';
import { parseRetrospectiveSearch } from './retrospective-request.js';
import { foldRetrospective, type RetrospectiveSearch, type RetrospectiveState } from './retrospective-search.js';
import type { FoundAnswer } from './search-answer.js';
import { candidateForTests, foundAnswerForTests } from './search-answer-for-tests.js';

export const SEARCH_ID = '0b5f7f0e-7d1c-4a7e-9a52-5c6b9a1d2e3f' as SearchId;
export const OPERATOR: CommandActor = { id: 'op-1', roles: ['operator'] };
export const SECOND_OPERATOR: CommandActor = { id: 'op-2', roles: ['operator'] };
export const NAMED_OFFICER: CommandActor = { id: 'io-1', roles: ['investigating-officer'] };
export const SYSTEM: CommandActor = { id: 'query', roles: ['system'] };
export const WORDS = 'Same scar over the left eyebrow, same ear lobes; the nose differs a little.';
export const RANKS = [1, 2, 3] as const;

export const request = parseRetrospectiveSearch(
  {
    crimeReference: 'CR/1/26',
    offence: 'burglary',
    source: 'cctv',
    justification: 'Seen on the doorbell camera at the time of the break-in.',
    investigatingOfficer: NAMED_OFFICER.id,
    face: undefined,
    filter: undefined,
  },
  OPERATOR.id,
);

/** With a candidate of each of {@link RANKS}. */
export function answerForTests(complete = true, ranks: readonly number[] = RANKS): FoundAnswer {
  const candidates = ranks.map((rank) => candidateForTests(rank));
  return foundAnswerForTests(SEARCH_ID, candidates, { complete });
}

let commands = 0;

/** One search, moved on by events and commands. */
export class SearchForTests {
  constructor(readonly search: RetrospectiveSearch | undefined = undefined) {}

  /** What the search itself brings about. */
  event(body: RetrospectiveEventBody, commandId?: string): SearchForTests {
    const version = (this.search?.version ?? 0) + 1;
    const at = `2026-01-01T00:00:${String(version % 60).padStart(2, '0')}.000Z`;
    const event = { ...body, searchId: SEARCH_ID, version, at, ...(commandId !== undefined && { commandId }) };
    return new SearchForTests(foldRetrospective(this.search, event));
  }

  /** @throws Refusal of the decision */
  command(actor: CommandActor, action: RetrospectiveAction): SearchForTests {
    const inAnyOrder = action.type === 'VIEW_CANDIDATE' || action.type === 'WITHDRAW_CANDIDATE';
    const command = {
      ...action,
      commandId: `command-${++commands}`,
      ...(!inAnyOrder && { expectedVersion: this.search?.version ?? 0 }),
    };
    return decide(this.search, command, actor).reduce<SearchForTests>(
      (search, body) => search.event(body, command.commandId),
      this,
    );
  }

  viewAll(...actors: readonly CommandActor[]): SearchForTests {
    return actors.reduce<SearchForTests>(
      (search, actor) =>
        RANKS.reduce<SearchForTests>((one, rank) => one.command(actor, { type: 'VIEW_CANDIDATE', rank }), search),
      this,
    );
  }

  withdraw(rank: number): SearchForTests {
    return this.command(SYSTEM, { type: 'WITHDRAW_CANDIDATE', imageId: `img-${rank}` as ImageId, reason: 'erased' });
  }
}

export function received(peerReview = false): SearchForTests {
  return new SearchForTests().event({
    type: 'RECEIVED',
    by: OPERATOR.id,
    operator: OPERATOR.id,
    request,
    probeSha256: 'ab',
    rules: { version: 2, peerReview },
  });
}

const OPEN = { type: 'VIEW_CANDIDATE', rank: 1 } as const;
const FOUND = { type: 'OPERATOR_DECISION', outcome: 'possible-match', rank: 1, features: WORDS } as const;

const searching = (peerReview?: boolean): SearchForTests =>
  received(peerReview).event({ type: 'SEARCH_STARTED', by: 'query' });

/**
 * The search in a state: the possible match, where there is one, is the candidate of rank 1, and a closed search ended
 * with it as a suspect.
 *
 * @param viewers who have opened every candidate, where that is possible
 */
export function inState(
  state: RetrospectiveState,
  { viewers = [OPERATOR], peerReview = false }: { viewers?: readonly CommandActor[]; peerReview?: boolean } = {},
): SearchForTests {
  const from = (before: RetrospectiveState): SearchForTests =>
    inState(before, { viewers, peerReview: peerReview || state === 'PEER_REVIEW' });
  switch (state) {
    case 'RECEIVED':
      return received(peerReview);
    case 'AWAITING_FACE':
      return received(peerReview).event({
        type: 'FACE_CHOICE_NEEDED',
        by: 'query',
        faces: [0, 1].map((index) => ({ index, box: { left: 0, top: 0, right: 9, bottom: 9 }, confidence: 0.9 })),
      });
    case 'SEARCHING':
      return searching(peerReview);
    case 'CANDIDATES':
      return searching(peerReview).event({ type: 'CANDIDATES_FOUND', by: 'query', answer: answerForTests() });
    case 'NO_CANDIDATES':
      return searching().event({ type: 'NO_CANDIDATES_FOUND', by: 'query', answer: answerForTests(true, []) });
    case 'PARTIAL':
      return searching().event({ type: 'SEARCH_PARTIAL', by: 'query', answer: answerForTests(false) });
    case 'FAILED':
      return searching().event({ type: 'SEARCH_FAILED', by: 'query', code: 'NO_FACE', detail: 'No face was found.' });
    case 'OPERATOR_REVIEW':
      return from('CANDIDATES').viewAll(...viewers);
    case 'NO_MATCH':
      return from('OPERATOR_REVIEW').command(viewers[0]!, { type: 'OPERATOR_DECISION', outcome: 'no-match' });
    case 'INCONCLUSIVE':
      return from('OPERATOR_REVIEW').command(viewers[0]!, { type: 'OPERATOR_DECISION', outcome: 'inconclusive' });
    case 'POSSIBLE_MATCH':
      // Passed through in one step; a search rests in it only when its owner died in the middle.
      return from('OPERATOR_REVIEW').event({
        type: 'OPERATOR_DECIDED',
        by: viewers[0]!.id,
        outcome: 'possible-match',
        rank: 1,
        features: WORDS,
      });
    case 'PEER_REVIEW':
      return from('OPERATOR_REVIEW').command(viewers[0]!, FOUND);
    case 'OFFICER_REVIEW': {
      const found = peerReview
        ? from('PEER_REVIEW')
            .command(SECOND_OPERATOR, OPEN)
            .command(SECOND_OPERATOR, { type: 'PEER_REVIEW', outcome: 'agree' })
        : from('OPERATOR_REVIEW').command(viewers[0]!, FOUND);
      return found.command(NAMED_OFFICER, OPEN);
    }
    case 'REJECTED':
      return from('OFFICER_REVIEW').command(NAMED_OFFICER, { type: 'OFFICER_DECISION', outcome: 'reject' });
    case 'SUSPECT_ADDED':
      return from('OFFICER_REVIEW').command(NAMED_OFFICER, {
        type: 'OFFICER_DECISION',
        outcome: 'add-suspect',
        corroboration: WORDS,
      });
    case 'CLOSED':
      return from('SUSPECT_ADDED').command(OPERATOR, { type: 'CLOSE' });
  }
}
