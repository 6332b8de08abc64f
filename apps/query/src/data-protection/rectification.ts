/**
 * Corrects what is said about a custody image. The photograph that is held goes through enrolment once more, with the
 * corrected metadata and the same face, so that one path makes everything: the template, the register, the outcome.
 * What keeps the image out of searches, or forbids its erasure, is by its imageId and stays.
 */
import type { AuditLog } from '#audit/audit-log.js';
import { custodyImageHeaders, type CustodyImage } from '#contracts/custody-image.js';
import type { CorrectedFields, Correction } from '#contracts/image-fields.js';
import { CUSTODY_IMAGES } from '#contracts/topics.js';
import { isErased, type Disposition } from '#domain/disposition.js';
import { Failure, Refusal } from '#domain/errors.js';
import type { HeldImage } from '#domain/held-image.js';
import type { Actor } from '#domain/identity.js';
import type { ImageId, Offset } from '#domain/ids.js';
import type { FacePool } from '#face/face-pool.js';
import { processFaceAgain } from '#face/same-face-again.js';
import type { Publisher } from '#kafka/publisher.js';
import { custodyImageName, type ImageStore } from '#platform/image-store.js';
import { QUERY_SOURCE } from '../query-source.js';
import type { GalleryRegister } from './gallery-register.js';

export interface CorrectionAccepted {
  readonly imageId: string;
  /** The record's place on `custody.images`, which its outcome names. Inclusive. */
  readonly source: { readonly partition: number; readonly offset: number };
  readonly corrected: readonly string[];
}

const ACCEPT_DEADLINE_MS = 5_000;
/** A correction that is not in the register by then was refused, and its outcome says why. */
const UNDER_WAY_MS_MAX = 60_000;

export class Rectification {
  /** By image, where its last correction from here will be found, and until when it is waited for. */
  private readonly underWay = new Map<ImageId, { readonly sourceOffset: Offset; readonly untilMs: number }>();

  constructor(
    private readonly publisher: Publisher,
    private readonly audit: AuditLog,
    private readonly register: Pick<GalleryRegister, 'image'>,
    private readonly images: Pick<ImageStore, 'get'>,
    private readonly faces: Pick<FacePool, 'process'>,
    private readonly dispositionOf: (id: ImageId) => Disposition | undefined,
  ) {}

  /**
   * Resolves when the corrected image is in the log; its outcome says when it is in the gallery.
   *
   * @throws Refusal IMAGE_NOT_HELD, VERSION_CONFLICT; Failure CORRECTION_UNDER_WAY, PHOTOGRAPH_NOT_FOUND,
   *   FACE_NOT_FOUND_AGAIN, AUDIT_UNAVAILABLE, KAFKA_UNAVAILABLE, ENGINE_BUSY
   */
  async correct(actor: Actor, id: ImageId, correction: Correction): Promise<CorrectionAccepted> {
    const held = this.held(id, correction.expectedSourceOffset);
    const photograph = await this.images.get(custodyImageName(id, held.sourceOffset));
    if (photograph === undefined) {
      throw new Failure('PHOTOGRAPH_NOT_FOUND', 'The photograph is just being replaced; try again.', true);
    }
    const corrected: CustodyImage = {
      ...withCorrections(held, correction.fields),
      face: await this.faceOf(held, photograph),
      correctionOf: held.sourceOffset,
      photographFrom: held.photographFrom ?? held.sourceOffset,
    };
    const fields = Object.keys(correction.fields).sort();
    await this.appendAudit(actor, held, corrected, correction, fields);
    // Ingest asks this once more when it comes to the record: an erasure may have been decided elsewhere.
    if (isErased(this.dispositionOf(id), held.sourceOffset)) throw notHeld();
    const headers = custodyImageHeaders(corrected, `${QUERY_SOURCE}/rectification`, 'image/jpeg');
    const source = await this.publisher.publish(
      { topic: CUSTODY_IMAGES, key: id, value: photograph, headers },
      ACCEPT_DEADLINE_MS,
    );
    this.underWay.set(id, { sourceOffset: source.offset, untilMs: Date.now() + UNDER_WAY_MS_MAX });
    return { imageId: id, source, corrected: fields };
  }

  private held(id: ImageId, expected: Offset | undefined): HeldImage {
    const held = this.register.image(id);
    if (held === undefined) throw notHeld();
    const before = this.underWay.get(id);
    if (before !== undefined && before.sourceOffset > held.sourceOffset && before.untilMs > Date.now()) {
      throw new Failure('CORRECTION_UNDER_WAY', 'The correction before is not in the gallery yet; try again.', true);
    }
    this.underWay.delete(id);
    if (expected !== undefined && expected !== held.sourceOffset) {
      throw new Refusal('VERSION_CONFLICT', 'The image was enrolled again since: look at it as it is now.', {
        sourceOffset: held.sourceOffset,
      });
    }
    return held;
  }

  private async faceOf(held: HeldImage, photograph: Buffer): Promise<number> {
    const found = await processFaceAgain(this.faces, photograph, held);
    if (found !== undefined) return found.chosen;
    throw new Failure(
      'FACE_NOT_FOUND_AGAIN',
      'The face is not found again in the photograph that is kept: the custody system has to send the image anew.',
      false,
    );
  }

  private appendAudit(
    actor: Actor,
    held: HeldImage,
    corrected: CustodyImage,
    { reason, authority }: Correction,
    fields: readonly string[],
  ): Promise<void> {
    return this.audit.append([
      {
        operation: 'alteration',
        action: 'image-rectified',
        actor: actor.id,
        role: 'data-protection',
        purpose: authority,
        justification: reason,
        imageIds: [held.imageId],
        subjectIds: [...new Set([held.subjectId, corrected.subjectId])],
        // Which fields, not what they said: what was wrong about a person is not to be kept for ever.
        detail: { fields: fields.join(','), correctionOf: held.sourceOffset },
      },
    ]);
  }
}

function notHeld(): Refusal {
  return new Refusal('IMAGE_NOT_HELD', 'No such image is held here.');
}

function withCorrections(held: HeldImage, fields: CorrectedFields): CustodyImage {
  const { sourceOffset: _offset, acceptedAt: _accepted, faceBox: _box, face: _face, ...image } = held;
  const changed = { ...image, ...fields };
  return Object.fromEntries(Object.entries(changed).filter(([, value]) => value !== null)) as unknown as CustodyImage;
}
