/**
 * What the log says of the searches, read from its first event: the truth that every replica has to agree with, and that
 * everybody who gave a command was told.
 */
import { parseDisposition } from '#contracts/disposition-record.js';
import { parseSearchEvent } from '#contracts/search-record.js';
import { CUSTODY_DISPOSITIONS, SEARCHES_EVENTS } from '#contracts/topics.js';
import { Refusal } from '#domain/errors.js';
import type { SearchId } from '#domain/ids.js';
import { decide } from '#domain/retrospective-decision.js';
import type { RetrospectiveEvent } from '#domain/retrospective-events.js';
import { foldRetrospective, type RetrospectiveSearch } from '#domain/retrospective-search.js';
import type { KafkaClient } from '#kafka/kafka-client.js';
import { lastOfKey, readTopic } from '#testkit/topic-for-tests.js';
import { showSearch } from '../../apps/query/src/searches/shown-search.js';
import type { GivenCommand } from './review-load.js';

export class ReviewLog {
  /** Of each search its states, by version: the first is version 1. */
  readonly states = new Map<SearchId, RetrospectiveSearch[]>();
  readonly accepted: RetrospectiveEvent[] = [];
  /** Published by an owner that no longer was one: under a version that was taken, or what cannot follow. */
  readonly late: RetrospectiveEvent[] = [];
  private readonly byCommand = new Map<string, RetrospectiveEvent[]>();

  private constructor(private readonly dispositionOf: Parameters<typeof showSearch>[1]) {}

  static async read(kafka: KafkaClient): Promise<ReviewLog> {
    const dispositions = lastOfKey(await readTopic(kafka, CUSTODY_DISPOSITIONS));
    const log = new ReviewLog((id) => {
      const value = dispositions.get(id)?.value;
      return value === undefined || value === null ? undefined : parseDisposition(value);
    });
    for (const { value } of await readTopic(kafka, SEARCHES_EVENTS)) {
      const event = parseSearchEvent(value!);
      if (event.type !== 'REQUEST_REFUSED' && !event.type.startsWith('OPERATOR_SEARCH_')) {
        log.take(event as RetrospectiveEvent);
      }
    }
    return log;
  }

  private take(event: RetrospectiveEvent): void {
    const states = this.states.get(event.searchId) ?? [];
    // The rule on which everything else rests, written out: the first event that can follow counts.
    const after = event.version === states.length + 1 ? foldedOrRefused(states.at(-1), event) : undefined;
    if (after === undefined) {
      this.late.push(event);
      return;
    }
    states.push(after);
    this.states.set(event.searchId, states);
    this.accepted.push(event);
    if (event.commandId === undefined) return;
    this.byCommand.set(event.commandId, [...(this.byCommand.get(event.commandId) ?? []), event]);
  }

  eventsOf(commandId: string): readonly RetrospectiveEvent[] {
    return this.byCommand.get(commandId) ?? [];
  }

  search(id: SearchId): RetrospectiveSearch {
    return this.states.get(id)!.at(-1)!;
  }

  /** As an operator is shown it over HTTP. */
  shown(id: SearchId): unknown {
    const shown = showSearch({ kind: 'retrospective', search: this.search(id) }, this.dispositionOf);
    return JSON.parse(JSON.stringify(shown));
  }

  /** Said to be accepted, and neither in the log nor without effect on the version that was decided on. */
  lost(given: readonly GivenCommand[]): readonly GivenCommand[] {
    return given.filter(
      (command) =>
        command.told.kind === 'accepted' &&
        this.eventsOf(command.commandId).length === 0 &&
        !this.wasWithoutEffect(command),
    );
  }

  /** Said to be refused, and in the log. */
  doneAlthoughRefused(given: readonly GivenCommand[]): readonly GivenCommand[] {
    return given.filter(({ told, commandId }) => told.kind === 'refused' && this.eventsOf(commandId).length > 0);
  }

  /** In the log other than once, other than as decided, or on another version than the person saw. */
  misdone(given: readonly GivenCommand[]): readonly GivenCommand[] {
    return given.filter((command) => {
      const events = this.eventsOf(command.commandId);
      if (events.length === 0) return false;
      const before = this.states.get(command.searchId)![events[0]!.version - 2];
      if (command.action.type !== 'VIEW_CANDIDATE' && before?.version !== command.seenVersion) return true;
      const decided = decide(before, { ...command.action, commandId: command.commandId }, command.actor);
      const expected = decided.map(({ type }, index) => [type, before!.version + 1 + index, command.actor.id]);
      const found = events.map(({ type, version, by }) => [type, version, by]);
      return JSON.stringify(expected) !== JSON.stringify(found);
    });
  }

  /** Told of a winner that is not the one in the log. */
  misinformed(given: readonly GivenCommand[]): readonly GivenCommand[] {
    return given.filter(({ told, searchId, seenVersion }) => {
      if (told.kind !== 'refused' || told.winner === undefined) return false;
      const { type, by, version } = this.search(searchId).history[seenVersion]!;
      return told.winner.type !== type || told.winner.by !== by || told.winner.version !== version;
    });
  }

  /** Decisions in the log that nobody gave. */
  madeUp(commandIds: readonly string[]): readonly RetrospectiveEvent[] {
    const known = new Set(commandIds);
    return this.accepted.filter(
      ({ type, commandId }) => commandId !== undefined && type !== 'CANDIDATE_WITHDRAWN' && !known.has(commandId),
    );
  }

  /** The search as it was then had what the command asks for already. */
  private wasWithoutEffect({ searchId, action, actor, seenVersion }: GivenCommand): boolean {
    const states = this.states.get(searchId)!;
    if (action.type === 'VIEW_CANDIDATE') {
      return states.some(({ viewings }) => viewings.some(({ rank, by }) => rank === action.rank && by === actor.id));
    }
    return decide(states[seenVersion - 1], { ...action, commandId: 'again' }, actor).length === 0;
  }
}

function foldedOrRefused(
  before: RetrospectiveSearch | undefined,
  event: RetrospectiveEvent,
): RetrospectiveSearch | undefined {
  try {
    return foldRetrospective(before, event);
  } catch (error) {
    if (error instanceof Refusal) return undefined;
    throw error;
  }
}
