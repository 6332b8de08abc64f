/**
 * Owns retrospective searches of the partitions that its consumer group gives it: takes requests and commands in the
 * log's order, checks them against the state folded so far, publishes the accepted events.
 *
 * A takeover reads the events to their end first. An owner that no longer is one may still publish, but its event's
 * version is taken by then, and every reader ignores it: the log's order decides.
 */
import { createHash } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import type { AuditLog } from '#audit/audit-log.js';
import { ASSERTION_HEADER } from '#contracts/custody-image.js';
import { partitionFor } from '#contracts/murmur2.js';
import {
  parseSearchCommand,
  parseSearchRequestFields,
  searchEventHeaders,
  searchEventKey,
  type SearchEvent,
} from '#contracts/search-record.js';
import { SEARCH_PARTITIONS, SEARCHES_EVENTS, SEARCHES_REQUESTS } from '#contracts/topics.js';
import { CodedError, describeError, Failure, Refusal } from '#domain/errors.js';
import type { describeFaces } from '#domain/face.js';
import { searchId as parseSearchId, type Offset, type SearchId } from '#domain/ids.js';
import {
  foldRetrospective,
  parseRetrospectiveSearch,
  type RetrospectiveEvent,
  type RetrospectiveSearch,
} from '#domain/retrospective-search.js';
import type { SearchAnswer } from '#domain/search-answer.js';
import type { FacePool } from '#face/face-pool.js';
import type { ProcessedFace } from '#face/face-protocol.js';
import { deadLetterFor } from '#kafka/dead-letters.js';
import type { GroupBatch } from '#kafka/group-consumer.js';
import type { KafkaRecord } from '#kafka/kafka-record.js';
import type { Publisher } from '#kafka/publisher.js';
import type { TopicAdmin } from '#kafka/topic-admin.js';
import type { AssertionVerifier } from '#platform/identity.js';
import { probeName, type ImageStore } from '#platform/image-store.js';
import type { Log } from '#platform/log.js';
import type { QueryMetrics } from '#platform/metrics.js';
import { QUERY_SOURCE } from './gallery-client.js';
import type { ProbeSearch } from './probe-search.js';
import type { SearchView } from './search-view.js';

/** The rules that this version of the service applies to a search from its receipt to its end. */
const RULES_VERSION = 1;
const VIEW_DEADLINE_MS = 30_000;
const RETRY_AFTER_MS_MIN = 200;
const RETRY_AFTER_MS_MAX = 10_000;
const PIPELINE_ATTEMPTS_MAX = 3;

type Unversioned<E> = E extends unknown ? Omit<E, 'searchId' | 'version' | 'at'> : never;

export class RetrospectiveOwner {
  constructor(
    private readonly parts: {
      readonly faces: FacePool;
      readonly search: ProbeSearch;
      readonly audit: AuditLog;
      readonly publisher: Publisher;
      readonly view: SearchView;
      readonly probes: ImageStore;
      readonly assertions: AssertionVerifier;
      readonly topics: TopicAdmin;
      readonly metrics: QueryMetrics;
      readonly log: Log;
    },
    private readonly withinMs: number,
  ) {}

  /** Before the first record of an assignment: everything that earlier owners accepted is in the view. */
  async takeOver(partitions: readonly number[], signal: AbortSignal): Promise<void> {
    const { topics, view, log } = this.parts;
    for (let waitMs = RETRY_AFTER_MS_MIN; !signal.aborted; waitMs = Math.min(waitMs * 2, RETRY_AFTER_MS_MAX)) {
      try {
        const ends = await topics.topicOffsets(SEARCHES_EVENTS);
        for (const partition of partitions) await view.reflects(partition, ends.get(partition)!.high, VIEW_DEADLINE_MS);
        return;
      } catch (error) {
        // Kafka is away for a moment, as it is for everybody: no reason to end what officers wait for.
        log.warn('takeover-waits', { error: describeError(error) });
        await pause(waitMs);
      }
    }
  }

  /** One record after the other, so that a search's commands meet the state that the ones before left. */
  async handleBatch(batch: GroupBatch): Promise<void> {
    for (const record of batch.records) await this.untilHandled(record, batch.signal);
  }

  /** What can pass is waited out: a request that is in the log is never dropped because something was away. */
  private async untilHandled(record: KafkaRecord, signal: AbortSignal): Promise<void> {
    for (let waitMs = RETRY_AFTER_MS_MIN; !signal.aborted; waitMs = Math.min(waitMs * 2, RETRY_AFTER_MS_MAX)) {
      try {
        await (record.topic === SEARCHES_REQUESTS ? this.request(record) : this.command(record));
        return;
      } catch (error) {
        this.parts.log.warn('search-record-failed', {
          topic: record.topic,
          partition: record.partition,
          offset: record.offset,
          error: describeError(error),
        });
        const canPass = error instanceof Failure && error.retryable;
        if (!canPass && (await this.gaveUp(record, error))) return;
        await pause(waitMs);
      }
    }
  }

  /** @returns whether it could be put aside and said; Kafka being away now passes too */
  private async gaveUp(record: KafkaRecord, error: unknown): Promise<boolean> {
    try {
      await this.giveUp(record, error);
      return true;
    } catch (again) {
      this.parts.log.warn('giving-up-failed', { error: describeError(again) });
      return false;
    }
  }

  /** What no repetition can mend is put aside, and whoever waits for the search is told. */
  private async giveUp(record: KafkaRecord, error: unknown): Promise<void> {
    const code = error instanceof CodedError ? error.code : 'INTERNAL';
    const detail = error instanceof CodedError ? error.publicText : 'The record could not be processed here.';
    // Another owner was first: the search is in its hands.
    if (code === 'VERSION_CONFLICT') return;
    await this.parts.publisher.publish(deadLetterFor(record, { code, detail, attempts: 1 }));
    const open = this.known((record.key?.toString('latin1') ?? '') as SearchId);
    if (open?.state !== 'RECEIVED' && open?.state !== 'SEARCHING') return;
    await this.accept(open, open.searchId, { type: 'SEARCH_FAILED', by: QUERY_SOURCE, code, detail });
  }

  private async request(record: KafkaRecord): Promise<void> {
    const id = parseSearchId(record.key?.toString('latin1') ?? '');
    if (partitionFor(Buffer.from(id), SEARCH_PARTITIONS) !== record.partition) {
      const why = new Refusal('WRONG_PARTITION', 'Requests are keyed by searchId with the murmur2 partitioner.');
      await this.refuse(id, record, why);
      return;
    }
    const probe = record.value ?? Buffer.alloc(0);
    const probeSha256 = createHash('sha256').update(probe).digest('hex');
    let search = this.known(id);
    try {
      // A second record under the same id is a repetition only if it holds the same probe.
      if (search !== undefined && search.probeSha256 !== probeSha256) {
        throw new Refusal('ASSERTION_INVALID', 'Another request with this searchId came first.');
      }
      search ??= await this.receive(id, record, probe, probeSha256);
    } catch (error) {
      if (!(error instanceof Refusal) || error.code === 'VERSION_CONFLICT') throw error;
      await this.refuse(id, record, error);
      return;
    }
    // Also when an owner before this one died halfway; a repeated request for a finished search changes nothing.
    if (search.state === 'RECEIVED' || search.state === 'SEARCHING') await this.runSearch(search);
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
    const { limit, face, filter, ...fields } = parseSearchRequestFields(record.headers);
    const request = parseRetrospectiveSearch(
      { ...fields, face, filter, limit: limit === undefined ? undefined : String(limit) },
      assertion.subject,
    );
    await this.parts.audit.append([
      {
        operation: 'collection',
        action: 'retrospective-search-received',
        actor: assertion.subject,
        role: 'operator',
        system,
        purpose: request.offence,
        justification: request.justification,
        searchId: id,
        probeSha256,
        detail: { crimeReference: request.crimeReference, source: request.source },
      },
    ]);
    await this.keepProbe(id, probe);
    return this.accept(undefined, id, {
      type: 'RECEIVED',
      by: assertion.subject,
      operator: assertion.subject,
      request,
      probeSha256,
      rulesVersion: RULES_VERSION,
    });
  }

  private async refuse(id: SearchId, record: KafkaRecord, why: Refusal): Promise<void> {
    this.parts.metrics.searchesTotal.inc({ kind: 'retrospective', outcome: 'refused' });
    await this.publish({
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

  private async command(record: KafkaRecord): Promise<void> {
    const command = parseSearchCommand(record.value);
    const known = this.known(command.searchId);
    if (known === undefined) throw new Refusal('SEARCH_NOT_FOUND', 'There is no such search.');
    // Accepted before something failed, or an owner died: the search goes on.
    if (
      known.state === 'SEARCHING' &&
      known.version === command.expectedVersion + 1 &&
      known.request.face === command.face
    ) {
      await this.runSearch(known);
      return;
    }
    // Somebody else was first; whoever sent this one sees it from the version.
    if (known.version !== command.expectedVersion || known.state !== 'AWAITING_FACE') return;
    await this.parts.audit.append([
      {
        operation: 'alteration',
        action: 'face-chosen',
        actor: command.by,
        role: 'operator',
        purpose: known.request.offence,
        searchId: known.searchId,
        detail: { face: command.face },
      },
    ]);
    const chosen = await this.accept(known, known.searchId, {
      type: 'FACE_CHOSEN',
      by: command.by,
      face: command.face,
    });
    await this.runSearch(chosen);
  }

  private async runSearch(search: RetrospectiveSearch): Promise<void> {
    const startedAt = performance.now();
    const { metrics } = this.parts;
    let current = search;
    try {
      const image = await this.parts.probes.get(probeName(current.searchId));
      if (image === undefined) throw new Refusal('PROBE_GONE', 'The probe is no longer kept.');
      const probe = await this.processProbe(current, image);
      if (probe === undefined) return;
      if (current.state === 'RECEIVED') {
        current = await this.accept(current, current.searchId, { type: 'SEARCH_STARTED', by: QUERY_SOURCE });
      }
      const answer = await this.parts.search.run({
        searchId: current.searchId,
        kind: 'retrospective',
        probe,
        limit: current.request.limit,
        // An approximation must never be why a person was not found.
        mode: 'exact',
        filter: current.request.filter,
        withinMs: this.withinMs,
      });
      const type = !answer.complete
        ? 'SEARCH_PARTIAL'
        : answer.candidates.length > 0
          ? 'CANDIDATES_FOUND'
          : 'NO_CANDIDATES_FOUND';
      await this.auditAnswer(current, answer);
      await this.accept(current, current.searchId, { type, by: QUERY_SOURCE, answer });
      metrics.searchDurationSeconds.observe(
        { kind: 'retrospective', mode: answer.mode },
        (performance.now() - startedAt) / 1000,
      );
      metrics.searchesTotal.inc({
        kind: 'retrospective',
        outcome: answer.complete ? type.toLowerCase().replaceAll('_', '-') : 'partial',
      });
    } catch (error) {
      // Kafka or the audit being away passes; what the probe itself cannot give will not come.
      if (!(error instanceof CodedError) || error.retryable || error.code === 'VERSION_CONFLICT') throw error;
      metrics.searchesTotal.inc({ kind: 'retrospective', outcome: 'failed' });
      await this.accept(current, current.searchId, {
        type: 'SEARCH_FAILED',
        by: QUERY_SOURCE,
        code: error.code,
        detail: error.publicText,
      });
    }
  }

  /** @returns undefined when the operator has to say which face is meant */
  private async processProbe(search: RetrospectiveSearch, image: Buffer): Promise<ProcessedFace | undefined> {
    try {
      const probe = await this.inPipeline(image, search);
      this.parts.search.observePipeline('retrospective', probe);
      return probe;
    } catch (error) {
      if (!(error instanceof Refusal) || error.code !== 'MULTIPLE_FACES') throw error;
      const faces = error.details?.['faces'] as ReturnType<typeof describeFaces>;
      await this.accept(search, search.searchId, { type: 'FACE_CHOICE_NEEDED', by: QUERY_SOURCE, faces });
      return undefined;
    }
  }

  /** A picture that fails the pipeline again and again must not hold up the searches behind it. */
  private async inPipeline(image: Buffer, search: RetrospectiveSearch): Promise<ProcessedFace> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.parts.faces.process(image, search.request.face);
      } catch (error) {
        if (!(error instanceof Failure) || !error.retryable || error.code === 'ENGINE_CLOSED') throw error;
        // Busy is nobody's fault and passes.
        if (error.code !== 'ENGINE_BUSY' && attempt >= PIPELINE_ATTEMPTS_MAX) {
          throw new Failure(error.code, error.publicText, false, { cause: error });
        }
        await pause(RETRY_AFTER_MS_MIN);
      }
    }
  }

  private async keepProbe(id: SearchId, probe: Buffer): Promise<void> {
    try {
      await this.parts.probes.put(probeName(id), probe);
    } catch (error) {
      throw new Failure('PROBE_NOT_KEPT', 'The image store cannot be written.', true, { cause: error });
    }
  }

  private async auditAnswer(search: RetrospectiveSearch, answer: SearchAnswer): Promise<void> {
    await this.parts.audit.append([
      {
        operation: 'combination',
        action: 'retrospective-search-answered',
        actor: search.operator,
        role: 'operator',
        purpose: search.request.offence,
        justification: search.request.justification,
        searchId: search.searchId,
        subjectIds: answer.candidates.map((candidate) => candidate.subjectId),
        imageIds: answer.candidates.map((candidate) => candidate.imageId),
        modelId: answer.gallery.modelId,
        thresholdVersion: answer.threshold.version,
        detail: { complete: answer.complete, mode: answer.mode },
      },
    ]);
  }

  private known(id: SearchId): RetrospectiveSearch | undefined {
    const viewed = this.parts.view.get(id);
    return viewed?.kind === 'retrospective' ? viewed.search : undefined;
  }

  /** Publishes the event that follows the state, and waits until this replica's own view shows what became of it. */
  private async accept(
    search: RetrospectiveSearch | undefined,
    id: SearchId,
    body: Unversioned<RetrospectiveEvent>,
  ): Promise<RetrospectiveSearch> {
    const event = {
      ...body,
      searchId: id,
      version: (search?.version ?? 0) + 1,
      at: new Date().toISOString(),
    } as RetrospectiveEvent;
    const expected = foldRetrospective(search, event);
    const { partition, offset } = await this.publish(event);
    await this.parts.view.reflects(partition, (offset + 1) as Offset, VIEW_DEADLINE_MS);
    const now = this.known(id);
    if (now?.version !== expected.version || now.updatedAt !== expected.updatedAt) {
      throw new Refusal('VERSION_CONFLICT', 'Another owner was first.');
    }
    return now;
  }

  private publish(event: SearchEvent): Promise<{ partition: number; offset: Offset }> {
    return this.parts.publisher.publish({
      topic: SEARCHES_EVENTS,
      key: searchEventKey(event),
      partition: partitionFor(Buffer.from(event.searchId), SEARCH_PARTITIONS),
      value: JSON.stringify(event),
      headers: searchEventHeaders(event, QUERY_SOURCE),
    });
  }
}
