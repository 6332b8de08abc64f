/** A retrospective request that came over HTTP: put on the same topic as a system's own, signed by this service. */
import { createHash, randomUUID } from 'node:crypto';
import { partitionFor } from '#contracts/murmur2.js';
import { searchCommandHeaders, searchRequestHeaders, type SearchCommand } from '#contracts/search-record.js';
import { SEARCH_PARTITIONS, SEARCHES_COMMANDS, SEARCHES_REQUESTS } from '#contracts/topics.js';
import { Failure, Refusal } from '#domain/errors.js';
import type { FaceChoice } from '#domain/face.js';
import type { Actor } from '#domain/identity.js';
import type { SearchId } from '#domain/ids.js';
import { movesFrom, type RetrospectiveSearch, type RetrospectiveSearchRequest } from '#domain/retrospective-search.js';
import { inspectImage } from '#face/decode.js';
import type { Publisher } from '#kafka/publisher.js';
import type { AssertionSigner } from '#platform/identity.js';
import { QUERY_SOURCE } from './gallery-client.js';
import type { SearchView } from './search-view.js';

const ACCEPT_DEADLINE_MS = 5_000;
const POLL_MS = 10;

export class RetrospectiveSubmission {
  constructor(
    private readonly publisher: Publisher,
    private readonly signer: AssertionSigner,
    private readonly view: SearchView,
  ) {}

  /**
   * Resolves when the request is in the log and this replica's view shows the search.
   *
   * @throws Refusal IMAGE_EMPTY, IMAGE_FORMAT_UNSUPPORTED, IMAGE_TOO_LARGE for what is seen without decoding
   */
  async submit(
    actor: Actor,
    request: RetrospectiveSearchRequest,
    image: Buffer,
    contentType: string,
  ): Promise<SearchId> {
    await inspectImage(image);
    const searchId = randomUUID() as SearchId;
    const assertion = await this.signer.sign({
      purpose: 'retrospective-search',
      subject: actor.id,
      role: 'operator',
      searchId,
      probeSha256: createHash('sha256').update(image).digest('hex'),
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
    await this.until(() => this.view.get(searchId) !== undefined);
    return searchId;
  }

  /** @throws Refusal ILLEGAL_MOVE, VERSION_CONFLICT, SEARCH_NOT_FOUND */
  async chooseFace(
    actor: Actor,
    searchId: SearchId,
    face: FaceChoice,
    expectedVersion: number,
  ): Promise<RetrospectiveSearch> {
    const before = this.retrospective(searchId);
    if (before.state !== 'AWAITING_FACE') {
      throw new Refusal('ILLEGAL_MOVE', `A face is chosen in AWAITING_FACE; the search is ${before.state}.`, {
        state: before.state,
        legal: movesFrom(before.state),
      });
    }
    if (before.version !== expectedVersion) {
      throw new Refusal('VERSION_CONFLICT', `The search is at version ${before.version}.`, { version: before.version });
    }
    const command: SearchCommand = {
      commandId: randomUUID(),
      searchId,
      type: 'CHOOSE_FACE',
      face,
      expectedVersion,
      by: actor.id,
    };
    await this.publisher.publish(
      {
        topic: SEARCHES_COMMANDS,
        key: searchId,
        partition: partitionFor(Buffer.from(searchId), SEARCH_PARTITIONS),
        value: JSON.stringify(command),
        headers: searchCommandHeaders(command, QUERY_SOURCE),
      },
      ACCEPT_DEADLINE_MS,
    );
    await this.until(() => this.retrospective(searchId).version > expectedVersion);
    return this.retrospective(searchId);
  }

  private retrospective(searchId: SearchId): RetrospectiveSearch {
    const viewed = this.view.get(searchId);
    if (viewed?.kind !== 'retrospective') throw new Refusal('SEARCH_NOT_FOUND', 'There is no such search.');
    return viewed.search;
  }

  /** The request is safe in the log by now, so a caller who is told to come back loses nothing. */
  private async until(holds: () => boolean): Promise<void> {
    const deadline = Date.now() + ACCEPT_DEADLINE_MS;
    while (!holds()) {
      if (Date.now() > deadline) {
        throw new Failure('SEARCH_QUEUED', 'The request is in the log and has not been taken up yet.', true);
      }
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }
}
