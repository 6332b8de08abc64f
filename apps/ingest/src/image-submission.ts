import { custodyImageHeaders } from '#contracts/custody-image.js';
import { parseImageFields } from '#contracts/image-fields.js';
import { CUSTODY_IMAGES } from '#contracts/topics.js';
import { Refusal } from '#domain/errors.js';
import type { Actor } from '#domain/identity.js';
import { imageId } from '#domain/ids.js';
import { inspectImage } from '#face/decode.js';
import type { Publisher } from '#kafka/publisher.js';
import { INGEST_SOURCE } from './image-erasure.js';

export interface Accepted {
  readonly imageId: string;
  /** The record's place on `custody.images`, which its outcome names. Inclusive. */
  readonly source: { readonly partition: number; readonly offset: number };
}

/** Of an account's name, as much as the audit's entry for the collection has room for. */
const ACCOUNT_LENGTH_MAX = 200;
/** How long a caller waits for the broker before it is told to try again. */
const ACCEPT_DEADLINE_MS = 5_000;

/** A custody image that came over HTTP: the same record as from a system that writes to the topic itself. */
export class ImageSubmission {
  constructor(private readonly publisher: Publisher) {}

  /**
   * @param body the image's bytes
   * @param fields metadata under the names of the HTTP contract
   * @throws Refusal for what can be seen without decoding; Failure KAFKA_UNAVAILABLE
   */
  async submit(
    actor: Actor,
    idText: string,
    body: unknown,
    contentType: string,
    fields: Readonly<Record<string, unknown>>,
  ): Promise<Accepted> {
    const id = imageId(idText);
    const image = { imageId: id, ...parseImageFields(fields) };
    if (!Buffer.isBuffer(body) || body.length === 0) throw new Refusal('IMAGE_EMPTY', 'The request has no image.');
    await inspectImage(body);
    const source = await this.publisher.publish(
      {
        topic: CUSTODY_IMAGES,
        key: id,
        value: body,
        headers: custodyImageHeaders(image, sourceOf(actor), contentType),
      },
      ACCEPT_DEADLINE_MS,
    );
    // In the log; one that is not acknowledged may still be under way to it.
    body.fill(0);
    return { imageId: id, source };
  }
}

/** Whoever sent it: the audit names the source of a collection. */
function sourceOf({ id }: Actor): string {
  return `${INGEST_SOURCE}/http/${encodeURIComponent(id).slice(0, ACCOUNT_LENGTH_MAX)}`;
}
