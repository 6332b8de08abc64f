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
const SUBMIT_WAIT_MS = 2_000;
const POLL_MS = 10;

export class RetrospectiveSubmission {
  constructor(
    private readonly publisher: Publisher,
    private readonly signer: AssertionSigner,
    private readonly view: SearchView,
  ) {}

  /**
   * Resolves when the request is in the log, and mostly when this replica's view shows the search too: behind a queue,
   * the caller finds it later under the same id.
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
    await this.shown(() => this.view.get(searchId) !== undefined, SUBMIT_WAIT_MS);
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
    const faces = before.faces ?? [];
    if (typeof face === 'number' && face >= faces.length) {
      throw new Refusal(
        'FACE_INDEX_OUT_OF_RANGE',
        `The probe has ${faces.length} face(s); face ${face} does not exist.`,
        {
          faces,
        },
      );
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
    if (!(await this.shown(() => this.retrospective(searchId).version > expectedVersion, ACCEPT_DEADLINE_MS))) {
      throw new Failure('COMMAND_QUEUED', 'The choice is in the log and has not been taken up yet.', true);
    }
    return this.retrospective(searchId);
  }

  private retrospective(searchId: SearchId): RetrospectiveSearch {
    const viewed = this.view.get(searchId);
    if (viewed?.kind !== 'retrospective') throw new Refusal('SEARCH_NOT_FOUND', 'There is no such search.');
    return viewed.search;
  }

  /** @returns whether the view showed it in time; what was asked for is safe in the log either way */
  private async shown(holds: () => boolean, withinMs: number): Promise<boolean> {
    for (const deadline = Date.now() + withinMs; !holds();) {
      if (Date.now() > deadline) return false;
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
    return true;
  }
}
