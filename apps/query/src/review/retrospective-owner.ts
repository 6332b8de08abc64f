/**
 * Owns the retrospective searches of the partitions that its consumer group gives it: is given requests and commands in
 * the log's order, one after the other, so that a search's commands meet the state that the ones before left; decides on them against the state that the accepted events have left, and publishes what it accepts.
 *
 * Requests and commands of one search are on the same partition number of their topics, and so have the same owner. A
 * takeover reads the events to their end first. An owner that no longer is one may still publish, but its event's version
 * is taken by then, and every reader ignores it: the log's order decides.
 */
import { createHash } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import type { AuditLog } from '#audit/audit-log.js';
import type { AuditStatement } from '#contracts/audit-record.js';
import { ASSERTION_HEADER } from '#contracts/custody-image.js';
import { partitionFor } from '#contracts/murmur2.js';
import { parseSearchCommand, parseSearchRequestFields, type SearchCommand } from '#contracts/search-record.js';
import { SEARCH_PARTITIONS, SEARCHES_EVENTS } from '#contracts/topics.js';
import { describeError, Failure, Refusal } from '#domain/errors.js';
import { searchId as parseSearchId, type SearchId } from '#domain/ids.js';
import { decide } from '#domain/retrospective-decision.js';
import type { RetrospectiveRules } from '#domain/retrospective-events.js';
import { parseRetrospectiveSearch, type RetrospectiveSearchRequest } from '#domain/retrospective-request.js';
import type { RetrospectiveSearch, RetrospectiveState } from '#domain/retrospective-search.js';
import type { KafkaRecord } from '#kafka/kafka-record.js';
import type { TopicAdmin } from '#kafka/topic-admin.js';
import type { AssertionVerifier } from '#platform/identity.js';
import { probeName, type ImageStore } from '#platform/image-store.js';
import type { Log } from '#platform/log.js';
import type { QueryMetrics } from '#platform/metrics.js';
import type { CandidateWithdrawal } from './candidate-withdrawal.js';
import { QUERY_SOURCE } from '../query-source.js';
import type { OpenSearchHold } from './open-search-hold.js';
import { isToRun, type RetrospectiveRuns } from './retrospective-runs.js';
import type { SearchAcceptance } from './search-acceptance.js';
import type { SearchAdmission } from '../searches/search-admission.js';
import type { SearchView } from '../searches/search-view.js';

/** The workflow that this version of the service carries out, from a search's receipt to its end. */
const RULES_VERSION = 2;
const VIEW_DEADLINE_MS = 30_000;
const RETRY_AFTER_MS_MIN = 200;
const RETRY_AFTER_MS_MAX = 10_000;
const TAKEOVER_PAGE = 200;
/** What a takeover goes on with: searches that wait for a run, and a possible match that nobody was asked to review. */
const UNFINISHED = ['RECEIVED', 'SEARCHING', 'POSSIBLE_MATCH'] as const satisfies readonly RetrospectiveState[];

export class RetrospectiveOwner {
  constructor(
    private readonly parts: {
      readonly acceptance: SearchAcceptance;
      readonly audit: AuditLog;
      readonly runs: RetrospectiveRuns;
      readonly withdrawal: CandidateWithdrawal;
      readonly holds: OpenSearchHold;
      readonly admission: Pick<SearchAdmission, 'admitRequest'>;
      readonly view: SearchView;
      readonly probes: ImageStore;
      readonly assertions: AssertionVerifier;
      readonly topics: TopicAdmin;
      readonly metrics: QueryMetrics;
      readonly log: Log;
    },
    private readonly rules: Omit<RetrospectiveRules, 'version'>,
  ) {}

  /** Before the first record of an assignment: everything that earlier owners accepted is in the view. */
  async takeOver(partitions: readonly number[], signal: AbortSignal): Promise<void> {
    const { topics, view, withdrawal, log } = this.parts;
    for (let waitMs = RETRY_AFTER_MS_MIN; !signal.aborted; waitMs = Math.min(waitMs * 2, RETRY_AFTER_MS_MAX)) {
      try {
        const ends = await topics.topicOffsets(SEARCHES_EVENTS);
        for (const partition of partitions) await view.reflects(partition, ends.get(partition)!.high, VIEW_DEADLINE_MS);
        await this.goOn(new Set(partitions), signal);
        await withdrawal.noticedAll();
        return;
      } catch (error) {
        // Kafka is away for a moment, as it is for everybody: no reason to end what officers wait for.
        log.warn('takeover-waits', { error: describeError(error) });
        await pause(waitMs);
      }
    }
  }

  /** What the owner before has begun and not finished. */
  private async goOn(partitions: ReadonlySet<number>, signal: AbortSignal): Promise<void> {
    for (const state of UNFINISHED) {
      let cursor: string | undefined;
      do {
        const page = this.parts.view.list({ filter: { kind: 'retrospective', state }, cursor, limit: TAKEOVER_PAGE }, [
          {},
        ]);
        for (const { searchId } of page.searches) {
          const id = searchId as SearchId;
          if (partitions.has(partitionFor(Buffer.from(id), SEARCH_PARTITIONS))) await this.goOnWith(id, signal);
        }
        cursor = page.nextCursor ?? undefined;
      } while (cursor !== undefined);
    }
  }

  private async goOnWith(id: SearchId, signal: AbortSignal): Promise<void> {
    const search = this.parts.acceptance.known(id);
    if (search === undefined) return;
    if (isToRun(search)) this.parts.runs.add(id, signal);
    if (search.state !== 'POSSIBLE_MATCH') return;
    await this.parts.acceptance.accept(id, (now) => ({
      events:
        now?.state === 'POSSIBLE_MATCH'
          ? [
              {
                type: 'REVIEW_REQUESTED',
                by: QUERY_SOURCE,
                stage: now.rules.peerReview ? 'peer' : 'officer',
                investigatingOfficer: now.request.investigatingOfficer,
              },
            ]
          : [],
    }));
  }

  /**
   * A request of a system, or of this service for an operator.
   *
   * @throws Failure when it could not be handled now
   */
  async request(record: KafkaRecord, signal: AbortSignal): Promise<void> {
    const id = parseSearchId(record.key?.toString('latin1') ?? '');
    if (partitionFor(Buffer.from(id), SEARCH_PARTITIONS) !== record.partition) {
      // Its search, if there is one, has another owner: its probe is not this one's to delete.
      const why = new Refusal('WRONG_PARTITION', 'Requests are keyed by searchId with the murmur2 partitioner.');
      await this.refuse(id, record, why);
      return;
    }
    const probe = record.value ?? Buffer.alloc(0);
    const probeSha256 = createHash('sha256').update(probe).digest('hex');
    try {
      // Whoever reads the events knows the ids of officers' searches. Its first version is taken: no attempt would end.
      if (this.parts.view.get(id)?.kind === 'operator') {
        throw new Refusal(
          'SEARCH_ID_TAKEN',
          'An operator-initiated search has this searchId: send it under a new one.',
        );
      }
      const search = this.parts.acceptance.known(id) ?? (await this.receive(id, record, probe, probeSha256));
      // A second record under the same id is a repetition only if it holds the same probe.
      if (search.probeSha256 !== probeSha256) {
        throw new Refusal('ASSERTION_INVALID', 'Another request with this searchId came first.');
      }
      // Also when it was received before; a repeated request for a finished search changes nothing.
      if (isToRun(search)) this.parts.runs.add(id, signal);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      await this.deleteStrayProbe(id);
      await this.refuse(id, record, error);
    }
  }

  /** @throws Refusal when the assertion or the request does not hold; then there is no search */
  private async receive(
    id: SearchId,
    record: KafkaRecord,
    probe: Buffer,
    probeSha256: string,
  ): Promise<RetrospectiveSearch> {
    const { system, assertion } = await this.parts.assertions.verify(
      record.headers[ASSERTION_HEADER],
      record.timestampMs,
    );
    if (
      assertion.purpose !== 'retrospective-search' ||
      assertion.searchId !== id ||
      assertion.probeSha256 !== probeSha256 ||
      assertion.role !== 'operator'
    ) {
      throw new Refusal('ASSERTION_INVALID', 'The assertion is about another search, another probe or another role.');
    }
    const sentAtMs = record.timestampMs;
    this.parts.admission.admitRequest({ searchId: id, system, person: assertion.subject, sentAtMs });
    const { limit, face, filter, ...fields } = parseSearchRequestFields(record.headers);
    const operator = assertion.subject;
    const request = parseRetrospectiveSearch(
      { ...fields, face, filter, limit: limit === undefined ? undefined : String(limit) },
      operator,
    );
    await this.parts.audit.append([receivedAudit({ id, operator, system, request, probeSha256 })]);
    await this.keepProbe(id, probe);
    const rules = { version: RULES_VERSION, ...this.rules };
    const { search } = await this.parts.acceptance.accept(id, (known) => ({
      events: known === undefined ? [{ type: 'RECEIVED', by: operator, operator, request, probeSha256, rules }] : [],
    }));
    return search!;
  }

  /**
   * What an earlier delivery of a request has stored before its owner died is no search's: no retention would ever end
   * for it. A search that is there keeps its probe, whoever sends its id again.
   *
   * @throws Failure PROBE_NOT_KEPT, VIEW_BEHIND, KAFKA_UNAVAILABLE, all of which pass
   */
  private async deleteStrayProbe(id: SearchId): Promise<void> {
    // An owner that no longer is one may have received it a moment ago.
    await this.parts.view.upToDate(id, VIEW_DEADLINE_MS);
    if (this.parts.acceptance.known(id) !== undefined) return;
    try {
      await this.parts.probes.delete(probeName(id));
    } catch (error) {
      throw storeUnwritable(error);
    }
  }

  private async refuse(id: SearchId, record: KafkaRecord, why: Refusal): Promise<void> {
    this.parts.metrics.searchesTotal.inc({ kind: 'retrospective', outcome: 'refused' });
    await this.parts.acceptance.publish({
      type: 'REQUEST_REFUSED',
      searchId: id,
      version: 1,
      at: new Date().toISOString(),
      by: QUERY_SOURCE,
      code: why.code,
      detail: why.publicText,
      source: { partition: record.partition, offset: record.offset },
    });
  }

  /** @throws Refusal when it is no command for this partition; Failure when it could not be handled now */
  async command(record: KafkaRecord, signal: AbortSignal): Promise<void> {
    const command = parseSearchCommand(record.value);
    if (partitionFor(Buffer.from(command.searchId), SEARCH_PARTITIONS) !== record.partition) {
      throw new Refusal('WRONG_PARTITION', 'Commands are keyed by searchId with the murmur2 partitioner.');
    }
    const search = await this.decideOn(command);
    if (search === undefined) return;
    // Also when the command was accepted before something failed, or an owner died: the search goes on.
    if (isToRun(search)) this.parts.runs.add(search.searchId, signal);
    if (search.state === 'CLOSED') await this.parts.holds.end(search.searchId);
    else if (command.type === 'WITHDRAW_CANDIDATE' && search.state === 'OFFICER_REVIEW') {
      // It may have opened a closed case again.
      await this.parts.holds.begin(search.searchId, search.answer!);
      await this.endHoldIfForgotten(search.searchId);
    }
  }

  /**
   * The end of its retention may have come between: nobody could close the search, and its candidates could never be
   * erased. Whoever ended the retention has ended the hold after the nulls; one that began later sees the nulls here.
   */
  private async endHoldIfForgotten(id: SearchId): Promise<void> {
    await this.parts.view.upToDate(id, VIEW_DEADLINE_MS);
    if (this.parts.acceptance.known(id) === undefined) await this.parts.holds.end(id);
  }

  /** @returns undefined when the command was refused; whoever gave it reads why from the search */
  private async decideOn(command: SearchCommand): Promise<RetrospectiveSearch | undefined> {
    const { commandId, digest, type } = command;
    try {
      const { search, accepted } = await this.parts.acceptance.accept(command.searchId, (known) => ({
        events: decide(known, command, { id: command.by, roles: command.roles }),
        command: { commandId, digest },
      }));
      this.parts.metrics.searchCommandsTotal.inc({ command: type, result: accepted ? 'accepted' : 'repeated' });
      return search;
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      const result = error.code === 'VERSION_CONFLICT' ? 'conflict' : 'refused';
      this.parts.metrics.searchCommandsTotal.inc({ command: type, result });
      this.parts.log.info('command-refused', { searchId: command.searchId, command: type, code: error.code });
      return undefined;
    }
  }

  private async keepProbe(id: SearchId, probe: Buffer): Promise<void> {
    try {
      await this.parts.probes.put(probeName(id), probe);
    } catch (error) {
      throw storeUnwritable(error);
    }
  }
}

function storeUnwritable(cause: unknown): Failure {
  return new Failure('PROBE_NOT_KEPT', 'The image store cannot be written.', true, { cause });
}

function receivedAudit(received: {
  readonly id: SearchId;
  readonly operator: string;
  readonly system: string;
  readonly request: RetrospectiveSearchRequest;
  readonly probeSha256: string;
}): AuditStatement {
  const { request } = received;
  return {
    operation: 'collection',
    action: 'retrospective-search-received',
    actor: received.operator,
    role: 'operator',
    system: received.system,
    purpose: request.offence,
    justification: request.justification,
    searchId: received.id,
    probeSha256: received.probeSha256,
    detail: {
      crimeReference: request.crimeReference,
      source: request.source,
      ...(typeof request.face === 'number' && { face: request.face }),
    },
  };
}
