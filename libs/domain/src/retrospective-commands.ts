/** What somebody may want to do with a retrospective search, in which of its states, and in which role. */
import type { DispositionKind } from './disposition.js';
import type { Role } from './identity.js';
import type { ImageId } from './ids.js';
import type { OfficerReviewOutcome, OperatorReviewOutcome, PeerReviewOutcome } from './retrospective-events.js';
import { STATES_NOT_CLOSED, STATES_WITH_CANDIDATES, type RetrospectiveState } from './retrospective-search.js';

/** What a command asks for. Optional fields may be missing where another field does not call for them. */
export type RetrospectiveAction =
  | { readonly type: 'CHOOSE_FACE'; readonly face: number }
  | { readonly type: 'VIEW_CANDIDATE'; readonly rank: number }
  | {
      readonly type: 'OPERATOR_DECISION';
      readonly outcome: OperatorReviewOutcome;
      readonly rank?: number | undefined;
      readonly features?: string | undefined;
      readonly notes?: string | undefined;
    }
  | {
      readonly type: 'PEER_REVIEW';
      readonly outcome: PeerReviewOutcome;
      readonly rank?: number | undefined;
      readonly notes?: string | undefined;
    }
  | {
      readonly type: 'OFFICER_DECISION';
      readonly outcome: OfficerReviewOutcome;
      readonly rank?: number | undefined;
      readonly corroboration?: string | undefined;
      readonly notes?: string | undefined;
    }
  | { readonly type: 'REASSIGN'; readonly investigatingOfficer: string; readonly notes?: string | undefined }
  | { readonly type: 'RETRY' | 'REVIEW_PARTIAL' }
  | { readonly type: 'CLOSE'; readonly notes?: string | undefined }
  | { readonly type: 'WITHDRAW_CANDIDATE'; readonly imageId: ImageId; readonly reason: DispositionKind };

export type RetrospectiveCommandType = RetrospectiveAction['type'];

export type RetrospectiveCommand = RetrospectiveAction & {
  /** The same command sent again has the same id, and is accepted once. */
  readonly commandId: string;
  /** The version that the decision was made on; not needed where the order of commands makes no difference. */
  readonly expectedVersion?: number | undefined;
};

/** Who gives a command. `system` is this service, for what follows from a rule. */
export interface CommandActor {
  readonly id: string;
  readonly roles: readonly (Role | 'system')[];
}

/** The part that somebody plays in a search. */
export type Capacity = 'operator' | 'investigating-officer' | 'system';

/** For each command, who may give it in which states. */
export const COMMAND_STATES: Readonly<
  Record<RetrospectiveCommandType, Readonly<Partial<Record<Capacity, readonly RetrospectiveState[]>>>>
> = {
  CHOOSE_FACE: { operator: ['AWAITING_FACE'] },
  VIEW_CANDIDATE: {
    operator: ['CANDIDATES', 'OPERATOR_REVIEW', 'PEER_REVIEW'],
    'investigating-officer': ['OFFICER_REVIEW'],
  },
  OPERATOR_DECISION: { operator: ['OPERATOR_REVIEW'] },
  PEER_REVIEW: { operator: ['PEER_REVIEW'] },
  OFFICER_DECISION: { 'investigating-officer': ['OFFICER_REVIEW'] },
  REASSIGN: { operator: STATES_NOT_CLOSED },
  RETRY: { operator: ['PARTIAL', 'FAILED'] },
  REVIEW_PARTIAL: { operator: ['PARTIAL'] },
  CLOSE: {
    operator: ['AWAITING_FACE', 'NO_CANDIDATES', 'FAILED', 'NO_MATCH', 'INCONCLUSIVE', 'REJECTED', 'SUSPECT_ADDED'],
    'investigating-officer': ['REJECTED', 'SUSPECT_ADDED'],
  },
  WITHDRAW_CANDIDATE: {
    system: STATES_WITH_CANDIDATES,
  },
};

export const RETROSPECTIVE_COMMANDS = Object.keys(COMMAND_STATES) as readonly RetrospectiveCommandType[];

/** The parts that somebody with these roles can play in a command. */
export function capacitiesFor(command: RetrospectiveCommandType, roles: CommandActor['roles']): readonly Capacity[] {
  return (Object.keys(COMMAND_STATES[command]) as Capacity[]).filter((capacity) => roles.includes(capacity));
}

/** The commands that somebody with these roles can give in a state. */
export function legalCommands(
  state: RetrospectiveState,
  roles: CommandActor['roles'],
): readonly RetrospectiveCommandType[] {
  return RETROSPECTIVE_COMMANDS.filter((command) =>
    capacitiesFor(command, roles).some((capacity) => COMMAND_STATES[command][capacity]?.includes(state)),
  );
}
