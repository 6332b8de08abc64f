/**
 * From a record on `custody.images` to its effects: image store, template, outcome. Delivery is at least once and the
 * effect exactly once, because every effect is an upsert that carries the offset it came from.
 */
import { custodyImageId, parseCustodyImage, type CustodyImage } from '#contracts/custody-image.js';
import { partitionFor } from '#contracts/murmur2.js';
import { encodeOutcome, outcomeHeaders } from '#contracts/outcome-record.js';
import { encodeTemplate, templateHeaders } from '#contracts/template-record.js';
import { CUSTODY_OUTCOMES, galleryTemplates } from '#contracts/topics.js';
import { isErased, type Disposition } from '#domain/disposition.js';
import { Refusal } from '#domain/errors.js';
import { adviceFor, type FaceQuality } from '#domain/face-quality.js';
import { TEMPLATE_PARTITIONS, type TemplateKeeping } from '#domain/gallery.js';
import type { ImageId, Offset } from '#domain/ids.js';
import type { ImageOutcome } from '#domain/image-outcome.js';
import type { FacePool } from '#face/face-pool.js';
import type { KafkaRecord } from '#kafka/kafka-record.js';
import type { Publisher } from '#kafka/publisher.js';
import { custodyImageName, type ImageStore } from '#platform/image-store.js';
import type { IngestMetrics } from '#platform/metrics.js';
import { describeSpan, inPipelineSpan, inSpan } from '#platform/spans.js';
import type { CollectedImage, CollectionAudit } from './collection-audit.js';
import { INGEST_SOURCE, type ImageErasure } from './image-erasure.js';
import type { LateTemplates } from './late-templates.js';

/** {@link ImageOutcome} without what every outcome has. */
type Result = ImageOutcome extends infer Outcome
  ? Outcome extends unknown
    ? Omit<Outcome, 'imageId' | 'at' | 'source'>
    : never
  : never;

export class Enrolment {
  constructor(
    private readonly faces: FacePool,
    private readonly images: ImageStore,
    private readonly publisher: Publisher,
    private readonly dispositionOf: (id: ImageId) => Disposition | undefined,
    private readonly erasure: ImageErasure,
    private readonly collection: CollectionAudit,
    private readonly lateTemplates: LateTemplates,
    private readonly metrics: IngestMetrics,
  ) {}

  /**
   * Handles one record to its end: when this resolves, every effect is stored and the offset may be.
   *
   * @throws Refusal KEY_MISSING, BAD_IMAGE_ID when not even an outcome can name the image; Failure for what is ours
   */
  async handle(record: KafkaRecord): Promise<ImageOutcome> {
    const id = custodyImageId(record.key);
    const result = await this.decide(id, record);
    const outcome = {
      ...result,
      imageId: id,
      at: new Date().toISOString(),
      source: { partition: record.partition, offset: record.offset },
    } as ImageOutcome;
    await this.publishOutcome(outcome);
    describeSpan({
      'custody.enrolment.outcome': outcome.outcome,
      ...('code' in outcome && { 'error.type': outcome.code }),
    });
    return outcome;
  }

  /** The record has its outcome, was put aside, or is another member's: nothing of it is kept in mind. */
  forget(record: KafkaRecord): void {
    this.collection.forget(record);
  }

  async publishOutcome(outcome: ImageOutcome): Promise<void> {
    await this.publisher.publish({
      topic: CUSTODY_OUTCOMES,
      key: outcome.imageId,
      value: encodeOutcome(outcome),
      headers: outcomeHeaders(outcome, INGEST_SOURCE),
    });
    const reason = 'code' in outcome ? outcome.code : '';
    this.metrics.imagesTotal.inc({ outcome: outcome.outcome, reason });
  }

  private async decide(id: ImageId, record: KafkaRecord): Promise<Result> {
    try {
      if (partitionFor(Buffer.from(id), TEMPLATE_PARTITIONS) !== record.partition) {
        throw new Refusal(
          'WRONG_PARTITION',
          'Records are keyed by imageId with the murmur2 partitioner, as the Java client does.',
        );
      }
      return record.value === null
        ? await this.erasure.carryOut(id, record)
        : await this.enrol(id, record, record.value);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      return { outcome: 'refused', code: error.code, detail: error.publicText, ...detailsOf(error) };
    }
  }

  private async enrol(id: ImageId, record: KafkaRecord, bytes: Buffer): Promise<Result> {
    const image = parseCustodyImage(id, record.headers);
    if (image.photographFrom !== undefined && image.correctionOf === undefined) {
      throw notACorrection(
        'photographfrom',
        'Only a correction, which has ce_correctionof, may say ce_photographfrom.',
      );
    }
    if (isErased(this.dispositionOf(id), record.offset)) return { outcome: 'superseded', by: 'erasure' };
    if (image.correctionOf !== undefined && !(await this.isStillHeld(id, image.correctionOf, record.offset, bytes))) {
      const erased = isErased(this.dispositionOf(id), image.correctionOf);
      return { outcome: 'superseded', by: erased ? 'erasure' : 'later-image' };
    }
    // Delivered again, or replayed, after a later one: that one stays.
    const stored = await this.images.latestImage(id);
    if (stored !== undefined && stored > record.offset) return { outcome: 'superseded', by: 'later-image' };
    const processed = await inPipelineSpan(() => this.faces.process(bytes, image.face, { uprightJpeg: true }));
    refuseTooLow(processed.embedded.quality);
    await this.stage('audit', () => this.collection.record(collectedFrom(image, record)));
    // The audit log may have been waited for; an erasure did not wait.
    if (isErased(this.dispositionOf(id), record.offset)) return { outcome: 'superseded', by: 'erasure' };
    await this.stage('store', () => this.images.put(custodyImageName(id, record.offset), processed.uprightJpeg));
    processed.uprightJpeg.fill(0);
    const box = processed.faces[processed.chosen]!.box;
    const template = await this.stage('publish', () =>
      this.publisher.publish({
        topic: galleryTemplates(this.faces.modelId),
        key: id,
        value: encodeTemplate(processed.embedded.template),
        headers: templateHeaders(
          {
            modelId: this.faces.modelId,
            metadata: { ...metadataOf(image), faceBox: box, embeddingNorm: processed.embedded.embeddingNorm },
            source: { sourceOffset: record.offset, acceptedAtMs: record.timestampMs },
            keeping: keepingOf(image, processed.chosen),
          },
          INGEST_SOURCE,
        ),
      }),
    );
    processed.embedded.template.fill(0);
    // An erasure that was decided while this image was in the pipeline: what was just stored goes as well.
    if (isErased(this.dispositionOf(id), record.offset)) {
      await this.erasure.publishTombstone(id);
      await this.images.deleteImages(id, record.offset);
      return { outcome: 'superseded', by: 'erasure' };
    }
    // Records of an image are handled in their order; but this process may have been paused, and another gone on.
    if (await this.isReplaced(id, record.offset)) return this.yieldToLater(id, record);
    // The photograph that a hold keeps is not destroyed by sending another one under its id.
    if (stored !== undefined && !(await this.erasure.isHeld(id))) {
      await this.stage('store', () => this.images.deleteOlderImages(id, record.offset));
    }
    return {
      outcome: 'enrolled',
      modelId: this.faces.modelId,
      template,
      faceBox: box,
      facesFound: processed.faces.length,
      embeddingNorm: processed.embedded.embeddingNorm,
      warnings: processed.embedded.quality.warnings,
      advice: adviceFor(processed.embedded.quality.warnings),
      rotation: processed.rotation,
    };
  }

  private async isReplaced(id: ImageId, sourceOffset: Offset): Promise<boolean> {
    return ((await this.images.latestImage(id)) ?? -1) > sourceOffset;
  }

  /** What was just written of this image is older than what another process has written meanwhile. */
  private async yieldToLater(id: ImageId, { partition, offset }: KafkaRecord): Promise<Result> {
    let written = offset;
    for (;;) {
      const last = await this.lateTemplates.putNewestBack(id, partition, written);
      // The other one goes on: what was put back may be late, too.
      if (last === written || !(await this.isReplaced(id, last))) break;
      written = last;
    }
    if (isErased(this.dispositionOf(id), written)) await this.erasure.publishTombstone(id);
    if (!(await this.erasure.isHeld(id))) await this.images.delete(custodyImageName(id, offset));
    return { outcome: 'superseded', by: 'later-image' };
  }

  /**
   * Whether what a correction corrects is the latest in the image store still, or, when it is delivered again, the
   * corrected image is. Erased or replaced since, it must not come back: records of an image are handled in their order,
   * to their end; and what is replaced may be kept, by a hold.
   *
   * A correction sends the stored photograph itself. Whatever else has the header has copied it: taken for a correction,
   * another photograph would be shown as the one that earlier searches saw.
   *
   * @throws Refusal BAD_METADATA
   */
  private async isStillHeld(id: ImageId, correctionOf: Offset, own: Offset, bytes: Buffer): Promise<boolean> {
    const latest = await this.images.latestImage(id);
    if (latest !== correctionOf && latest !== own) return false;
    const corrected = await this.images.get(custodyImageName(id, correctionOf));
    // Deleted by the first delivery, which has compared them; or erased just now.
    if (corrected === undefined) return latest === own;
    const isSame = corrected.equals(bytes);
    corrected.fill(0);
    if (isSame) return true;
    throw notACorrection(
      'correctionof',
      'Only this system says ce_correctionof, of the photograph that is held, and this is another: send it without.',
    );
  }

  private async stage<T>(name: string, run: () => Promise<T>): Promise<T> {
    const end = this.metrics.imageStageDurationSeconds.startTimer({ stage: name });
    try {
      return await inSpan(name, run);
    } finally {
      end();
    }
  }
}

function notACorrection(name: 'correctionof' | 'photographfrom', text: string): Refusal {
  return new Refusal('BAD_METADATA', text, { header: `ce_${name}` });
}

/** @throws Refusal QUALITY_TOO_LOW, before anything is kept */
function refuseTooLow({ refusals }: FaceQuality): void {
  if (refusals.length === 0) return;
  throw new Refusal('QUALITY_TOO_LOW', adviceFor(refusals).join(' '), { reasons: refusals });
}

type Refused = Extract<ImageOutcome, { outcome: 'refused' }>;

/** What a caller needs beside the words: which faces there are, in which picture, and what was too low. */
function detailsOf({ details = {} }: Refusal): Pick<Refused, 'faces' | 'picture' | 'reasons'> {
  const { faces, picture, reasons } = details as Pick<Refused, 'faces' | 'picture' | 'reasons'>;
  return {
    ...(faces !== undefined && { faces }),
    ...(picture !== undefined && { picture }),
    ...(reasons !== undefined && { reasons }),
  };
}

function collectedFrom({ imageId, subjectId, lawfulBasis }: CustodyImage, record: KafkaRecord): CollectedImage {
  const { partition, offset } = record;
  return { imageId, subjectId, lawfulBasis, source: record.headers['ce_source']!, partition, offset };
}

/** @param face the index of the one that the template is of, whatever the choice was given as */
function keepingOf({ lawfulBasis, reviewDue, photographFrom }: CustodyImage, face: number): TemplateKeeping {
  return {
    ...(lawfulBasis !== undefined && { lawfulBasis }),
    ...(reviewDue !== undefined && { reviewDue }),
    ...(photographFrom !== undefined && { photographFrom }),
    face,
  };
}

type NotShown = 'lawfulBasis' | 'reviewDue' | 'face' | 'correctionOf' | 'photographFrom';

function metadataOf(image: CustodyImage): Omit<CustodyImage, NotShown> {
  const { lawfulBasis: _basis, reviewDue: _reviewDue, face: _face, ...rest } = image;
  const { correctionOf: _correctionOf, photographFrom: _photographFrom, ...metadata } = rest;
  return metadata;
}
