/**
 * Asks for the erasure of a custody image: a signed null on `custody.images`, as every erasure is, and at once the
 * disposition that follows from it, because the null waits in the order of the images and nobody may be shown the image
 * meanwhile. Ingest repeats the disposition when it comes to the null, which changes nothing.
 */
import { randomUUID } from 'node:crypto';
import type { AuditLog } from '#audit/audit-log.js';
import { erasureHeaders } from '#contracts/custody-image.js';
import { dispositionHeaders, encodeDisposition } from '#contracts/disposition-record.js';
import type { ErasureRequest } from '#contracts/erasure-form.js';
import { CUSTODY_DISPOSITIONS, CUSTODY_IMAGES } from '#contracts/topics.js';
import type { Disposition } from '#domain/disposition.js';
import type { Actor } from '#domain/identity.js';
import type { Publisher } from '#kafka/publisher.js';
import type { AssertionSigner } from '#platform/identity.js';
import { QUERY_SOURCE } from './gallery-client.js';

export interface ErasureAccepted {
  readonly erasureId: string;
  readonly imageId: string;
  /** The null's place on `custody.images`; the outcome on `custody.outcomes` names it. Inclusive. */
  readonly source: { readonly partition: number; readonly offset: number };
}

const ACCEPT_DEADLINE_MS = 5_000;

export class Erasures {
  constructor(
    private readonly publisher: Publisher,
    private readonly signer: AssertionSigner,
    private readonly audit: AuditLog,
  ) {}

  /**
   * Resolves when the erasure is in the log and searches leave the image out.
   *
   * @throws Failure AUDIT_UNAVAILABLE, KAFKA_UNAVAILABLE; asking again is harmless
   */
  async request(actor: Actor, { imageId, reason, authority }: ErasureRequest): Promise<ErasureAccepted> {
    const erasureId = randomUUID();
    await this.audit.append([
      {
        operation: 'erasure',
        action: 'erasure-requested',
        actor: actor.id,
        role: 'data-protection',
        purpose: authority,
        justification: reason,
        imageIds: [imageId],
        detail: { erasureId },
      },
    ]);
    const assertion = await this.signer.sign({
      purpose: 'erasure',
      subject: actor.id,
      role: 'data-protection',
      imageId,
      authority,
      reason,
    });
    const source = await this.publisher.publish(
      { topic: CUSTODY_IMAGES, key: imageId, value: null, headers: erasureHeaders(imageId, QUERY_SOURCE, assertion) },
      ACCEPT_DEADLINE_MS,
    );
    const disposition: Disposition = {
      imageId,
      kind: 'erased',
      since: new Date().toISOString(),
      authority,
      reason,
      sourceOffset: source.offset,
    };
    await this.publisher.publish(
      {
        topic: CUSTODY_DISPOSITIONS,
        key: imageId,
        value: encodeDisposition(disposition),
        headers: dispositionHeaders(imageId, QUERY_SOURCE),
      },
      ACCEPT_DEADLINE_MS,
    );
    return { erasureId, imageId, source };
  }
}
