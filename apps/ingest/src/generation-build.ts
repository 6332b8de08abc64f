/**
 * Builds the gallery of another model beside the one that is in use, and keeps it up to date: one stream makes both, the
 * running model's `gallery.templates` from its beginning. For each template there the photograph that is held goes
 * through the other pack; for each tombstone there is one here. What it follows is what was enrolled, so that the two
 * galleries hold the same images, but for those of which the other pack can make no template: these are said as gaps,
 * and `custody.outcomes` says nothing of them. A record that the running gallery cannot use is followed by one that says
 * so: what the one knows to be missing must not count as complete in the other.
 *
 * Delivery is at least once and the effect exactly once: a template carries the source offset of the one it follows, so
 * a later one wins in the new gallery too, and what is erased is never applied, whoever publishes it and whenever.
 */
import { gapClosed, gapRecord } from '#contracts/gap-record.js';
import { isLogMarker } from '#contracts/log-marker.js';
import {
  encodeTemplate,
  parseTemplateKeeping,
  parseTemplateRecord,
  standsForUnusable,
  templateHeaders,
  templateSourceOffset,
  templateTombstoneHeaders,
  templateUnusableHeaders,
  type TemplateRecord,
} from '#contracts/template-record.js';
import { galleryTemplates } from '#contracts/topics.js';
import { isErased, type Disposition } from '#domain/disposition.js';
import { CodedError, describeError, Refusal } from '#domain/errors.js';
import type { TemplateKeeping } from '#domain/gallery.js';
import { imageId, type ImageId, type ModelId, type Offset } from '#domain/ids.js';
import type { FacePool } from '#face/face-pool.js';
import type { ProcessedFace } from '#face/face-protocol.js';
import { processFaceAgain } from '#face/same-face-again.js';
import { pause } from '#kafka/backoff.js';
import type { GapFollower } from '#kafka/gap-follower.js';
import type { GroupBatch } from '#kafka/group-consumer.js';
import type { KafkaRecord } from '#kafka/kafka-record.js';
import type { Publisher } from '#kafka/publisher.js';
import { custodyImageName, type ImageStore } from '#platform/image-store.js';
import type { Log } from '#platform/log.js';
import type { IngestMetrics } from '#platform/metrics.js';
import type { CollectionAudit } from './collection-audit.js';
import { INGEST_SOURCE } from './image-erasure.js';
import { ATTEMPTS_MAX, inOrderPerKey, isOutsideTheImage, retryAfterMs } from './in-order.js';

export const GENERATION_SOURCE = `${INGEST_SOURCE}/generation`;

/** A record of the running model's gallery, read. */
interface Followed extends TemplateRecord {
  readonly id: ImageId;
  readonly keeping: TemplateKeeping;
  readonly partition: number;
}

type Built = 'built' | 'removed' | 'superseded' | 'unusable';

export class GenerationBuild {
  /** Gaps that were said here, which the follower may not have read yet. */
  private readonly said = new Set<ImageId>();

  constructor(
    private readonly from: ModelId,
    /** Of the other model. */
    private readonly faces: Pick<FacePool, 'process' | 'modelId'>,
    private readonly images: Pick<ImageStore, 'get'>,
    private readonly publisher: Publisher,
    private readonly dispositionOf: (id: ImageId) => Disposition | undefined,
    private readonly gaps: Pick<GapFollower, 'of'>,
    private readonly audit: Pick<CollectionAudit, 'record' | 'forget'>,
    private readonly metrics: IngestMetrics,
    private readonly log: Pick<Log, 'warn'>,
  ) {}

  /** Resolves when every record of the batch is followed; the offset is stored afterwards. */
  async handleBatch(batch: Pick<GroupBatch, 'records' | 'signal'>): Promise<void> {
    const imageOf = ({ key }: KafkaRecord): string => key?.toString('latin1') ?? '';
    await inOrderPerKey(batch.records, imageOf, (record) => this.handleToItsEnd(record, batch.signal));
  }

  private async handleToItsEnd(record: KafkaRecord, signal: AbortSignal): Promise<void> {
    for (let attempt = 1; !signal.aborted; attempt++) {
      try {
        const outcome = await this.handle(record);
        this.metrics.generationImagesTotal.inc({ outcome, reason: '' });
        return;
      } catch (error) {
        if (error instanceof Refusal || (attempt >= ATTEMPTS_MAX && !isOutsideTheImage(error))) {
          if (await this.lacks(record, error, signal)) return;
        } else {
          const { partition, offset } = record;
          this.log.warn('generation-image-failed', { partition, offset, attempt, error: describeError(error) });
        }
        await pause(retryAfterMs(attempt), signal);
      }
    }
  }

  private async handle(record: KafkaRecord): Promise<Built> {
    if (isLogMarker(record.headers)) return 'superseded';
    if (record.value === null) return this.remove(record);
    const followed = this.read(record);
    if (followed === undefined) return this.followUnusable(record);
    const { id, source } = followed;
    if (this.isErased(followed)) return 'superseded';
    const photograph = await this.images.get(custodyImageName(id, source.sourceOffset));
    if (photograph === undefined) {
      // It was erased or replaced meanwhile; of what replaced it, a record follows.
      if (this.isErased(followed)) return 'superseded';
      throw new Refusal('PHOTOGRAPH_NOT_HELD', 'The photograph is not in the image store.');
    }
    const { face } = followed.keeping;
    const { faceBox } = followed.metadata;
    const processed = await processFaceAgain(this.faces, photograph, {
      ...(face !== undefined && { face }),
      ...(faceBox !== undefined && { faceBox }),
    });
    if (processed === undefined) {
      throw new Refusal('FACE_NOT_FOUND_BY_MODEL', 'This model pack does not find the face that is enrolled.');
    }
    await this.nameInAudit(followed);
    // The audit log may have been waited for; an erasure did not wait.
    if (this.isErased(followed)) return 'superseded';
    await this.publish(followed, processed);
    // An erasure that was decided while this image was in the pipeline.
    if (this.isErased(followed)) {
      await this.publishTombstone(id);
      return 'superseded';
    }
    await this.closeGap(id);
    return 'built';
  }

  /** @returns undefined for what the running gallery cannot use either */
  private read({ key, headers, partition }: KafkaRecord): Followed | undefined {
    try {
      const template = parseTemplateRecord(key, headers);
      if (template.modelId !== this.from) return undefined;
      const { imageId: id } = template.metadata;
      return { ...template, id, keeping: parseTemplateKeeping(headers), partition };
    } catch (error) {
      if (error instanceof Refusal) return undefined;
      throw error;
    }
  }

  private isErased({ id, source }: Followed): boolean {
    return isErased(this.dispositionOf(id), source.sourceOffset);
  }

  private async remove({ key, headers }: KafkaRecord): Promise<Built> {
    const id = idOf(key);
    if (id === undefined) return 'unusable';
    await this.publishTombstone(id, templateSourceOffset(headers));
    await this.closeGap(id);
    return 'removed';
  }

  /** The new gallery decides as the running one does: an earlier template that it holds stays, or the image is missing. */
  private async followUnusable({ key, headers, timestampMs }: KafkaRecord): Promise<Built> {
    const id = idOf(key);
    if (id === undefined) return 'unusable';
    const sourceOffset = templateSourceOffset(headers);
    if (sourceOffset !== undefined && isErased(this.dispositionOf(id), sourceOffset)) return 'superseded';
    const of = { sourceOffset, timestampMs: standsForUnusable(headers) ?? timestampMs };
    await this.publisher.publish({
      topic: galleryTemplates(this.faces.modelId),
      key: id,
      value: Buffer.alloc(0),
      headers: templateUnusableHeaders(id, of, GENERATION_SOURCE),
    });
    return 'unusable';
  }

  private async nameInAudit({ id, metadata, source, keeping, partition }: Followed): Promise<void> {
    const place = { partition, offset: source.sourceOffset };
    const { subjectId } = metadata;
    try {
      const { lawfulBasis } = keeping;
      await this.audit.record({ imageId: id, subjectId, lawfulBasis, source: GENERATION_SOURCE, ...place });
    } finally {
      this.audit.forget(place);
    }
  }

  private async publish({ id, metadata, source, keeping }: Followed, processed: ProcessedFace): Promise<void> {
    const { modelId } = this.faces;
    const faceBox = processed.faces[processed.chosen]!.box;
    const { template, embeddingNorm } = processed.embedded;
    const made: TemplateRecord = {
      modelId,
      metadata: { ...metadata, faceBox, embeddingNorm },
      source,
      keeping: { ...keeping, face: processed.chosen },
    };
    await this.publisher.publish({
      topic: galleryTemplates(modelId),
      key: id,
      value: encodeTemplate(template),
      headers: templateHeaders(made, GENERATION_SOURCE),
    });
  }

  private async publishTombstone(id: ImageId, supersedes?: Offset): Promise<void> {
    const headers = templateTombstoneHeaders(id, GENERATION_SOURCE, supersedes);
    await this.publisher.publish({ topic: galleryTemplates(this.faces.modelId), key: id, value: null, headers });
  }

  private async closeGap(id: ImageId): Promise<void> {
    const { modelId } = this.faces;
    if (!this.said.has(id) && !this.gaps.of(modelId).has(id)) return;
    await this.publisher.publish(gapClosed(modelId, id, GENERATION_SOURCE));
    this.said.delete(id);
  }

  /** @returns whether it could be said */
  private async lacks(record: KafkaRecord, error: unknown, signal: AbortSignal): Promise<boolean> {
    const followed = this.read(record);
    if (followed === undefined || this.isErased(followed)) return true;
    const { id, metadata, source } = followed;
    const code = error instanceof CodedError ? error.code : 'INTERNAL';
    const detail = error instanceof CodedError ? error.publicText : 'The photograph could not be processed.';
    if (!(error instanceof CodedError)) this.log.warn('generation-image-failed', { error: describeError(error) });
    const { modelId } = this.faces;
    const { sourceOffset } = source;
    const at = new Date().toISOString();
    const gap = { modelId, imageId: id, subjectId: metadata.subjectId, sourceOffset, code, detail, at };
    try {
      this.said.add(id);
      await this.publisher.publish(gapRecord(gap, GENERATION_SOURCE));
      // An older photograph of it may be in the gallery, with what was said of it then. It is not erased, and a
      // disposition of the image may be of something else: so the tombstone says what it follows from.
      await this.publishTombstone(id, sourceOffset);
    } catch (unsaid) {
      if (signal.aborted) return true;
      this.log.warn('generation-gap-not-said', { error: describeError(unsaid) });
      return false;
    }
    this.metrics.generationImagesTotal.inc({ outcome: 'lacking', reason: code });
    return true;
  }
}

/** @returns undefined for what is nobody's image */
function idOf(key: Buffer | null): ImageId | undefined {
  try {
    return imageId((key ?? Buffer.alloc(0)).toString('latin1'));
  } catch {
    return undefined;
  }
}
