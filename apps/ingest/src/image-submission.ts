import { custodyImageHeaders } from '#contracts/custody-image.js';
import { parseImageFields } from '#contracts/image-fields.js';
import { CUSTODY_IMAGES } from '#contracts/topics.js';
import { Refusal } from '#domain/errors.js';
import { imageId } from '#domain/ids.js';
import { inspectImage } from '#face/decode.js';
import type { Publisher } from '#kafka/publisher.js';
import { INGEST_SOURCE } from './enrolment.js';

export interface Accepted {
  readonly imageId: string;
  /** The record's place on `custody.images`, which its outcome names. Inclusive. */
  readonly source: { readonly partition: number; readonly offset: number };
}

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
        headers: custodyImageHeaders(image, `${INGEST_SOURCE}/http`, contentType),
      },
      ACCEPT_DEADLINE_MS,
    );
    return { imageId: id, source };
  }
}
