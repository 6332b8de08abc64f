/**
 * The operator-initiated search. In this order: the rules, the audit entry, the search, the audit of what is shown, the
 * answer. Nothing of the probe outlives the call but its SHA-256 in the audit, and its template, for about a minute, in
 * the query log.
 */
import { createHash } from 'node:crypto';
import type { AuditLog } from '#audit/audit-log.js';
import type { AuditStatement } from '#contracts/audit-record.js';
import { searchEventRecord } from '#contracts/search-record.js';
import { isSuppressed } from '#domain/disposition.js';
import { CodedError } from '#domain/errors.js';
import type { SearchMode } from '#domain/gallery.js';
import type { Actor } from '#domain/identity.js';
import type { SearchId } from '#domain/ids.js';
import type { OperatorSearchAnswered, OperatorSearchRecord, OperatorSearchRequest } from '#domain/operator-search.js';
import { shownAnswer, type FoundAnswer, type FoundCandidate, type ShownAnswer } from '#domain/search-answer.js';
import { idempotentId, requestDigest, sameRequest } from '#platform/idempotency.js';
import type { QueryMetrics } from '#platform/metrics.js';
import { inPipelineSpan } from '#platform/spans.js';
import { statementOf } from './operator-statement.js';
import { QUERY_SOURCE } from '../query-source.js';
import type { Generation } from '../generations/generations.js';
import type { SearchView } from './search-view.js';
import type { DispositionOf } from './shown-search.js';

export interface OperatorSearchAnswer extends ShownAnswer {
  /** Of the search, as the outcome follows it. */
  readonly version: number;
  /** What the answer means, in words that a phone can show. */
  readonly statement: string;
}

const ROUTE = 'POST /v1/searches/operator';
const VIEW_DEADLINE_MS = 5_000;

type SearchedGeneration = Pick<Generation, 'modelId' | 'faces' | 'search'>;

/** One search as it is asked for. */
interface Asked {
  readonly actor: Actor;
  readonly searchId: SearchId;
  readonly request: OperatorSearchRequest;
  readonly image: Buffer;
  readonly probeSha256: string;
  /** With an Idempotency-Key. */
  readonly digest: string | undefined;
  /** In force when it was accepted; the search is of this one to its end. */
  readonly generation: SearchedGeneration;
}

export class OperatorSearch {
  constructor(
    private readonly generations: { readonly inForce: SearchedGeneration },
    private readonly audit: AuditLog,
    private readonly view: SearchView,
    private readonly dispositionOf: DispositionOf,
    private readonly metrics: QueryMetrics,
    private readonly settings: { readonly mode: SearchMode; readonly withinMs: number },
  ) {}

  /**
   * A request that is repeated under its key is given the answer that is on record, not another search.
   *
   * @throws Refusal for the probe (NO_FACE, MULTIPLE_FACES, IMAGE_…), IDEMPOTENCY_KEY_REUSED; Failure
   *   AUDIT_UNAVAILABLE, KAFKA_UNAVAILABLE, VIEW_BEHIND, MODEL_NOT_LOADED
   */
  async run(
    actor: Actor,
    request: OperatorSearchRequest,
    image: Buffer,
    idempotencyKey: string | undefined,
  ): Promise<OperatorSearchAnswer> {
    const probeSha256 = createHash('sha256').update(image).digest('hex');
    const asked: Asked = {
      actor,
      searchId: idempotentId(actor.id, ROUTE, idempotencyKey) as SearchId,
      request,
      image,
      probeSha256,
      digest: idempotencyKey === undefined ? undefined : requestDigest({ ...request, probeSha256 }),
      generation: this.generations.inForce,
    };
    const before = this.recorded(asked);
    return before === undefined ? this.anew(asked) : this.again(asked, before);
  }

  private async anew(asked: Asked): Promise<OperatorSearchAnswer> {
    const startedAt = performance.now();
    try {
      const answered = await this.searchAndRecord(asked);
      const { answer } = answered;
      this.metrics.observeSearch({ kind: 'operator', mode: answer.mode }, (performance.now() - startedAt) / 1000);
      this.metrics.searchesTotal.inc({ kind: 'operator', outcome: outcomeOf(answer) });
      return asked.digest === undefined ? this.shown(answer) : await this.theFirst(asked, answered);
    } catch (error) {
      const refused = error instanceof CodedError && !error.retryable;
      this.metrics.searchesTotal.inc({ kind: 'operator', outcome: refused ? 'refused' : 'failed' });
      throw error;
    }
  }

  /** The same request may have come to another replica at the same time: the log's order says which answer counts. */
  private async theFirst(asked: Asked, answered: OperatorSearchAnswered): Promise<OperatorSearchAnswer> {
    await this.view.shows(asked.searchId, answered.version, VIEW_DEADLINE_MS);
    const recorded = this.recorded(asked);
    const isOurs = recorded === undefined || JSON.stringify(recorded.answer) === JSON.stringify(answered.answer);
    return isOurs ? this.shown(answered.answer) : this.again(asked, recorded);
  }

  /** @throws Refusal IDEMPOTENCY_KEY_REUSED */
  private recorded({ searchId, digest }: Asked): OperatorSearchRecord | undefined {
    if (digest === undefined) return undefined;
    const viewed = this.view.get(searchId);
    if (viewed?.kind !== 'operator') return undefined;
    sameRequest(digest, viewed.search.requestDigest);
    return viewed.search;
  }

  /** Without those who were withdrawn since. */
  private async again(asked: Asked, search: OperatorSearchRecord): Promise<OperatorSearchAnswer> {
    const left = search.answer.candidates.filter((candidate) => !this.isWithdrawn(candidate));
    await asked.generation.search.stage('operator', 'audit', () =>
      this.audit.append([
        { ...this.disclosure(asked, { ...search.answer, candidates: left }), action: 'operator-search-answered-again' },
      ]),
    );
    return this.shown(search.answer);
  }

  /** As of now: while the audit took it, a candidate may have been erased or restricted, and must not leave then. */
  private shown(answer: FoundAnswer): OperatorSearchAnswer {
    const isWithdrawn = (candidate: FoundCandidate): boolean => this.isWithdrawn(candidate);
    const left = answer.candidates.filter((candidate) => !isWithdrawn(candidate));
    return { ...shownAnswer(answer, isWithdrawn), version: 1, statement: statementOf({ ...answer, candidates: left }) };
  }

  private isWithdrawn({ imageId, sourceOffset }: FoundCandidate): boolean {
    return isSuppressed(this.dispositionOf(imageId), sourceOffset);
  }

  private async searchAndRecord(asked: Asked): Promise<OperatorSearchAnswered> {
    const { actor, searchId, request, image, probeSha256, digest, generation } = asked;
    // The template is made while the entry is on its way: an officer waits for this. It is compared with nobody, and
    // nothing is said of it, before the entry is in the log.
    const processing = inPipelineSpan(() => generation.faces.process(image, request.face, { priority: 'operator' }));
    processing.catch(() => undefined);
    await asked.generation.search.stage('operator', 'audit', () =>
      this.audit.append([
        {
          ...this.about(asked),
          modelId: generation.modelId,
          operation: 'consultation',
          action: 'operator-search',
          probeSha256,
          detail: { deviceId: request.deviceId, ...(request.face !== undefined && { face: request.face }) },
        },
      ]),
    );
    const probe = await processing;
    generation.search.observePipeline('operator', probe);
    const answer = await generation.search.run({
      searchId,
      kind: 'operator',
      probe,
      limit: request.limit,
      mode: this.settings.mode,
      filter: undefined,
      withinMs: this.settings.withinMs,
    });
    const event: OperatorSearchAnswered = {
      type: 'OPERATOR_SEARCH_ANSWERED',
      searchId,
      version: 1,
      at: answer.completedAt,
      by: actor.id,
      grounds: request.grounds,
      justification: request.justification,
      deviceId: request.deviceId,
      ...(digest !== undefined && { requestDigest: digest }),
      answer,
    };
    // What cannot be put on record is not shown.
    await asked.generation.search.stage('operator', 'audit', () =>
      this.audit.append([this.disclosure(asked, answer)], [searchEventRecord(event, QUERY_SOURCE)]),
    );
    return event;
  }

  private about({ actor, request, searchId }: Asked) {
    return {
      actor: actor.id,
      role: 'officer' as const,
      purpose: request.grounds,
      justification: request.justification,
      searchId,
    };
  }

  private disclosure(asked: Asked, answer: FoundAnswer): AuditStatement {
    return {
      ...this.about(asked),
      modelId: answer.gallery.modelId,
      operation: 'disclosure',
      action: 'operator-search-answered',
      recipients: [asked.actor.id],
      subjectIds: answer.candidates.map((candidate) => candidate.subjectId),
      imageIds: answer.candidates.map((candidate) => candidate.imageId),
      thresholdVersion: answer.threshold.version,
      detail: { complete: answer.complete, mode: answer.mode },
    };
  }
}

function outcomeOf(answer: FoundAnswer): string {
  if (!answer.complete) return 'partial';
  return answer.candidates.length > 0 ? 'candidates' : 'not-found';
}
