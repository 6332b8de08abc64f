/** Asks for the erasure of a custody image: a signed null on `custody.images`, as every erasure is. */
import { randomUUID } from 'node:crypto';
import type { AuditLog } from '#audit/audit-log.js';
import { erasureHeaders } from '#contracts/custody-image.js';
import type { ErasureRequest } from '#contracts/erasure-form.js';
import { CUSTODY_IMAGES } from '#contracts/topics.js';
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
    return { erasureId, imageId, source };
  }
}
