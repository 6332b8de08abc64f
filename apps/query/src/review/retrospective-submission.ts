/** A retrospective request that came over HTTP: put on the same topic as a system's own, signed by this service. */
import { createHash } from 'node:crypto';
import type { AuditLog } from '#audit/audit-log.js';
import { searchRequestHeaders } from '#contracts/search-record.js';
import { SEARCHES_REQUESTS } from '#contracts/topics.js';
import { CodedError } from '#domain/errors.js';
import type { Actor } from '#domain/identity.js';
import type { SearchId } from '#domain/ids.js';
import type { RetrospectiveSearchRequest } from '#domain/retrospective-request.js';
import { inspectImage } from '#face/decode.js';
import type { Publisher } from '#kafka/publisher.js';
import type { AssertionSigner } from '#platform/identity.js';
import { idempotentId } from '#platform/idempotency.js';
import { QUERY_SOURCE } from '../query-source.js';
import { refuseAnotherRequest } from './retrospective-repetition.js';
import type { SearchView } from '../searches/search-view.js';

const ROUTE = 'POST /v1/searches/retrospective';
const ACCEPT_DEADLINE_MS = 5_000;
const SUBMIT_WAIT_MS = 2_000;

export class RetrospectiveSubmission {
  constructor(
    private readonly publisher: Publisher,
    private readonly signer: AssertionSigner,
    private readonly view: SearchView,
    private readonly audit: AuditLog,
  ) {}

  /**
   * Resolves when the request is in the log, and mostly when this replica's view shows the search too: behind a queue,
   * the caller finds it later under the same id.
   *
   * @throws Refusal IMAGE_EMPTY, IMAGE_FORMAT_UNSUPPORTED, IMAGE_TOO_LARGE for what is seen without decoding;
   *   IDEMPOTENCY_KEY_REUSED; Failure AUDIT_UNAVAILABLE: then nothing is in the log
   */
  async submit(
    actor: Actor,
    request: RetrospectiveSearchRequest,
    image: Buffer,
    contentType: string,
    idempotencyKey: string | undefined,
  ): Promise<SearchId> {
    await inspectImage(image);
    const searchId = idempotentId(actor.id, ROUTE, idempotencyKey) as SearchId;
    const probeSha256 = createHash('sha256').update(image).digest('hex');
    const isRepetition = (): boolean => {
      const viewed = this.view.get(searchId);
      if (viewed?.kind !== 'retrospective') return false;
      refuseAnotherRequest(viewed.search, request, probeSha256);
      return true;
    };
    if (isRepetition()) return searchId;
    await this.audit.append([
      {
        operation: 'collection',
        action: 'retrospective-search-requested',
        actor: actor.id,
        role: 'operator',
        purpose: request.offence,
        justification: request.justification,
        searchId,
        probeSha256,
        detail: { crimeReference: request.crimeReference, source: request.source },
      },
    ]);
    const assertion = await this.signer.sign({
      purpose: 'retrospective-search',
      subject: actor.id,
      role: 'operator',
      searchId,
      probeSha256,
    });
    await this.publisher.publish(
      {
        topic: SEARCHES_REQUESTS,
        key: searchId,
        value: image,
        headers: searchRequestHeaders(searchId, request, contentType, assertion, `${QUERY_SOURCE}/http`),
      },
      ACCEPT_DEADLINE_MS,
    );
    await this.shown(searchId);
    // The same key may have come to another replica with another request, and first.
    isRepetition();
    return searchId;
  }

  /** What was asked for is safe in the log, whether or not the view shows it in time. */
  private async shown(searchId: SearchId): Promise<void> {
    try {
      await this.view.shows(searchId, 1, SUBMIT_WAIT_MS);
    } catch (error) {
      if (!(error instanceof CodedError) || error.code !== 'VIEW_BEHIND') throw error;
    }
  }
}
