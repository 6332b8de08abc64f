/**
 * The operator-initiated search. In this order: the rules, the audit entry, the search, the audit of what is shown, the
 * answer. Nothing of the probe outlives the call but its SHA-256 in the audit, and its template, for about a minute, in
 * the query log.
 */
import { createHash, randomUUID } from 'node:crypto';
import type { AuditLog } from '#audit/audit-log.js';
import { partitionFor } from '#contracts/murmur2.js';
import { searchEventHeaders, searchEventKey } from '#contracts/search-record.js';
import { SEARCH_PARTITIONS, SEARCHES_EVENTS } from '#contracts/topics.js';
import { CodedError } from '#domain/errors.js';
import type { SearchMode } from '#domain/gallery.js';
import type { Actor } from '#domain/identity.js';
import type { SearchId } from '#domain/ids.js';
import type { OperatorSearchEvent, OperatorSearchRequest } from '#domain/operator-search.js';
import { shownAnswer, type FoundAnswer, type SearchAnswer } from '#domain/search-answer.js';
import type { FacePool } from '#face/face-pool.js';
import type { QueryMetrics } from '#platform/metrics.js';
import { QUERY_SOURCE } from './gallery-client.js';
import type { ProbeSearch } from './probe-search.js';

export interface OperatorSearchAnswer extends SearchAnswer {
  /** What the answer means, in words that a phone can show. */
  readonly statement: string;
}

export class OperatorSearch {
  constructor(
    private readonly faces: FacePool,
    private readonly search: ProbeSearch,
    private readonly audit: AuditLog,
    private readonly metrics: QueryMetrics,
    private readonly settings: { readonly mode: SearchMode; readonly withinMs: number },
  ) {}

  /** @throws Refusal for the probe (NO_FACE, MULTIPLE_FACES, IMAGE_…); Failure AUDIT_UNAVAILABLE, KAFKA_UNAVAILABLE */
  async run(actor: Actor, request: OperatorSearchRequest, image: Buffer): Promise<OperatorSearchAnswer> {
    const startedAt = performance.now();
    try {
      const answer = await this.searchAndRecord(actor, request, image);
      this.metrics.searchDurationSeconds.observe(
        { kind: 'operator', mode: answer.mode },
        (performance.now() - startedAt) / 1000,
      );
      this.metrics.searchesTotal.inc({ kind: 'operator', outcome: outcomeOf(answer) });
      return { ...shownAnswer(answer), statement: statementOf(answer) };
    } catch (error) {
      const refused = error instanceof CodedError && !error.retryable;
      this.metrics.searchesTotal.inc({ kind: 'operator', outcome: refused ? 'refused' : 'failed' });
      throw error;
    }
  }

  private async searchAndRecord(actor: Actor, request: OperatorSearchRequest, image: Buffer): Promise<FoundAnswer> {
    const searchId = randomUUID() as SearchId;
    const about = {
      actor: actor.id,
      role: 'officer' as const,
      purpose: request.grounds,
      justification: request.justification,
      searchId,
      modelId: this.faces.modelId,
    };
    await this.search.stage('operator', 'audit', () =>
      this.audit.append([
        {
          ...about,
          operation: 'consultation',
          action: 'operator-search',
          probeSha256: createHash('sha256').update(image).digest('hex'),
          detail: {
            ...(request.deviceId !== undefined && { deviceId: request.deviceId }),
            ...(request.face !== undefined && { face: request.face }),
          },
        },
      ]),
    );
    const probe = await this.faces.process(image, request.face);
    this.search.observePipeline('operator', probe);
    const answer = await this.search.run({
      searchId,
      kind: 'operator',
      probe,
      limit: request.limit,
      mode: this.settings.mode,
      filter: undefined,
      withinMs: this.settings.withinMs,
    });
    const event: OperatorSearchEvent = {
      type: 'OPERATOR_SEARCH_ANSWERED',
      searchId,
      version: 1,
      at: answer.completedAt,
      by: actor.id,
      grounds: request.grounds,
      justification: request.justification,
      deviceId: request.deviceId ?? null,
      answer,
    };
    // What cannot be put on record is not shown.
    await this.search.stage('operator', 'audit', () =>
      this.audit.append(
        [
          {
            ...about,
            operation: 'disclosure',
            action: 'operator-search-answered',
            recipients: [actor.id],
            subjectIds: answer.candidates.map((candidate) => candidate.subjectId),
            imageIds: answer.candidates.map((candidate) => candidate.imageId),
            thresholdVersion: answer.threshold.version,
            detail: { complete: answer.complete, mode: answer.mode },
          },
        ],
        [
          {
            topic: SEARCHES_EVENTS,
            key: searchEventKey(event),
            partition: partitionFor(Buffer.from(searchId), SEARCH_PARTITIONS),
            value: JSON.stringify(event),
            headers: searchEventHeaders(event, QUERY_SOURCE),
          },
        ],
      ),
    );
    return answer;
  }
}

function outcomeOf(answer: FoundAnswer): string {
  if (!answer.complete) return 'partial';
  return answer.candidates.length > 0 ? 'candidates' : 'not-found';
}

function statementOf(answer: FoundAnswer): string {
  const { partitionsAnswered, partitionsTotal } = answer.gallery;
  const part = `Only ${partitionsAnswered} of ${partitionsTotal} parts of the gallery were searched: search again.`;
  if (answer.candidates.length > 0) {
    const found = `${answer.candidates.length} possible match(es), to be compared by a person; none is an identification.`;
    return answer.complete ? found : `${found} ${part}`;
  }
  // "Not found" would say more than a part of the gallery can.
  if (!answer.complete) return `No possible match in what was searched. ${part}`;
  return 'Not found in the gallery. Somebody who has no image there cannot be found.';
}
